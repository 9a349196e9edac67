"""The traces of one plane: a surface over its iso-lines, the plane from above, or a curve."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from landscape.figures.data import Scale, number, scaled
from landscape.figures.data_contour import IsoLine, iso_lines, levels
from landscape.figures.data_surface import SurfacePanel, cell_text
from landscape.figures.draw_plotly import nested
from landscape.records.base import FloatArray, IntArray

_HOVER = "alpha %{x:.3g}<br>beta %{y:.3g}<br>loss %{text}<extra></extra>"
_CENTER, _LOWEST, _MEASURED = "#e4572e", "#ffffff", "#f3e9d2"
_SILENT = {"hoverinfo": "skip"}


def floor_and_top(limits: tuple[float, float], scale: Scale) -> tuple[float, float]:
    """Find the height of the floor and of the largest loss.

    Args:
        limits: Smallest and largest loss.
        scale: Kind of axis.

    Returns:
        Both on the axis that is drawn.
    """
    # the floor lies below the smallest loss, so that projected iso-lines are not hidden by the surface
    low, high = (float(v) for v in scaled(np.array(limits), scale))
    return low - 0.3 * (high - low), high


def scene_traces(panel: SurfacePanel, scale: Scale, limits: tuple[float, float]) -> Iterator[dict[str, Any]]:
    """Draw a surface over the iso-lines on its floor.

    Args:
        panel: The plane.
        scale: Kind of loss axis.
        limits: Smallest and largest loss of the figure.

    Yields:
        Plotly traces.
    """
    z = scaled(panel.loss, scale)
    floor = floor_and_top(limits, scale)[0]
    yield {
        "type": "surface",
        "x": nested(panel.alpha),
        "y": nested(panel.beta),
        "z": nested(z),
        "text": cell_text(panel),
        "coloraxis": "coloraxis",
        "hovertemplate": _HOVER,
        "lighting": {"ambient": 0.75, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9},
        "contours": {axis: {"highlight": False} for axis in "xyz"},
    }
    lines = iso_lines(panel, levels(limits, scale), scale)
    if lines:
        yield _floor_lines(lines, scale, floor)
    if panel.interpolated.any():
        rows, columns = _measured(panel, z)
        place = {"x": nested(panel.alpha[columns]), "y": nested(panel.beta[rows]), "z": nested(z[rows, columns])}
        look = {"size": 2.5, "color": _MEASURED, "line": {"color": "#444444", "width": 1}}
        yield {"type": "scatter3d", "mode": "markers", "name": "measured cell", **place, "marker": look} | _SILENT
    for mark in _marks(panel, scale, "scatter3d"):  # on the surface, and on the floor where nothing hides it
        yield mark | {key: mark[key] * 2 for key in ("x", "y", "text")} | {"z": [*mark["z"], floor]}


def _measured(panel: SurfacePanel, z: FloatArray) -> tuple[IntArray, IntArray]:
    """Rows and columns of the cells that are drawn and were measured."""
    rows, columns = np.nonzero(~panel.interpolated & np.isfinite(z))
    return rows, columns


def _floor_lines(lines: tuple[IsoLine, ...], scale: Scale, floor: float) -> dict[str, Any]:
    x, y = _joined(lines)
    levels = [line.level for line in lines for part in line.lines for _ in range(len(part) + 1)]
    color = nested(scaled(np.array(levels), scale))
    place = {"x": x, "y": y, "z": [None if v is None else floor for v in x]}
    look = {"color": color, "coloraxis": "coloraxis", "width": 3}
    return {"type": "scatter3d", "mode": "lines", **place, "line": look} | _SILENT


def _joined(lines: Sequence[IsoLine]) -> tuple[list[float | None], list[float | None]]:
    x: list[float | None] = []
    y: list[float | None] = []
    for part in (part for line in lines for part in line.lines):
        x += [*part[:, 0].tolist(), None]
        y += [*part[:, 1].tolist(), None]
    return x, y


def _marks(panel: SurfacePanel, scale: Scale, kind: str) -> Iterator[dict[str, Any]]:
    points = [("lowest cell", panel.lowest, "circle", _LOWEST), ("center", panel.center, "diamond", _CENTER)]
    for name, point, symbol, color in points:
        height = scaled(np.array([math.nan if point is None else point.loss]), scale)
        if point is None or math.isnan(height[0]):
            continue
        accuracy = "" if math.isnan(point.accuracy) else f"<br>accuracy {number(point.accuracy, 3)}"
        sem = "" if math.isnan(point.sem) else f" ± {number(point.sem, 2)}"
        yield {
            "type": kind,
            "mode": "markers",
            "name": name,
            "x": [point.alpha],
            "y": [point.beta],
            **({"z": nested(height)} if kind == "scatter3d" else {}),
            "text": [f"{number(point.loss)}{sem}{accuracy}<br>{name}"],
            "hovertemplate": _HOVER,
            "marker": {
                "size": 5 if kind == "scatter3d" else 9,
                "symbol": symbol,
                "color": color,
                "line": {"color": "#ffffff" if color == _CENTER else "#222222", "width": 1.5},
            },
        }


def plane_traces(panel: SurfacePanel, scale: Scale, limits: tuple[float, float]) -> Iterator[dict[str, Any]]:
    """Draw a plane from above, with iso-lines.

    Args:
        panel: The plane.
        scale: Kind of loss axis.
        limits: Smallest and largest loss of the figure.

    Yields:
        Plotly traces.
    """
    z = scaled(panel.loss, scale)
    if np.isfinite(z).any():
        yield {
            "type": "contour",
            "x": nested(panel.alpha),
            "y": nested(panel.beta),
            "z": nested(z),
            "text": cell_text(panel),
            "coloraxis": "coloraxis",
            "hovertemplate": _HOVER,
            "connectgaps": False,
            "contours": {"coloring": "heatmap", "showlines": False},
            "line": {"width": 0},
        }
    lines = iso_lines(panel, levels(limits, scale), scale)
    if lines:
        x, y = _joined(lines)
        look = {"color": "rgba(255,255,255,0.85)", "width": 1.2}
        yield {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": look} | _SILENT
    if panel.interpolated.any():
        rows, columns = _measured(panel, z)
        place = {"x": nested(panel.alpha[columns]), "y": nested(panel.beta[rows])}
        look = {"size": 4, "color": _MEASURED, "line": {"color": "#444444", "width": 0.75}}
        yield {"type": "scatter", "mode": "markers", "name": "measured cell", **place, "marker": look} | _SILENT
    yield from _marks(panel, scale, "scatter")


def curve_traces(panel: SurfacePanel, scale: Scale, limits: tuple[float, float]) -> Iterator[dict[str, Any]]:
    """Draw a plane that has a single row.

    Args:
        panel: The plane.
        scale: Kind of loss axis.
        limits: Smallest and largest loss of the figure.

    Yields:
        Plotly traces.
    """
    along = panel.alpha if panel.loss.shape[1] > 1 else panel.beta
    shown = np.where(np.isfinite(scaled(panel.loss, scale)), panel.loss, np.nan).ravel()
    name = "alpha" if panel.loss.shape[1] > 1 else "beta"
    yield {
        "type": "scatter",
        "mode": "lines+markers",
        "x": nested(along),
        "y": nested(shown),
        "error_y": {"type": "data", "array": nested(panel.loss_sem.ravel()), "thickness": 1, "width": 2},
        "text": [text for row in cell_text(panel) for text in row],
        "hovertemplate": f"{name} %{{x:.3g}}<br>loss %{{text}}<extra></extra>",
        "line": {"color": "#31688e", "width": 2},
        "marker": {"size": 5},
    }
    for mark in _marks(panel, scale, "scatter"):
        point = panel.center if mark["name"] == "center" else panel.lowest
        if point is not None:
            at = point.alpha if name == "alpha" else point.beta
            hover = f"{name} %{{x:.3g}}<br>loss %{{text}}<extra></extra>"
            yield mark | {"x": [at], "y": [point.loss], "hovertemplate": hover}
