"""What panels of one figure share: a range of losses, ticks, and iso-lines at round losses with their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import contourpy
import numpy as np

from landscape.figures.data import Scale, number, round_values, scaled
from landscape.figures.data_surface import SurfacePanel
from landscape.records.base import FloatArray

_LABEL = (0.2, 0.13)  # room that a label takes, in half-widths and half-heights of a plane


@dataclass(frozen=True, slots=True)
class IsoLine:
    """All places of one loss on a plane.

    Args:
        level: The loss.
        lines: Curves of shape ``(n, 2)``: alpha, beta.
    """

    level: float
    lines: tuple[FloatArray, ...]


def loss_range(panels: Sequence[SurfacePanel], scale: Scale) -> tuple[float, float]:
    """Find the one range of losses that all panels share; the centers count.

    Args:
        panels: Panels drawn together.
        scale: Kind of axis.

    Returns:
        Smallest and largest loss that can be drawn, widened a little where they are equal; ``(1, 10)`` without any.
    """
    values = np.concatenate([np.append(panel.loss.ravel(), panel.center.loss) for panel in panels])
    shown = values[np.isfinite(scaled(values, scale))]
    if not shown.size:
        return 1.0, 10.0
    low, high = float(shown.min()), float(shown.max())
    if scale == "log":
        return (low, high) if high / low > 1 + 1e-6 else (low / 1.05, high * 1.05)
    margin = max(abs(low), abs(high), 1e-9) * 0.05
    return (low, high) if high - low > 1e-6 * max(abs(low), abs(high)) else (low - margin, high + margin)


def axis_limits(limits: tuple[float, float], scale: Scale) -> tuple[float, float]:
    """Find the ends of a loss axis that several curves share.

    Args:
        limits: Smallest and largest loss.
        scale: Kind of axis.

    Returns:
        Both ends with a margin, on the axis that is drawn.
    """
    low, high = (float(v) for v in scaled(np.array(limits), scale))
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def levels(limits: tuple[float, float], scale: Scale) -> list[float]:
    """Choose the losses of the iso-lines: round ones inside the range.

    Args:
        limits: Smallest and largest loss.
        scale: Kind of axis.

    Returns:
        Increasing losses.
    """
    return [v for v in round_values(*limits, scale, most=9) if limits[0] < v < limits[1]]


def iso_lines(panel: SurfacePanel, levels: Sequence[float], scale: Scale) -> tuple[IsoLine, ...]:
    """Trace lines of equal loss; between cells the loss is interpolated on the axis that is drawn, never over a gap.

    Args:
        panel: A plane.
        levels: Losses.
        scale: Kind of axis.

    Returns:
        One entry per level that occurs.
    """
    z = scaled(panel.loss, scale)
    if panel.is_line or not np.isfinite(z).any():
        return ()
    tracer = contourpy.contour_generator(panel.alpha, panel.beta, np.ma.masked_invalid(z))
    found = []
    for level in levels:
        lines = tracer.lines(math.log10(level) if scale == "log" else level)
        if lines:
            found.append(IsoLine(level, tuple(np.asarray(line) for line in lines)))
    return tuple(found)


def ticks(limits: tuple[float, float], scale: Scale, *, most: int = 8) -> tuple[list[float], list[str]]:
    """Place round losses on the axis.

    Args:
        limits: Smallest and largest loss.
        scale: Kind of axis.
        most: Number of ticks that is not exceeded.

    Returns:
        Positions on the axis that is drawn, and the losses as text.
    """
    values = round_values(*limits, scale, most=most)
    return [math.log10(v) if scale == "log" else v for v in values], [number(v) for v in values]


def label_places(panel: SurfacePanel, lines: Sequence[IsoLine]) -> list[tuple[float, float, float]]:
    """Choose where the loss of an iso-line is written: along one diagonal, and never over another label or mark.

    Args:
        panel: The plane.
        lines: Its iso-lines.

    Returns:
        Alpha, beta and loss of each label.
    """
    half = np.array([np.ptp(panel.alpha), np.ptp(panel.beta)]) / 2
    middle = np.array([panel.alpha.mean(), panel.beta.mean()])
    marks = [panel.center] + ([panel.lowest] if panel.lowest else [])
    taken: list[np.ndarray[Any, Any]] = [(np.array([m.alpha, m.beta]) - middle) / half for m in marks]
    places = []
    for line in lines:
        longest = max(line.lines, key=len)
        inside = (longest - middle) / half
        inside_ok = np.abs(inside).max(axis=1) < 0.93
        if not inside_ok.any():
            continue
        order = np.argsort(
            np.where(inside_ok, -(inside @ np.array([0.5, 1.0])) / np.linalg.norm(inside, axis=1).clip(1e-9), np.inf)
        )
        free = (k for k in order[: inside_ok.sum()] if all((np.abs(inside[k] - t) > _LABEL).any() for t in taken))
        best = next(free, None)
        if best is not None:
            taken.append(inside[best])
            places.append((float(longest[best, 0]), float(longest[best, 1]), line.level))
    return places
