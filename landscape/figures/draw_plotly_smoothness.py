"""Probes along training with plotly: a panel for each quantity, each network in its colour on every one of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from landscape.figures.data import Scale
from landscape.figures.data_band import Curve
from landscape.figures.data_smoothness import Overlay, TraceCurves, TracePanel, columns_for
from landscape.figures.draw_plotly import NEUTRAL, Drawing, Frame, base_layout, escaped, frame, nested
from landscape.figures.draw_plotly_band import band_trace, line_trace

_EDGES = ("smallest over η", "largest over η")


def draw_traces(panels: Sequence[TracePanel]) -> Drawing:
    """Draw the panels of a figure.

    Args:
        panels: The panels.

    Returns:
        The drawing.
    """
    data: list[dict[str, Any]] = []
    for i, panel in enumerate(panels):
        axes = {"xaxis": f"x{_number(i)}", "yaxis": f"y{_number(i)}"}
        data += [trace | axes for trace in _traces(panel)]
    seen: set[str] = set()
    for trace in data:
        trace["showlegend"] = "name" in trace and trace["name"] not in seen
        seen.add(trace.get("name", ""))
    columns = columns_for(len(panels))
    wide = frame(len(panels), columns=columns, row_height=300 if len(panels) > 3 else 400, gap_x=0.07, gap=96)
    narrow = frame(len(panels), columns=1, row_height=240, gap=96)
    low = _layout(panels, narrow)
    entries = sum(trace["showlegend"] for trace in data)
    low["margin"] |= {"b": 80 + 22 * entries}
    low["height"] += 22 * entries
    return Drawing(data, _layout(panels, wide), low)


def _number(panel: int) -> str:
    return "" if panel == 0 else str(panel + 1)


def _traces(panel: TracePanel) -> Iterator[dict[str, Any]]:
    for curves in panel.networks:
        yield from _network(panel, curves)
    for overlay in panel.published:
        yield from _published(panel, overlay)


def _network(panel: TracePanel, curves: TraceCurves) -> Iterator[dict[str, Any]]:
    group = {"legendgroup": curves.name, "showlegend": False}
    if curves.faint is not None:
        least, most = (_on_axis(edge, panel.scale) for edge in curves.faint)
        yield band_trace(least, most, curves.color, 0.12) | group
    edges = [_on_axis(edge, panel.scale) for edge in curves.edges]
    if len(edges) == 2:
        yield band_trace(edges[0], edges[1], curves.color, 0.26) | group
    mean = f", mean of {len(curves.seeds)} seeds" if len(curves.seeds) > 1 else ""
    for k, edge in enumerate(edges):
        word = f"<br>{_EDGES[k]}" if len(edges) == 2 else ""
        yield {
            **line_trace(edge),
            **group,
            "line": {"color": curves.color, "width": 1.6},
            "hovertemplate": f"step %{{x}}: %{{y:.4g}}<br>{escaped(curves.name)}{mean}{word}<extra></extra>",
        } | ({"name": escaped(curves.name)} if k == 0 else {})
    if curves.saturated is not None and len(curves.saturated.x):
        yield _marks(curves, curves.saturated) | group


def _marks(curves: TraceCurves, marks: Curve) -> dict[str, Any]:
    look = {"size": 6, "symbol": "circle-open", "color": curves.color, "line": {"width": 1.3}}
    hover = f"step %{{x}}: %{{y:.4g}}<br>{escaped(curves.name)}: saturated, no more than 1 / smallest η<extra></extra>"
    points = {"type": "scatter", "mode": "markers", "x": nested(marks.x), "y": nested(marks.y)}
    return {**points, "marker": look, "hovertemplate": hover}


def _published(panel: TracePanel, overlay: Overlay) -> Iterator[dict[str, Any]]:
    for k, edge in enumerate(overlay.edges):
        word = f", {_EDGES[k]}" if overlay.high is not None else ""
        yield {
            **line_trace(_on_axis(edge, panel.scale)),
            "mode": "lines",
            "line": {"color": overlay.color, "width": 1.1, "dash": "dash"},
            "opacity": 0.8,
            "hovertemplate": f"step %{{x}}: %{{y:.4g}}<br>{escaped(overlay.name)}{word}<extra></extra>",
            "legendgroup": "published",
        } | ({"name": escaped(overlay.name.split(" (")[0])} if k == 0 else {})


def _on_axis(curve: Curve, scale: Scale) -> Curve:
    """Leave a gap where a logarithmic axis has no place."""
    return curve if scale == "linear" else Curve(curve.x, np.where(curve.y > 0, curve.y, np.nan), curve.name)


def _layout(panels: Sequence[TracePanel], place: Frame) -> dict[str, Any]:
    layout = base_layout(place, [place.headline(i, panel.title, lift=0.01) for i, panel in enumerate(panels)])
    look = {"gridcolor": NEUTRAL, "zeroline": False, "automargin": False}
    shapes: list[dict[str, Any]] = []
    for i, panel in enumerate(panels):
        across, up = place.domain(i)
        last = i + place.columns >= len(panels)  # nothing below it
        x_title = {"text": "training step" if last or place.columns == 1 else "", "standoff": 6}
        axis = {"domain": up, "anchor": f"x{_number(i)}", "type": panel.scale, **_ticks(panel)}
        end = panel.end
        if end is not None:
            axis["range"] = [-0.03 * end, end]
            layout["annotations"].append(_corner(i, panel.note))
        layout[f"xaxis{_number(i)}"] = {**look, "domain": across, "anchor": f"y{_number(i)}", "title": x_title}
        layout[f"yaxis{_number(i)}"] = {
            **look,
            **axis,
            "title": {"text": panel.unit, "standoff": 4, "font": {"size": 12}},
        }
        if i:
            layout[f"xaxis{_number(i)}"]["matches"] = "x"
        for level in panel.levels:
            shapes.append(_level(i, level))
    layout["shapes"] = shapes
    layout["margin"] = {"l": 64, "r": 12, "t": 40, "b": 96}
    return layout


def _ticks(panel: TracePanel) -> dict[str, Any]:
    """Plain numbers; on a logarithmic axis at 1, 2 and 5, or over many decades at some six powers of ten."""
    if panel.scale == "linear" or panel.decades < 3:
        return {"tickformat": "~g"} | ({"dtick": "D2"} if panel.scale == "log" else {})
    return {"dtick": math.ceil(panel.decades / 6), "exponentformat": "power"}


def _corner(panel: int, text: str) -> dict[str, Any]:
    place = {"x": 1, "y": 1, "xref": f"x{_number(panel)} domain", "yref": f"y{_number(panel)} domain"}
    return {"text": text, **place, "xanchor": "right", "yanchor": "top", "showarrow": False, "font": {"size": 11}}


def _level(panel: int, level: float) -> dict[str, Any]:
    line = {"color": "rgba(128,128,128,0.9)", "width": 1.2, "dash": "dot"}
    place = {
        "xref": f"x{_number(panel)} domain",
        "yref": f"y{_number(panel)}",
        "x0": 0,
        "x1": 1,
        "y0": level,
        "y1": level,
    }
    return {"type": "line", "line": line, **place}
