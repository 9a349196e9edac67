"""Surfaces in words: title, finding, conditions, table and the facts behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landscape.figures.data import Facts, Table, count, data_words, facts, listed, number, with_error
from landscape.figures.data_surface import Point, SurfacePanel, surface_labels, surface_panels
from landscape.figures.text_metrics import share_sentence
from landscape.figures.text_modes import modes_summary
from landscape.figures.text_sampling import sampling_sentence
from landscape.records import Surface

_NETWORK = ("model", "model_options", "model_hash")
_DATA = ("dataset", "split", "limit", "examples", "normalization", "image_size", "channels")
_MEASUREMENT = ("loss", "bn", "has_batchnorm", "batch_size", "precision", "seed")
_PLANES = ("normalize", "orthogonal", "directions")
_SAID = ("sampling_notes", "precision_error")  # as notes above the figure
_HIDDEN = ("grid_alpha", "grid_beta")  # said as ranges
VERDICT = (
    "This network has BatchNorm: how the surface looks depends on whose statistics it uses away from the center. "
    "The mode decides the verdict, so a conclusion that holds in one mode only is a statement about that mode."
)


def surface_title(surfaces: Sequence[Surface]) -> str:
    """State what was measured.

    Args:
        surfaces: Surfaces drawn together.

    Returns:
        For instance ``Loss around vgg_bn · frozen BN statistics · 128 CIFAR-10 training images``.
    """
    models = list(dict.fromkeys(str(s.recipe["model"]) for s in surfaces if s.recipe.get("model")))
    parts = [f"Loss around {listed(models) or 'the network'}"]
    modes = list(dict.fromkeys(str(s.recipe["bn"]) for s in surfaces if _has_bn(s) and s.recipe.get("bn")))
    if modes:
        parts.append(f"{listed(modes)} BN statistics")
    parts.append(listed(list(dict.fromkeys(data_words(s.recipe, s.center.examples) for s in surfaces))))
    return " · ".join(parts)


def surface_summary(surfaces: Surface | Sequence[Surface], labels: Sequence[str] | None = None) -> str:
    """Say the finding in numbers: for a terminal, and above the figure.

    Args:
        surfaces: One surface, or several.
        labels: Their names; by default what tells them apart.

    Returns:
        Sentences; one line per surface, then one for every two BN modes of one network.
    """
    many = [surfaces] if isinstance(surfaces, Surface) else list(surfaces)
    names = surface_labels(many) if labels is None else labels
    panels = surface_panels(many, names)
    alone = len(many) == 1
    groups = [_finding(s, [p for p in panels if p.surface == i], alone=alone) for i, s in enumerate(many)]
    if not _sampled_together(many):
        groups = [" ".join([group, *sampling_sentence([s])]) for group, s in zip(groups, many, strict=True)]
    lines = [f"{name}: {group}" if name else group for name, group in zip(names, groups, strict=True)]
    shared = sampling_sentence(many) if _sampled_together(many) else ()
    return "\n".join([*lines, *modes_summary(many, names), *shared])


def _sampled_together(surfaces: Sequence[Surface]) -> bool:
    """Whether one sentence about measured cells serves several surfaces."""
    return len(surfaces) > 1 and len({surface.grid.shape for surface in surfaces}) == 1


def _finding(surface: Surface, panels: list[SurfacePanel], *, alone: bool) -> str:
    gaps = sum(panel.gaps for panel in panels)
    are = f"{count(gaps, 'cell')} of {surface.loss.size:,} {'is a gap' if gaps == 1 else 'are gaps'}."
    rest = [are] if gaps else []
    if alone:
        return " ".join([_center(surface), *_largest(panels), *_lowest(surface), *share_sentence(surface), *rest])
    center, top = surface.center, [panel.largest.loss for panel in panels if panel.largest]
    short = (
        f"loss {with_error(center.loss, center.loss_sem)} at the center"  # the tables say more: figures stay in sight
    )
    short += "" if math.isnan(center.accuracy) else f", accuracy {number(center.accuracy, 3)}"
    if top:
        span = number(min(top)) if len(top) == 1 else f"{number(min(top))} to {number(max(top))}"
        short += f"; largest loss of {'its plane' if len(panels) == 1 else f'each of its {len(panels)} planes'} {span}"
    return " ".join([f"{short}.", *rest])


def _center(surface: Surface) -> str:
    center = surface.center
    over = f"over {count(center.examples, 'example')}" if center.examples else ""
    error = "" if math.isnan(center.loss_sem) else " ".join(f"(standard error {over}".split()) + ")"
    text = " ".join(f"The loss at the center is {with_error(center.loss, center.loss_sem)} {error or over}".split())
    return text + ("." if math.isnan(center.accuracy) else f", the accuracy {number(center.accuracy, 3)}.")


def _largest(panels: list[SurfacePanel]) -> list[str]:
    top = [panel.largest.loss for panel in panels if panel.largest]
    if not top:
        return []
    if len(top) == 1:
        return [f"The largest loss on its plane is {number(top[0])}."]
    span = f"{number(min(top))} and {number(max(top))}"
    return [f"The largest loss of each of its {len(panels)} planes lies between {span}."]


def _lowest(surface: Surface) -> list[str]:
    from landscape.surface.metrics import metrics  # its room brings torch along

    found = metrics(surface)["depth"]
    if not found.pairs:
        return []
    below = int((found.values > 0).sum())
    center = surface.grid.center
    if not below and center is not None and surface.measured[:, *center].all():
        return [f"The center is the lowest cell of {'its plane' if surface.pairs == 1 else 'every plane'}."]
    if not below:
        return ["No measured cell lies below the center."]
    pair = int(np.nanargmax(found.values))
    depth, error = float(found.values[pair]), float(found.error[pair])
    text = f"The lowest cell has {number(surface.center.loss - depth)}, {number(depth, 2)}"
    text += "" if math.isnan(error) else f" ± {number(error, 2)}"
    text += " below the center, at alpha {}, beta {}".format(*(number(float(at), 3) for at in found.places[pair]))
    if surface.pairs == 1:
        return [f"{text}."]
    return [f"{text} of pair {pair + 1}; cells below the center are on {below} of {surface.pairs} planes."]


def surface_conditions(surfaces: Sequence[Surface]) -> tuple[str, ...]:
    """List the conditions that no surface may be shown without.

    Args:
        surfaces: Surfaces drawn together.

    Returns:
        BN mode, data, precision, seed and planes, each as one short phrase; what differs is listed side by side.
    """
    modes = [_mode(s) for s in surfaces]
    data = [data_words(s.recipe, s.center.examples) for s in surfaces]
    precision = [str(s.recipe.get("precision", "not recorded")) for s in surfaces]
    seeds = [str(s.recipe.get("seed", "not recorded")) for s in surfaces]
    planes = [f"{count(s.pairs, 'plane')} of {s.grid.shape[0]} × {s.grid.shape[1]} cells" for s in surfaces]
    named = zip(("BN mode", "data", "precision", "seed", ""), (modes, data, precision, seeds, planes), strict=True)
    return tuple(f"{name} {' / '.join(dict.fromkeys(values))}".strip() for name, values in named)


def _mode(surface: Surface) -> str:
    mode = str(surface.recipe.get("bn", "not recorded"))
    if mode == "batch" and surface.recipe.get("batch_size"):
        mode += f" (of {surface.recipe['batch_size']})"
    return mode if _has_bn(surface) else f"{mode} (no BatchNorm layer)"


def _has_bn(surface: Surface) -> bool:
    return bool(surface.recipe.get("has_batchnorm", True))


def surface_table(panels: Sequence[SurfacePanel]) -> Table:
    """Tabulate center, lowest and largest loss, pair by pair.

    Args:
        panels: The planes.

    Returns:
        One row per plane.
    """
    header = ("plane", "center", "lowest", "at α, β", "largest", "at α, β", "gaps", "measured")
    rows = tuple(
        (
            panel.name,
            with_error(panel.center.loss, panel.center.sem),
            *_cells(panel.lowest),
            *_cells(panel.largest),
            f"{panel.gaps:,}",
            f"{panel.measured:,}",
        )
        for panel in panels
    )
    note = (
        "Loss ± standard error over examples: how far it would move with others. All cells share their examples, so "
        "the shape is surer than the level: pointing at a cell gives its difference from the center, with the paired "
        "error. Lowest and largest are measured cells; gaps are not done or not finite."
    )
    return Table("Loss on each plane", header, rows, note=note)


def _cells(point: Point | None) -> tuple[str, str]:
    return (with_error(point.loss, point.sem), _place(point, "")) if point else ("–", "–")


def _place(point: Point, words: str = "alpha {}, beta {}") -> str:
    return (words or "{}, {}").format(number(point.alpha, 3), number(point.beta, 3))


def surface_facts(surface: Surface, label: str = "") -> tuple[Facts, ...]:
    """Collect how a surface was made: for the folded block.

    Args:
        surface: The surface.
        label: Its name where there are several.

    Returns:
        Groups of facts; empty groups are left out.
    """
    recipe, provenance = dict(surface.recipe), dict(surface.provenance)
    known = {*_NETWORK, *_DATA, *_MEASUREMENT, *_PLANES, *_HIDDEN}
    measurement = facts("Measurement", recipe, _MEASUREMENT).items
    verdict = (("BatchNorm", VERDICT),) if recipe.get("has_batchnorm") else ()
    groups = [
        Facts("Network", facts("", recipe, _NETWORK).items + facts("", provenance, ("checkpoint",)).items),
        facts("Data", recipe, _DATA),
        Facts("Measurement", measurement + verdict),
        Facts("Planes", facts("", recipe, _PLANES).items + _grid(surface)),
        facts("Geometry checks", {k: v for k, v in surface.checks.items() if k not in _SAID}),
        facts("Other settings", {k: v for k, v in recipe.items() if k not in known}),
        facts("Execution", surface.execution),
        facts("Environment", surface.environment),
        facts("Origin", _origin(provenance)),
        Facts("Command that remakes it", _command(provenance), code=True),
    ]
    prefix = f"{label}: " if label else ""
    return tuple(Facts(prefix + group.title, group.items, group.code) for group in groups if group.items)


def _origin(provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in provenance.items() if k not in {"command", "checkpoint"} and v}


def _command(provenance: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    command = provenance.get("command")
    return (("command", str(command)),) if command else ()


def _grid(surface: Surface) -> tuple[tuple[str, str], ...]:
    axes = (("alpha", surface.grid.alpha), ("beta", surface.grid.beta))
    items = [(name, f"{count(len(v), 'point')}, {number(v[0])} to {number(v[-1])}") for name, v in axes]
    if surface.error_estimate > 0:
        items.append(("estimated relative interpolation error", number(surface.error_estimate, 2)))
    return tuple(items)
