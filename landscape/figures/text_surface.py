"""Surfaces in words: title, finding, conditions, table and the facts behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from landscape.figures.data import Facts, Table, count, data_words, facts, listed, number
from landscape.figures.data_surface import Point, SurfacePanel, surface_labels, surface_panels
from landscape.records import Surface

_NETWORK = ("model", "model_options", "model_hash")
_DATA = ("dataset", "split", "limit", "examples", "normalization", "image_size", "channels")
_MEASUREMENT = ("loss", "bn", "has_batchnorm", "batch_size", "precision", "seed")
_PLANES = ("normalize", "orthogonal", "directions")
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
        Sentences; one line per surface.
    """
    many = [surfaces] if isinstance(surfaces, Surface) else list(surfaces)
    names = surface_labels(many) if labels is None else labels
    panels = surface_panels(many, names)
    groups = [_finding(s, [p for p in panels if p.surface == i]) for i, s in enumerate(many)]
    return "\n".join(f"{name}: {group}" if name else group for name, group in zip(names, groups, strict=True))


def _finding(surface: Surface, panels: list[SurfacePanel]) -> str:
    center = surface.center
    parts = [
        f"The loss at the center is {_loss(center.loss, center.loss_sem)}"
        + ("" if math.isnan(center.accuracy) else f", the accuracy {number(center.accuracy, 3)}")
        + (f", over {count(center.examples, 'example')}." if center.examples else ".")
    ]
    largest = [panel.largest for panel in panels if panel.largest]
    if largest:
        top = [point.loss for point in largest]
        one = f"The largest loss on its plane is {number(max(top))}."
        span = f"{number(min(top))} and {number(max(top))}"
        parts.append(
            one if len(top) == 1 else f"The largest loss of each of its {len(panels)} planes lies between {span}."
        )
    low = min((p for p in panels if p.lowest), key=lambda p: p.lowest.loss if p.lowest else math.inf, default=None)
    if low is not None and low.lowest is not None:
        place = f" of pair {low.pair + 1}" if len(panels) > 1 else ""
        parts.append(f"The lowest cell has {number(low.lowest.loss)}, at {_place(low.lowest)}{place}.")
    gaps = sum(panel.gaps for panel in panels)
    if gaps:
        parts.append(f"{count(gaps, 'cell')} of {surface.loss.size:,} {'is a gap' if gaps == 1 else 'are gaps'}.")
    filled = sum(int(panel.interpolated.sum()) for panel in panels)
    if filled:
        parts.append(f"{count(filled, 'cell')} of {surface.loss.size:,} interpolated, not measured.")
    return " ".join(parts)


def surface_assumed(surfaces: Sequence[Surface]) -> tuple[str, ...]:
    """Collect what was assumed about the checkpoints, and the warnings: both belong beside the center's loss.

    Args:
        surfaces: Surfaces drawn together.

    Returns:
        Sentences, each once.
    """
    texts: list[str] = []
    for surface in surfaces:
        texts += [f"Assumed: {text}" for text in _sentences(surface.provenance.get("assumed"))]
        texts += [f"Warning: {text}" for text in _sentences(surface.provenance.get("warnings"))]
        if surface.at_chance:
            texts.append(_chance(surface))
        if surface.recipe.get("bn") == "batch" and surface.recipe.get("batch_size") == surface.recipe.get("examples"):
            texts.append("One batch holds all examples: BN modes batch and recalibrated are the same function then.")
        if surface.checks.get("ok") is False:
            texts.append("Warning: a geometry check failed; the folded block below the figure lists them.")
        if surface.grid.center is None:
            texts.append("The grid has no cell at the center: the center's loss comes from its own evaluation.")
    return tuple(dict.fromkeys(texts))


def _chance(surface: Surface) -> str:
    text = (
        f"Warning: the accuracy at the center, {number(surface.center.accuracy, 3)}, is that of guessing among "
        f"{surface.recipe['classes']} classes"
    )
    return text + ("; what was assumed may be wrong." if surface.provenance.get("assumed") else ".")


def _sentences(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(text) for text in value or ()]


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
    header = ("plane", "center", "lowest", "at α, β", "largest", "at α, β", "gaps", "interpolated")
    rows = tuple(
        (
            panel.name,
            _loss(panel.center.loss, panel.center.sem),
            *_cells(panel.lowest),
            *_cells(panel.largest),
            f"{panel.gaps:,}",
            f"{int(panel.interpolated.sum()):,}",
        )
        for panel in panels
    )
    note = (
        "Loss ± standard error over examples. Lowest and largest are measured cells; gaps are not done or not finite."
    )
    return Table("Loss on each plane", header, rows, note=note)


def _cells(point: Point | None) -> tuple[str, str]:
    return (_loss(point.loss, point.sem), _place(point, "")) if point else ("–", "–")


def _place(point: Point, words: str = "alpha {}, beta {}") -> str:
    return (words or "{}, {}").format(number(point.alpha, 3), number(point.beta, 3))


def _loss(loss: float, sem: float) -> str:
    return number(loss) + ("" if math.isnan(sem) else f" ± {number(sem, 2)}")


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
        facts("Geometry checks", surface.checks),
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
