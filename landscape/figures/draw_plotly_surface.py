"""Surfaces with plotly: linked scenes, or squares with labelled iso-lines, on one scale of colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from landscape.figures.arrangement import Arrangement, arranged
from landscape.figures.data import Scale, number, scaled
from landscape.figures.data_contour import axis_limits, iso_lines, label_places, levels, loss_range, ticks
from landscape.figures.data_surface import SurfacePanel
from landscape.figures.draw_plotly import NEUTRAL, Drawing, Frame, base_layout, frame, nested
from landscape.figures.traces_surface import curve_traces, floor_and_top, plane_traces, scene_traces

View = Literal["surface", "contour"]
SCENE, PLANE, CURVE = "scene", "plane", "curve"
_EYE = {"x": 0.95, "y": -1.12, "z": 1.0}
_LOOK_AT = {"x": 0, "y": 0, "z": -0.2}


def draw_surfaces(
    panels: Sequence[SurfacePanel],
    *,
    scale: Scale = "log",
    view: View = "surface",
    limits: tuple[float, float] | None = None,
) -> Drawing:
    """Draw planes side by side.

    Args:
        panels: The planes; one scale of colours serves them all.
        scale: Kind of loss axis.
        view: Interactive surfaces, or seen from above with iso-lines.
        limits: Smallest and largest loss of the scale; by default those of the panels.

    Returns:
        The drawing. A plane with a single row is drawn as a curve in both views.
    """
    places = arranged(panels)
    kinds = [_kind(panel, scale, view) for panel in places.panels]
    limits = loss_range(panels, scale) if limits is None else limits
    data: list[dict[str, Any]] = []
    for number_, (panel, kind) in enumerate(zip(places.panels, kinds, strict=True)):
        draw = {SCENE: scene_traces, PLANE: plane_traces, CURVE: curve_traces}[kind]
        axes = {"scene": _axis("scene", number_)} if kind == SCENE else _plane_axes(number_)
        data += [trace | axes for trace in draw(panel, scale, limits)]
    _name_once(data)
    row = {1: 560, 2: 440}.get(len(panels), 340)
    gap = 30 if set(kinds) == {SCENE} else 88
    inset = 0.13 if places.columns == 2 and PLANE in kinds else 0.0  # squares stand close together
    slots = places.rows * places.columns
    shape = frame(slots, columns=places.columns, row_height=row, gap_x=0.04, gap=gap, inset=inset)
    wide = _layout(places, kinds, scale, limits, shape)
    below = Arrangement(places.panels, 1, tuple(range(len(panels))))
    narrow = _layout(below, kinds, scale, limits, frame(len(panels), columns=1, row_height=300, gap=gap))
    _lay_bar_down(narrow)
    return Drawing(data, wide, narrow, flat=SCENE not in kinds)


def _kind(panel: SurfacePanel, scale: Scale, view: View) -> str:
    if panel.is_line:
        return CURVE
    return SCENE if view == "surface" and np.isfinite(scaled(panel.loss, scale)).any() else PLANE


def _axis(name: str, index: int) -> str:
    return name if index == 0 else f"{name}{index + 1}"


def _plane_axes(index: int) -> dict[str, str]:
    return {"xaxis": _axis("x", index), "yaxis": _axis("y", index)}


def _name_once(data: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for trace in data:
        name = trace.get("name", "")
        trace["showlegend"] = bool(name) and name not in seen
        trace["legendgroup"] = name
        seen.add(name)


def _layout(
    places: Arrangement,
    kinds: list[str],
    scale: Scale,
    limits: tuple[float, float],
    shape: Frame,
) -> dict[str, Any]:
    titles = [shape.headline(slot, panel.title(scale)) for panel, slot in zip(places.panels, places.slots, strict=True)]
    layout = base_layout(shape, titles)
    kind_at = dict(zip(places.slots, kinds, strict=True))
    for i, (panel, slot, kind) in enumerate(zip(places.panels, places.slots, kinds, strict=True)):
        if kind == SCENE:
            layout[_axis("scene", i)] = _scene(panel, scale, limits, shape, slot)
            continue
        x, y = _flat_axes(panel, kind, scale, shape.domain(slot), i)
        if kind == CURVE:
            y["range"] = list(axis_limits(limits, scale))
        if slot % shape.columns and kind == kind_at.get(slot - 1):
            del y["title"]
        if kind == kind_at.get(slot + shape.columns):
            del x["title"]
        layout[_axis("xaxis", i)], layout[_axis("yaxis", i)] = x, y
        if kind == PLANE:
            layout["annotations"] += [] if np.isfinite(scaled(panel.loss, scale)).any() else [_nothing(i)]
            layout["annotations"] += _labels(panel, scale, limits, i)
    if set(kinds) != {CURVE}:
        layout["coloraxis"] = _coloraxis(limits, scale)
        layout["margin"] = layout["margin"] | {"r": 76, "l": 10 if SCENE in kinds else 56}
    return layout


def _lay_bar_down(layout: dict[str, Any]) -> None:
    for scene in (layout[key] for key in layout if key.startswith("scene")):
        scene["zaxis"]["title"] = {"text": ""}  # cut off at the edge, and the bar says it
    if "coloraxis" in layout:
        place = {"orientation": "h", "x": 0.5, "y": 1, "yref": "container", "yanchor": "top", "len": 1, "thickness": 10}
        layout["coloraxis"]["colorbar"] |= place
        layout["margin"] = layout["margin"] | {"r": 16, "t": 96, "b": 100}
        layout["height"] += 90


def _nothing(index: int) -> dict[str, Any]:
    axes = {"xref": f"{_axis('x', index)} domain", "yref": f"{_axis('y', index)} domain", "x": 0.5, "y": 0.6}
    return {"text": "no loss that this axis can show", "showarrow": False, **axes}


def _coloraxis(limits: tuple[float, float], scale: Scale) -> dict[str, Any]:
    at, text = ticks(limits, scale)
    low, high = (float(v) for v in scaled(np.array(limits), scale))
    bar = {"title": {"text": "loss", "side": "top"}, "tickvals": at, "ticktext": text, "len": 0.8, "thickness": 14}
    look = {"outlinewidth": 0, "x": 1.01, "xpad": 4}
    return {"colorscale": "Viridis", "cmin": low, "cmax": high, "colorbar": bar | look}


def _scene(panel: SurfacePanel, scale: Scale, limits: tuple[float, float], shape: Frame, slot: int) -> dict[str, Any]:
    at, text = ticks(limits, scale, most=5)
    floor, high = floor_and_top(limits, scale)
    margin = 0.02 * (high - floor)  # what lies on the very edge of a scene is cut off
    spans = [float(np.ptp(panel.alpha)), float(np.ptp(panel.beta))]
    look = {"showbackground": False, "gridcolor": NEUTRAL, "zerolinecolor": "#888888", "showspikes": False}
    small = {"tickfont": {"size": 10}, "title": {"font": {"size": 12}}, "nticks": 5}
    axes = {
        name + "axis": {**look, **small, "title": {"text": title, "font": {"size": 12}}}
        for name, title in (("x", "α"), ("y", "β"), ("z", "loss"))
    }
    axes["zaxis"] |= {"tickvals": at, "ticktext": text, "range": [floor - margin, high + margin], "zeroline": False}
    if shape.columns > 2:  # a narrow scene would cut it off, and the colour bar says it too
        axes["zaxis"]["title"] = {"text": ""}
    across, up = shape.domain(slot)
    away = min(max(1.5 / shape.aspect, 1.0), 1.4)  # a narrow scene is seen from farther away
    return {
        **axes,
        "domain": {"x": across, "y": up},
        "camera": {"eye": {k: round(v * away, 3) for k, v in _EYE.items()}, "center": _LOOK_AT},
        "aspectmode": "manual",
        "aspectratio": {"x": spans[0] / max(spans), "y": spans[1] / max(spans), "z": 0.7},
    }


def _flat_axes(
    panel: SurfacePanel, kind: str, scale: Scale, domain: tuple[list[float], list[float]], index: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    look = {"gridcolor": NEUTRAL, "zerolinecolor": "#888888", "automargin": False}
    x = {**look, "domain": domain[0], "anchor": _axis("y", index), "title": {"text": "α", "standoff": 4}}
    y = {**look, "domain": domain[1], "anchor": _axis("x", index), "title": {"text": "β", "standoff": 4}}
    if kind == CURVE:
        if panel.loss.shape[1] == 1:
            x["title"] = {"text": "β", "standoff": 4}
        y |= {"title": {"text": "loss", "standoff": 4}, "type": "log" if scale == "log" else "linear"}
        return x, y
    fit = {"constrain": "domain", "showgrid": False}
    x |= fit | {"range": nested(panel.alpha[[0, -1]])}
    y |= fit | {"range": nested(panel.beta[[0, -1]]), "scaleanchor": _axis("x", index), "scaleratio": 1}
    return x, y


def _labels(panel: SurfacePanel, scale: Scale, limits: tuple[float, float], index: int) -> list[dict[str, Any]]:
    look = {
        "showarrow": False,
        "bgcolor": "rgba(255,255,255,0.8)",
        "borderpad": 1,
        "font": {"size": 10, "color": "#222222"},
    }
    axes = {"xref": _axis("x", index), "yref": _axis("y", index)}
    lines = iso_lines(panel, levels(limits, scale), scale)
    return [{"x": x, "y": y, "text": number(level), **axes, **look} for x, y, level in label_places(panel, lines)]
