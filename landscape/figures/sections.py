"""One part of a page: a finding, a figure with its switches, tables, and how it was made."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from landscape.figures.data import Facts, Scale, Table, count
from landscape.figures.data_band import MOST_POINTS, BandPanel, Members, Show, band_panels
from landscape.figures.data_contour import loss_range
from landscape.figures.data_surface import SurfacePanel, surface_labels, surface_panels
from landscape.figures.draw_plotly import Drawing
from landscape.figures.draw_plotly_band import draw_bands
from landscape.figures.draw_plotly_surface import View, draw_surfaces
from landscape.figures.gallery import Gallery
from landscape.figures.text_band import (
    SLOW,
    accuracy_table,
    band_conditions,
    band_facts,
    band_notes,
    band_summary,
    band_table,
    band_title,
)
from landscape.figures.text_metrics import metrics_table
from landscape.figures.text_modes import modes_table
from landscape.figures.text_sampling import surface_assumed
from landscape.figures.text_surface import (
    surface_conditions,
    surface_facts,
    surface_summary,
    surface_table,
    surface_title,
)
from landscape.records import Surface, VariantBands
from landscape.smoothness import compare_bands

_MOST_SCENES = 12  # a browser keeps some 16 WebGL contexts, and a page may hold more than one figure


@dataclass(frozen=True, slots=True)
class Control:
    """A switch of a figure.

    Args:
        name: Its name in the page's address.
        label: What a reader sees.
        options: Values and their labels; the first is the default.
    """

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A part of a page.

    Args:
        title: States what was measured.
        finding: The finding in numbers, a line for each of several.
        conditions: Short phrases that must stand beside the figure.
        notes: Assumptions and warnings, above the figure.
        controls: Switches; a view is chosen by their values.
        views: Drawings by the values of all controls, in their order.
        tables: Numbers below the figure.
        facts: How it was made, folded.
        remarks: How to read the figure, below it.
        gallery: Pictures between figure and tables.
    """

    title: str
    finding: str
    conditions: tuple[str, ...]
    notes: tuple[str, ...]
    controls: tuple[Control, ...]
    views: Mapping[tuple[str, ...], Drawing]
    tables: tuple[Table, ...] = ()
    facts: tuple[Facts, ...] = ()
    remarks: tuple[str, ...] = ()
    gallery: Gallery | None = None


SCALE = Control("scale", "Loss axis", (("log", "logarithmic"), ("linear", "linear")))
VIEW = Control("view", "View", (("surface", "surface"), ("contour", "contour")))


def surface_section(
    surfaces: Surface | Sequence[Surface], *, title: str | None = None, labels: Sequence[str] | None = None
) -> Section:
    """Prepare one or more surfaces for a page: one scale of colours, linked cameras.

    Args:
        surfaces: One surface, or several that are compared.
        title: Heading; by default it states what was measured.
        labels: Names of the surfaces; by default what tells them apart.

    Returns:
        The section.

    Raises:
        UsageError: There is no surface, or the labels do not fit them.
    """
    many = (surfaces,) if isinstance(surfaces, Surface) else tuple(surfaces)
    names = surface_labels(many) if labels is None else tuple(labels)
    panels = surface_panels(many, names)
    control, chosen = _pair_choice(many, panels)
    controls = [SCALE]
    if not all(panel.is_line for panel in panels):
        controls.append(VIEW)
    if control is not None:
        controls.append(control)
    views = {
        values: _view(dict(zip([c.name for c in controls], values, strict=True)), chosen, panels)
        for values in itertools.product(*([value for value, _ in c.options] for c in controls))
    }
    tables = (modes_table(many, names), surface_table(panels), metrics_table(many, names))
    return Section(
        title=surface_title(many) if title is None else title,
        finding=surface_summary(many, names),
        conditions=surface_conditions(many),
        notes=surface_assumed(many),
        controls=tuple(controls),
        views=views,
        tables=tuple(table for table in tables if table is not None),
        facts=tuple(group for s, name in zip(many, names, strict=True) for group in surface_facts(s, name)),
    )


