"""A sweep with plotly: bars with the baseline's line, and all settings on parallel axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from landscape.figures.data import number
from landscape.figures.data_sweep import Axis, SweepRow
from landscape.figures.data_training import VALIDATION
from landscape.figures.draw_plotly import NEUTRAL, Drawing, base_layout, escaped, frame, nested
from landscape.figures.text_sweep import accuracy_text

BASELINE = "#808890"
_BAR = 34  # height of a bar with its gap [px]
_NARROW = 22  # characters of a name that stand beside bars on a phone


def draw_bars(rows: Sequence[SweepRow]) -> Drawing:
    """Draw validation accuracies as horizontal bars, the best on top.

    Args:
        rows: The settings, sorted.

    Returns:
        The drawing.
    """
    places = list(range(len(rows)))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": nested([row.accuracy.mean for row in rows]),
        "y": places,
        "error_x": {
            "type": "data",
            "array": [row.accuracy.sd if row.accuracy.count > 1 else 0.0 for row in rows],
            "visible": any(row.accuracy.count > 1 for row in rows),
            "thickness": 1.2,
            "color": BASELINE,
        },
        "marker": {"color": [BASELINE if row.baseline else VALIDATION for row in rows], "opacity": 0.8},
        "customdata": [_hover(row) for row in rows],
        "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": False,
    }
    seeds = [(value, place) for place, row in enumerate(rows) for value in row.accuracy.values]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": nested([value for value, _ in seeds]),
        "y": [place for _, place in seeds],
        "marker": {"size": 5, "color": "rgba(20,20,20,0.75)", "line": {"width": 1, "color": "#ffffff"}},
        "hovertemplate": "one seed: %{x:.4g}<extra></extra>",
        "showlegend": False,
    }
    return Drawing([bars, dots], _bar_layout(rows, 200), _bar_layout(rows, _NARROW))


def _hover(row: SweepRow) -> str:
    parts = [
        f"<b>{escaped(row.name)}</b>{' (baseline)' if row.baseline else ''}",
        f"validation accuracy {accuracy_text(row.accuracy)}, n = {row.accuracy.count}",
        f"validation loss {number(row.val_loss.mean)}, training loss {number(row.train_loss.mean)}",
        f"{number(row.epochs.mean, 3)} epochs",
        *row.remarks,
    ]
    return "<br>".join(parts)


def _bar_layout(rows: Sequence[SweepRow], longest: int) -> dict[str, Any]:
    layout = base_layout(frame(1, columns=1, row_height=max(_BAR * len(rows), 90)), [])
    names = [row.name if len(row.name) <= longest else f"{row.name[: longest - 1]}…" for row in rows]
    layout["meta"] = {"least": layout["height"]}
    layout["xaxis"] = {"title": {"text": "highest validation accuracy"}, "rangemode": "tozero", "gridcolor": NEUTRAL}
    layout["yaxis"] = {
        "range": [len(rows) - 0.4, -0.6],
        "tickvals": list(range(len(rows))),
        "ticktext": [escaped(name) for name in names],
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
    }
    layout["bargap"] = 0.35
    layout["margin"] = {"l": 20, "r": 20, "t": 34, "b": 56}
    base = next((row for row in rows if row.baseline), None)
    if base is not None:
        line = {"color": BASELINE, "dash": "dash", "width": 1.6}
        x = {"x0": base.accuracy.mean, "x1": base.accuracy.mean}
        layout["shapes"] = [{"type": "line", **x, "y0": 0, "y1": 1, "yref": "paper", "line": line}]
        text = {"text": "baseline", "showarrow": False, "font": {"size": 12}}
        layout["annotations"] = [
            {**text, "x": base.accuracy.mean, "y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": "center"}
        ]
    return layout


def draw_parallel(axes: Sequence[Axis]) -> Drawing:
    """Draw every setting as a line over parallel axes; its colour is its accuracy.

    Args:
        axes: The axes, the accuracy last.

    Returns:
        The drawing. Parts of an axis can be selected by dragging along it.
    """
    dimensions = [
        {"label": escaped(axis.name), "values": nested(axis.places)}
        | (_ticks(axis) if axis.ticks else {"tickformat": ".3~f"})
        for axis in axes
    ]
    line = {"color": nested(axes[-1].places), "colorscale": "Viridis", "showscale": False}
    slant = {"labelangle": -20} if len(axes) > 5 else {}
    data = [{"type": "parcoords", "dimensions": dimensions, "line": line, "labelfont": {"size": 13}, **slant}]
    layout = base_layout(frame(1, columns=1, row_height=360), [])
    layout["meta"] = {"least": layout["height"]}
    layout["margin"] = {"l": 80, "r": 70, "t": 84, "b": 30}
    return Drawing(data, layout, layout | {"margin": {"l": 50, "r": 50, "t": 84, "b": 30}}, flat=False)


def _ticks(axis: Axis) -> dict[str, Any]:
    spare = 0.15 * max(len(axis.ticks) - 1, 1)
    return {
        "tickvals": list(axis.ticks),
        "ticktext": [escaped(label) for label in axis.labels],
        "range": [-spare, len(axis.ticks) - 1 + spare],
    }
