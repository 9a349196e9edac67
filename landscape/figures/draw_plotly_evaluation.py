"""An evaluation with plotly: the confusion matrix, and beside its rows the accuracy of every class."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.figures.data import number
from landscape.figures.data_evaluation import COLOR, LONGEST, RAMP, WHITE_FROM, EvaluationFigure
from landscape.figures.draw_plotly import NEUTRAL, Drawing, base_layout, escaped, frame, nested

_PAGE, _GAP = 1040, 46  # width of the figure in a usual window, and between the matrix and the bars [px]
_TOP = 62  # the tools of the figure, and below them the headlines [px]
_RED, _GREEN, _BLUE = COLOR
_FULL = f"rgb({_RED},{_GREEN},{_BLUE})"
_BAR, _INTERVAL = f"rgba({_RED},{_GREEN},{_BLUE},0.45)", _FULL
_TITLES = {"rates": "confusion, % of the true class", "counts": "confusion, number of images"}
_PHONE, _SHORT = 345, 12  # width of the figure on a telephone [px], and letters of a name there
_LETTER = 6.6  # width of a letter of an axis [px]


def draw_evaluation(panel: EvaluationFigure) -> Drawing:
    """Draw an evaluation.

    Args:
        panel: What to draw.

    Returns:
        The drawing: side by side with shared rows in a wide window, one above the other in a narrow one.
    """
    data = [_matrix(panel), *_labels(panel), _bars(panel)]
    return Drawing(data, _wide(panel), _narrow(panel))


def _matrix(panel: EvaluationFigure) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "z": nested(panel.z),
        "coloraxis": "coloraxis",
        "xgap": 1 if panel.labelled else 0,
        "ygap": 1 if panel.labelled else 0,
        "text": [[escaped(words) for words in row] for row in panel.hover],
        "hovertemplate": "%{text}<extra></extra>",
        "hoverongaps": True,
        "xaxis": "x",
        "yaxis": "y",
    }


def _colors(panel: EvaluationFigure, x: float) -> dict[str, Any]:
    """The scale of colours, with its bar at ``x`` where no cell says its number."""
    scale = [[at, f"rgba({_RED},{_GREEN},{_BLUE},{strength})"] for at, strength in RAMP]
    bar = {"thickness": 10, "outlinewidth": 0, "x": x, "xanchor": "left", "xpad": 8, "len": 200, "lenmode": "pixels"}
    bar |= {"y": 1, "yanchor": "top", "ypad": 0}
    limits = {"cmin": 0, "cmax": panel.largest, "colorscale": scale}
    return limits | {"showscale": not panel.labelled, "colorbar": bar}


def _labels(panel: EvaluationFigure) -> list[dict[str, Any]]:
    """Numbers in the cells: white on strong colours, in the page's own colour on the others."""
    if not panel.labelled:
        return []
    strong = panel.z > WHITE_FROM * panel.largest
    return [
        _words(panel, rows, columns, {"color": "#ffffff"} if white else {})
        for white in (True, False)
        for rows, columns in [np.nonzero(strong if white else ~strong & (panel.z > 0))]
    ]


def _words(panel: EvaluationFigure, rows: Any, columns: Any, font: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "text",
        "x": columns.tolist(),
        "y": rows.tolist(),
        "text": [escaped(panel.text[i][j]) for i, j in zip(rows, columns, strict=True)],
        "textfont": {"size": 12 if max(panel.z.shape) <= 12 else 10, **font},
        "hoverinfo": "skip",
        "showlegend": False,
        "xaxis": "x",
        "yaxis": "y",
    }


def _bars(panel: EvaluationFigure) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "x": nested(panel.accuracy),
        "y": list(range(len(panel.classes))),
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": nested(panel.high - panel.accuracy),
            "arrayminus": nested(panel.accuracy - panel.low),
            "color": _INTERVAL,
            "thickness": 1.6 if panel.labelled else 0.8,
            "width": 3 if panel.labelled else 0,
        },
        "marker": {"color": _BAR, "line": {"width": 0}},
        "width": 0.72,
        "customdata": [escaped(words) for words in panel.bar_hover],
        "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": False,
        "xaxis": "x2",
        "yaxis": "y2",
    }


