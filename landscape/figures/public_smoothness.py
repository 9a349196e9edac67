"""One call for one figure of probes along training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from landscape.atomic import replacing
from landscape.figures.data_smoothness import Axes, TracePanel, trace_panels
from landscape.figures.draw_matplotlib_smoothness import traces_image
from landscape.figures.draw_plotly import figure
from landscape.figures.draw_plotly_smoothness import draw_traces
from landscape.figures.networks import networks
from landscape.figures.public import titled
from landscape.figures.text_smoothness import smoothness_conditions, smoothness_title
from landscape.records import SmoothnessTrace
from landscape.smoothness.published import published

Traces = SmoothnessTrace | Sequence[SmoothnessTrace]


def smoothness(traces: Traces, *, axes: Axes = "paper", seed: int | None = None, layer: str | None = None) -> go.Figure:
    """Draw probes along training: loss range, gradient predictiveness, ``beta_smoothness``, covariate shift, accuracy.

    Args:
        traces: Traces of one or more networks, at one or more seeds.
        axes: Kinds of vertical axes: as in the paper, or all of one kind.
        seed: Seed that is drawn; by default the mean over the seeds of each network, with its spread.
        layer: Layer of the covariate shift, as ``layer 5`` or by its name; by default the first that was measured.

    Returns:
        A plotly figure. Published curves are dashed where the runs were made under the paper's protocol.

    Raises:
        UsageError: There is no trace, or one run is there twice.
    """
    many, panels = _prepared(traces, axes, seed, layer)
    return titled(figure(draw_traces(panels)), f"{smoothness_title(many)}<br><sub>{_line(many, panels)}</sub>")


def write_smoothness_png(
    path: str | os.PathLike[str],
    traces: Traces,
    *,
    axes: Axes = "paper",
    seed: int | None = None,
    layer: str | None = None,
    dpi: int = 150,
) -> Path:
    """Write probes along training as an image.

    Args:
        path: The file to write, replaced whole; its ending may be ``.png``, ``.pdf`` or ``.svg``.
        traces: Traces of one or more networks, at one or more seeds.
        axes: Kinds of vertical axes: as in the paper, or all of one kind.
        seed: Seed that is drawn; by default the mean over the seeds of each network, with its spread.
        layer: Layer of the covariate shift, as ``layer 5`` or by its name; by default the first that was measured.
        dpi: Dots per inch.

    Returns:
        The path.

    Raises:
        StorageError: The file cannot be written.
        UsageError: There is no trace, or one run is there twice.
    """
    many, panels = _prepared(traces, axes, seed, layer)
    image = traces_image(panels, title=smoothness_title(many), conditions=_line(many, panels))
    target = Path(path)
    with replacing(target) as partial:
        image.savefig(partial, dpi=dpi, format=target.suffix[1:] or "png")
    return target


def _prepared(
    traces: Traces, axes: Axes, seed: int | None, layer: str | None
) -> tuple[list[SmoothnessTrace], tuple[TracePanel, ...]]:
    many = [traces] if isinstance(traces, SmoothnessTrace) else list(traces)
    overlay = any(net.counterpart for net in networks(many))
    return many, trace_panels(many, seed=seed, axes=axes, layer=layer, overlay=overlay)


def _line(traces: Sequence[SmoothnessTrace], panels: Sequence[TracePanel]) -> str:
    """What stands below the title: conditions, and what is drawn beside the curves."""
    parts = list(smoothness_conditions(traces))
    if any(curves.saturated is not None and len(curves.saturated.x) for p in panels for curves in p.networks):
        parts.append("circles: saturated")
    if any(curves.faint is not None for panel in panels for curves in panel.networks):
        parts.append("faint: from the smallest to the largest seed")
    if any(panel.published for panel in panels):
        parts.append(f"dashed: {published().citation}; its loss contains weight decay: compare gaps, not levels")
    return " · ".join(parts)
