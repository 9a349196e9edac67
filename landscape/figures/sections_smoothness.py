"""The part of a page that shows probes along training."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

from landscape.figures.data_band import MOST_POINTS
from landscape.figures.data_smoothness import Axes, trace_panels
from landscape.figures.draw_plotly import Drawing
from landscape.figures.draw_plotly_smoothness import draw_traces
from landscape.figures.networks import Network, family, layer_labels, networks
from landscape.figures.sections import Control, Section
from landscape.figures.tables_smoothness import smoothness_summary, smoothness_tables
from landscape.figures.text_smoothness import (
    smoothness_conditions,
    smoothness_facts,
    smoothness_notes,
    smoothness_remarks,
    smoothness_title,
)
from landscape.records import SmoothnessTrace

AXES = Control("axes", "Vertical axes", (("paper", "as in the paper"), ("log", "logarithmic"), ("linear", "linear")))
PUBLISHED = Control("published", "Published curves", (("show", "shown"), ("hide", "hidden")))


def smoothness_section(traces: SmoothnessTrace | Sequence[SmoothnessTrace], *, title: str | None = None) -> Section:
    """Prepare the probes of one or more networks for a page, with the paper's panels.

    Args:
        traces: Traces of one or more networks, at one or more seeds.
        title: Heading; by default it states what was measured.

    Returns:
        The section.

    Raises:
        UsageError: There is no trace, or one run is there twice.
    """
    many = [traces] if isinstance(traces, SmoothnessTrace) else list(traces)
    there = networks(many)
    controls = _controls(there)
    return Section(
        title=smoothness_title(many) if title is None else title,
        finding=smoothness_summary(many),
        conditions=smoothness_conditions(many),
        notes=smoothness_notes(many),
        controls=controls,
        views=_views(there, controls),
        tables=smoothness_tables(many),
        facts=smoothness_facts(many),
        remarks=_drawn(many),
    )


def _controls(there: Sequence[Network]) -> tuple[Control, ...]:
    controls = [AXES]
    families = list(dict.fromkeys(family(net.model) for net in there))
    if len(families) > 1:
        controls.append(Control("family", "Networks", tuple((name, name) for name in families)))
    seeds = sorted({seed for net in there for seed in net.seeds})
    if len(seeds) > 1:
        single = [(str(seed), str(seed)) for seed in seeds]
        controls.append(Control("seed", "Seed", (("mean", "mean and spread"), *single)))
    layers = list(dict.fromkeys(name for net in there for trace in net.traces for name in layer_labels(trace)))
    if len(layers) > 1:
        controls.append(Control("layer", "Layer of the covariate shift", tuple((name, name) for name in layers)))
    if any(net.counterpart for net in there):
        controls.append(PUBLISHED)
    return tuple(controls)


def _views(there: Sequence[Network], controls: Sequence[Control]) -> dict[tuple[str, ...], Drawing]:
    views = {}
    for values in itertools.product(*([value for value, _ in c.options] for c in controls)):
        state = dict(zip([c.name for c in controls], values, strict=True))
        chosen = [net for net in there if family(net.model) == state.get("family", family(net.model))]
        seed = state.get("seed", "mean")
        panels = trace_panels(
            [trace for net in chosen for trace in net.traces],
            seed=None if seed == "mean" else int(seed),
            axes=cast("Axes", state["axes"]),
            layer=state.get("layer"),
            overlay=state.get("published") == "show",
        )
        views[values] = draw_traces(panels)
    return views


def _drawn(traces: Sequence[SmoothnessTrace]) -> tuple[str, ...]:
    thinned = any(len(trace.step) > MOST_POINTS for trace in traces)
    text = f"Curves are drawn with at most {MOST_POINTS} points; no minimum or maximum is left out."
    return (*smoothness_remarks(traces), *([text] if thinned else []))