def _wide(panel: EvaluationFigure) -> dict[str, Any]:
    rows, columns = panel.z.shape
    inner = min(640, max(240, 40 * rows))
    margin = {"l": 30 + _width(panel.classes), "r": 20, "t": _TOP, "b": 34 + _width(panel.outputs)}
    layout = _layout(panel, room=(inner // 20, inner // 20, inner // 20), longest=LONGEST)
    width = _PAGE - margin["l"] - margin["r"]
    end = min(0.62, inner * columns / rows / width)  # square cells, with the bars in what is left
    start = end + (_GAP if panel.labelled else _GAP + 60) / width
    layout["height"] = inner + margin["t"] + margin["b"]
    layout["meta"] = {"least": min(layout["height"], 460)}
    layout["margin"] = margin
    layout["xaxis"] |= {"domain": [0, round(end, 4)], "constraintoward": "left"}
    layout["xaxis2"]["domain"] = [round(start, 4), 1]
    layout["coloraxis"] = _colors(panel, round(end, 4))
    layout["yaxis"]["domain"] = layout["yaxis2"]["domain"] = [0, 1]
    layout["yaxis2"] |= {"matches": "y", "showticklabels": False}
    layout["annotations"] += [_headline(_TITLES[panel.cells], 0), _headline(_overall(panel), start)]
    return layout


def _narrow(panel: EvaluationFigure) -> dict[str, Any]:
    rows, columns = panel.z.shape
    left, below = 26 + _width(panel.classes, _SHORT), 40 + _width(panel.outputs, _SHORT)
    right = 10 if panel.labelled else 54
    matrix = round((_PHONE + 10 - left - right) * min(1.5, rows / columns))
    bars, gap = min(560, max(110, 22 * rows)), below + 34
    inner = matrix + gap + bars
    layout = _layout(panel, room=(matrix // 16, matrix // 16, bars // 18), longest=_SHORT)
    layout["height"] = inner + _TOP + 46
    layout["margin"] = {"l": left, "r": right, "t": _TOP, "b": 46}
    layout["coloraxis"] = _colors(panel, 1.0)
    layout["xaxis"]["domain"] = layout["xaxis2"]["domain"] = [0, 1]
    layout["yaxis"]["domain"] = [round((bars + gap) / inner, 4), 1]
    layout["yaxis2"]["domain"] = [0, round(bars / inner, 4)]
    layout["yaxis"]["title"] = {"text": ""}  # the names say it, and there is no room
    layout["annotations"] += [
        _headline(_TITLES[panel.cells], 0),
        _headline(_overall(panel), 0) | {"y": bars / inner},
    ]
    for headline in layout["annotations"][-2:]:
        headline["xshift"] = -left + 4
    return layout


def _layout(panel: EvaluationFigure, *, room: tuple[int, int, int], longest: int) -> dict[str, Any]:
    """Axes that both arrangements share; ``room`` is how many columns, rows and bars can be named."""
    rows, columns = panel.z.shape
    layout = base_layout(frame(1, columns=1, row_height=400), [])
    at, names = panel.ticks(panel.outputs, max(1, room[0]), longest)
    sides = [panel.ticks(panel.classes, max(1, most), longest) for most in room[1:]]
    matrix, bars = (
        {"tickvals": places, "ticktext": [escaped(name) for name in words], "range": [rows - 0.5, -0.5]}
        for places, words in sides
    )
    plain = {"showgrid": False, "zeroline": False, "ticks": "", "ticklabelstandoff": 4, "automargin": False}
    framed = {"showline": True, "mirror": True, "linecolor": NEUTRAL, "linewidth": 1}
    layout["xaxis"] = {
        **plain,
        **framed,
        "anchor": "y",
        "range": [-0.5, columns - 0.5],
        "tickvals": at,
        "ticktext": [escaped(name) for name in names],
        "tickangle": -90 if max(map(len, names)) > 2 else 0,
        "title": _axis_title("said (predicted class)"),
        "scaleanchor": "y",
        "constrain": "domain",
    }
    layout["yaxis"] = {**plain, **framed, **matrix, "anchor": "x", "title": _axis_title("true class")}
    layout["xaxis2"] = {
        "anchor": "y2",
        "range": [0, 101],
        "gridcolor": NEUTRAL,
        "zeroline": False,
        "title": _axis_title("accuracy [%]"),
    }
    layout["yaxis2"] = {**plain, **bars, "anchor": "x2"}
    layout["shapes"] = [_line(panel)] if np.isfinite(panel.overall) else []
    layout["bargap"] = 0
    layout["annotations"] += _absent(panel) if panel.labelled else []
    return layout


def _absent(panel: EvaluationFigure) -> list[dict[str, Any]]:
    look = {"text": "no images", "showarrow": False, "xanchor": "left", "font": {"size": 11}}
    rows = np.flatnonzero(~np.isfinite(panel.accuracy)).tolist()
    return [{**look, "x": 0, "y": row, "xref": "x2", "yref": "y2"} for row in rows]


def _line(panel: EvaluationFigure) -> dict[str, Any]:
    ends = {"x0": panel.overall, "x1": panel.overall, "y0": 0, "y1": 1, "xref": "x2", "yref": "y2 domain"}
    return {"type": "line", **ends, "line": {"color": "rgba(128,128,128,0.9)", "width": 1, "dash": "dot"}}


def _overall(panel: EvaluationFigure) -> str:
    return f"accuracy by class; dotted: all, {number(panel.overall, 3)} %"


def _axis_title(text: str) -> dict[str, Any]:
    return {"text": text, "standoff": 8, "font": {"size": 13}}


def _headline(text: str, x: float) -> dict[str, Any]:
    place = {"x": x, "y": 1, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "yshift": 6}
    return {"text": escaped(text), "showarrow": False, "font": {"size": 13}, **place}


def _width(names: tuple[str, ...], longest: int = LONGEST) -> int:
    """Room for the longest name of an axis [px]."""
    return 14 + round(_LETTER * max(min(len(name), longest) for name in names))
