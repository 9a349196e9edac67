"""One training run with plotly: loss and accuracy side by side, training and validation each in a colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from landscape.figures.data import Scale
from landscape.figures.data_training import TRAINING, VALIDATION, Line, Part, TrainingPanel
from landscape.figures.draw_plotly import NEUTRAL, Drawing, Frame, base_layout, frame, nested

COLORS: dict[Part, str] = {"training": TRAINING, "validation": VALIDATION, "rate": "#808890"}


def draw_training(panels: Sequence[TrainingPanel], *, scale: Scale = "linear") -> Drawing:
    """Draw the panels of a run side by side.

    Args:
        panels: The panels.
        scale: Kind of loss axis.

    Returns:
        The drawing.
    """
    data: list[dict[str, Any]] = []
    named: set[str] = set()
    for i, panel in enumerate(panels):
        number = "" if i == 0 else str(i + 1)
        for trace in _traces(panel):
            name = trace.get("name", "")
            shown = {"showlegend": bool(name) and name not in named}
            data.append(trace | shown | {"xaxis": f"x{number}", "yaxis": f"y{number}"})
            named |= {name}
    wide = frame(len(panels), columns=len(panels), row_height=400, gap_x=0.08)
    narrow = frame(len(panels), columns=1, row_height=260, gap=90)
    return Drawing(data, _layout(panels, scale, wide), _layout(panels, scale, narrow))


def _traces(panel: TrainingPanel) -> Iterator[dict[str, Any]]:
    for line in panel.lines:
        yield _trace(line)
    if panel.mark is not None:
        x, y = panel.mark
        yield {
            "type": "scatter",
            "x": nested([x]),
            "y": nested([y]),
            "mode": "markers",
            "marker": {"symbol": "diamond-open", "size": 12, "color": VALIDATION, "line": {"width": 2}},
            "name": "best",
            "legendgroup": "best",
            "hovertemplate": "%{x:.4g} epochs: %{y:.4g}<br>the network that is kept as the best<extra></extra>",
        }


def _trace(line: Line) -> dict[str, Any]:
    curve, color = line.curve, COLORS[line.part]
    behind = line.part == "training" and not line.name
    few = len(curve.x) <= 40 and not behind
    look: dict[str, Any] = {"mode": "lines+markers", "marker": {"size": 5}} if few else {"mode": "lines"}
    return {
        "type": "scatter",
        "x": nested(curve.x),
        "y": nested(curve.y),
        "connectgaps": False,
        "line": {"color": color, "width": 0.8 if behind else 1.8},
        "opacity": 0.35 if behind else 1.0,
        "hovertemplate": f"%{{x:.4g}} epochs: %{{y:.4g}}<br>{line.what}<extra></extra>",
        "legendgroup": line.part,
        **look,
    } | ({"name": line.name} if line.name else {})


def _layout(panels: Sequence[TrainingPanel], scale: Scale, place: Frame) -> dict[str, Any]:
    layout = base_layout(place, [place.headline(i, panel.title, lift=0.01) for i, panel in enumerate(panels)])
    look = {"gridcolor": NEUTRAL, "zeroline": False, "automargin": False}
    for i, panel in enumerate(panels):
        number = "" if i == 0 else str(i + 1)
        across, up = place.domain(i)
        layout[f"xaxis{number}"] = {
            **look,
            "domain": across,
            "anchor": f"y{number}",
            "title": {"text": "epoch", "standoff": 6},
        } | ({"matches": "x"} if i else {})
        kind = scale if panel.loss else "linear"
        cut = {"range": [-0.03 * panel.end, panel.end]} if panel.end is not None and kind == "linear" else {}
        title = {"text": panel.axis, "standoff": 6}
        layout[f"yaxis{number}"] = {**look, "domain": up, "anchor": f"x{number}", "title": title, "type": kind, **cut}
    layout["margin"] = {"l": 64, "r": 12, "t": 40, "b": 100}
    return layout