def _view(state: dict[str, str], chosen: dict[str, list[SurfacePanel]], every: Sequence[SurfacePanel]) -> Drawing:
    scale: Scale = "linear" if state["scale"] == "linear" else "log"
    view: View = "contour" if state.get("view") == "contour" else "surface"
    # a pair alone keeps the colours that it has among the others
    return draw_surfaces(chosen[state.get("pair", "all")], scale=scale, view=view, limits=loss_range(every, scale))


def _pair_choice(
    surfaces: Sequence[Surface], panels: Sequence[SurfacePanel]
) -> tuple[Control | None, dict[str, list[SurfacePanel]]]:
    # all pairs are the first choice while they fit one view; else one pair of every surface is
    pairs = range(max(surface.pairs for surface in surfaces))
    chosen = {str(k + 1): [panel for panel in panels if panel.pair == k] for k in pairs}
    single = [(key, f"pair {key}") for key in chosen]
    every = [("all", "all")] if len(panels) <= _MOST_SCENES else []
    options = every + single if len(panels) <= 4 else single + every
    if every:
        chosen["all"] = list(panels)
    if len(pairs) < 2:
        return None, {"all": list(panels)}
    return Control("pair", "Direction pair", tuple(options)), chosen


SHOW = Control(
    "show",
    "Curves",
    (
        ("mean", "steps, running mean"),
        ("raw", "steps, raw"),
        ("val_loss", "epochs, validation loss"),
        ("val_accuracy", "epochs, validation accuracy"),
    ),
)
RUNS = Control("runs", "Single runs", (("hide", "hidden"), ("show", "shown")))
LINEAR_FIRST = Control("scale", "Loss axis", (("linear", "linear"), ("log", "logarithmic")))
MEMBERS = Control(
    "over", "Band over", (("all", "all learning rates"), ("shared", "those that survived in both networks"))
)


def band_section(bands: VariantBands, *, title: str | None = None) -> Section:
    """Prepare a comparison of variants for a page: a panel for each network and its BatchNorm twin.

    Args:
        bands: All runs.
        title: Heading; by default it states what was measured.

    Returns:
        The section.
    """
    found = compare_bands(bands)
    controls = [SHOW, LINEAR_FIRST, RUNS]
    if any(len(c.learning_rates) > 1 for c in found) and any(c.left_out for c in found if c.ratios):
        controls.append(MEMBERS)
    if len(bands.seed) > 1:
        single = tuple((str(int(seed)), str(int(seed))) for seed in bands.seed)
        controls.append(Control("seed", "Seed", (*single, ("all", "all seeds"))))
    return Section(
        title=band_title(bands) if title is None else title,
        finding=band_summary(bands),
        conditions=band_conditions(bands),
        notes=band_notes(bands),
        controls=tuple(controls),
        views=_band_views(bands, controls),
        tables=tuple(table for table in (band_table(bands), accuracy_table(bands)) if table is not None),
        facts=band_facts(bands),
        remarks=(SLOW, *_drawn(bands)),
    )


def _band_views(bands: VariantBands, controls: Sequence[Control]) -> dict[tuple[str, ...], Drawing]:
    prepared: dict[tuple[str, str, str], tuple[BandPanel, ...]] = {}
    views = {}
    for values in itertools.product(*([value for value, _ in c.options] for c in controls)):
        state = dict(zip([c.name for c in controls], values, strict=True))
        show = cast("Show", state["show"])
        members = cast("Members", state.get("over", "all"))
        key = (state.get("seed", str(int(bands.seed[0]))), show, members)
        if key not in prepared:
            seed = None if key[0] == "all" else int(key[0])
            prepared[key] = band_panels(bands, seed=seed, show=show, members=members)
        scale, runs = cast("Scale", state["scale"]), cast('Literal["hide", "show"]', state["runs"])
        views[values] = draw_bands(prepared[key], show=show, scale=scale, runs=runs)
    return views


def _drawn(bands: VariantBands) -> list[str]:
    panels = band_panels(bands, seed=int(bands.seed[0]))
    notes = []
    window = max((panel.window for panel in panels), default=0)
    if window > 1:
        notes.append(
            f"The running mean is centred over {count(window, 'step')} and pads nothing; the raw band stands behind it."
        )
    if any(panel.thinned for panel in panels):
        steps = f"{len(bands.step):,}"
        notes.append(
            f"Curves of {steps} steps are drawn with at most {MOST_POINTS} points; no minimum or maximum is left out."
        )
    return notes
