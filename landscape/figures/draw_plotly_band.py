"""Bands with plotly: one panel for each pair of networks, without BatchNorm in one colour and with it in the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from landscape.figures.data import WITH_BN, WITHOUT_BN, Scale, count
from landscape.figures.data_band import AXES, BandCurves, BandPanel, Curve, Show, axis_end, axis_note, stretches
from landscape.figures.draw_plotly import NEUTRAL, Drawing, Frame, base_layout, escaped, frame, nested


def draw_bands(
    panels: Sequence[BandPanel], *, show: Show = "mean", scale: Scale = "linear", runs: Literal["hide", "show"] = "hide"
) -> Drawing:
    """Draw bands side by side.

    Args:
        panels: The panels.
        show: What their curves are: names the axes.
        scale: Kind of vertical axis.
        runs: Whether single runs are drawn; collapsed and diverged ones always are, dashed.

    Returns:
        The drawing.
    """
    data: list[dict[str, Any]] = []
    for i, panel in enumerate(panels):
        number = "" if i == 0 else str(i + 1)
        for network in panel.networks:
            axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
            data += [trace | axes for trace in _traces(network, runs)]
    _name_once(data)
    columns = len(panels) if len(panels) < 4 else 3 if len(panels) % 3 == 0 else 2
    wide = frame(len(panels), columns=columns, row_height=400, gap_x=0.05, gap=90)
    narrow = frame(len(panels), columns=1, row_height=280, gap=90)
    entries = sum(trace["showlegend"] for trace in data)
    low = _layout(panels, show, scale, narrow)
    low["margin"] |= {"b": 80 + 22 * entries}
    low["height"] += 22 * entries
    return Drawing(data, _layout(panels, show, scale, wide), low)


def _name_once(data: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for trace in data:
        trace["showlegend"] = "name" in trace and trace["name"] not in seen
        seen.add(trace.get("name", ""))


def _traces(network: BandCurves, runs: str) -> Iterator[dict[str, Any]]:
    color = WITH_BN if network.with_bn else WITHOUT_BN
    name, group = escaped(network.variant), {"legendgroup": network.legend, "showlegend": False}
    if network.faint is not None:
        yield band_trace(*network.faint, color, 0.12) | group
    over = f"{name}: {count(len(network.rates), network.over)}"
    yield band_trace(network.low, network.high, color, network.fill) | group
    for edge, word in ((network.low, "smallest"), (network.high, "largest")):
        hover = f"%{{x}}: %{{y:.4g}}<br>{word} of {over}<extra></extra>"
        look = {"color": color, "width": 1.8}
        named = {"name": escaped(network.legend)} if word == "largest" else {}
        yield {**line_trace(edge), "line": look, "hovertemplate": hover, **group, **named}
    for run in network.runs:
        if run.flag or runs == "show":
            words = f"{name} at {escaped(run.name)}" + (f", {run.flag}" if run.flag else "")
            look = {"color": color, "width": 1.4 if run.flag else 0.9, "dash": "dash" if run.flag else "solid"}
            yield {
                **line_trace(run),
                "line": look,
                "hovertemplate": f"%{{x}}: %{{y:.4g}}<br>{words}<extra></extra>",
                **group,
            } | ({"name": words} if run.flag else {})


def line_trace(curve: Curve) -> dict[str, Any]:
    """Make a line of a curve; few points are marked, gaps stay gaps."""
    few = len(curve.x) <= 40
    look = {"mode": "lines+markers", "marker": {"size": 4}} if few else {"mode": "lines"}
    return {"type": "scatter", "x": nested(curve.x), "y": nested(curve.y), "connectgaps": False, **look}


def band_trace(low: Curve, high: Curve, color: str, opacity: float) -> dict[str, Any]:
    """Fill between two curves, stretch by stretch: a gap is not bridged."""
    x: list[float | None] = []
    y: list[float | None] = []
    for a, b in stretches(low, high):
        lower, upper = _between(low, a, b), _between(high, a, b)
        x += [*nested(lower[0]), *nested(upper[0][::-1]), None]
        y += [*nested(lower[1]), *nested(upper[1][::-1]), None]
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    fill = {"fill": "toself", "fillcolor": f"rgba({red},{green},{blue},{opacity})"}
    look = {"mode": "lines", "line": {"color": color, "width": 0}, "hoverinfo": "skip"}
    return {"type": "scatter", "x": x, "y": y, **fill, **look}


def _between(curve: Curve, first: float, last: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    inside = (curve.x >= first) & (curve.x <= last) & np.isfinite(curve.y)
    return curve.x[inside], curve.y[inside]


def _layout(panels: Sequence[BandPanel], show: Show, scale: Scale, place: Frame) -> dict[str, Any]:
    layout = base_layout(place, [place.headline(i, panel.title, lift=0.01) for i, panel in enumerate(panels)])
    x_title, y_title = AXES[show]
    look = {"gridcolor": NEUTRAL, "zeroline": False, "automargin": False}
    end = axis_end(panels, show, scale)
    for i in range(len(panels)):
        number = "" if i == 0 else str(i + 1)
        across, up = place.domain(i)
        title = {"text": y_title, "standoff": 6} if i % place.columns == 0 else {"text": ""}
        axis = {
            "domain": up,
            "anchor": f"x{number}",
            "title": title,
            "type": "linear" if show == "val_accuracy" else scale,
        }
        if end is not None:
            axis["range"] = [-0.03 * end, end]
        layout[f"xaxis{number}"] = {
            **look,
            "domain": across,
            "anchor": f"y{number}",
            "title": {"text": x_title, "standoff": 6},
        }
        layout[f"yaxis{number}"] = {**look, **axis, "matches": "y"} if i else {**look, **axis}
    if end is not None:
        note = axis_note(panels, show, scale)
        layout["annotations"].append({
            "text": note, "x": 1, "y": 1, "xref": "paper", "yref": "paper", "xanchor": "right", "yanchor": "top",
            "showarrow": False, "font": {"size": 11},
        })  # fmt: skip
    layout["margin"] = {"l": 64, "r": 12, "t": 40, "b": 100}
    return layout
