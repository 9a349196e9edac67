"""Numbers of a surface: one value per pair, then mean, spread and interval over the pairs.

The interval is that of the mean, by Student's t with 95 % confidence. Pairs are independent draws, so it speaks about
random planes through this one network: not about other seeds of its training, nor about other examples. How far a
number depends on the examples is its ``error``, which comes from the standard errors of the cells. An interval of a
share is not cut off at 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from landscape.records import Surface
from landscape.records.base import BoolArray, FloatArray, IntArray
from landscape.surface import plane_numbers as plane
from landscape.surface.plane_numbers import Found, Plane
from landscape.surface.radius import default_budget

CONFIDENCE = 0.95
_AREA = "Each cell stands for the area nearest to it."


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One number of every plane, and what the planes say together.

    Args:
        name: Its key.
        label: Its name for a reader.
        unit: Unit of the values; empty for none.
        values: Shape ``(pairs,)``; NaN where a plane does not have it.
        error: Standard error of the values over the examples, shape ``(pairs,)``; NaN where it is not known. For sums
            of cells an upper bound: all cells share their examples, and the bound holds however they correlate.
        left_out: Cells of each plane that could not take part, for want of a finite loss or of a measured one.
        estimated: Planes whose value interpolated cells decide, shape ``(pairs,)``.
        places: Alpha and beta where a value was found, shape ``(pairs, 2)``; NaN for values of the whole plane.
        mean: Mean over the pairs that have the number.
        spread: Their standard deviation (divided by n - 1); NaN for fewer than two.
        low: Lower end of the 95 % interval of the mean; NaN for fewer than two.
        high: Upper end.
        definition: What it is, with the numbers that this surface brings in.
    """

    name: str
    label: str
    unit: str
    values: FloatArray
    error: FloatArray
    left_out: IntArray
    estimated: BoolArray
    places: FloatArray
    mean: float
    spread: float
    low: float
    high: float
    definition: str

    @property
    def pairs(self) -> int:
        """Number of pairs that have the number."""
        return int(np.isfinite(self.values).sum())


_METRICS: dict[str, tuple[str, str, Callable[[Plane], Found], str]] = {
    "rise": (
        "rise to the border",
        "{unit}",
        plane.rise,
        "Mean loss on the border of the plane minus the center's loss.",
    ),
    "median": (
        "median loss",
        "{unit}",
        plane.median,
        f"The loss that half of the plane's area exceeds; +infinity counts as largest. {_AREA}",
    ),
    "share_below": (
        "share below {budget}",
        "",
        plane.share_below,
        "Share of the plane's area with a loss below {budget}{rule}; a cell of infinite loss is not below. " + _AREA,
    ),
    "elongation": (
        "elongation of that share",
        "",
        plane.elongation,
        "Longest through shortest half-axis of the part below {budget}, from its second moments: 1 if it reaches "
        "equally far in all directions of the plane. The border of the plane cuts it off.",
    ),
    "curvature_alpha": (
        "curvature along α",
        "{unit}/α²",
        partial(plane.curvature, axis=0),
        "Second difference of the loss at the center along alpha, {alpha}: exact for a parabola, an average over the "
        "step else. One unit of alpha moves the network by its whole first direction.",
    ),
    "curvature_beta": (
        "curvature along β",
        "{unit}/β²",
        partial(plane.curvature, axis=1),
        "The same along beta, {beta}.",
    ),
    "convex_share": (
        "convex share",
        "",
        plane.convex_share,
        "Share of the plane's interior where the 2 × 2 matrix of second differences has no negative eigenvalue, up to "
        "rounding. Cells whose neighbours are not all measured are left out; with fewer than half left, interpolated "
        "cells take part, and the share is an estimate.",
    ),
    "variation": (
        "normalised variation",
        "",
        plane.variation,
        "Total variation of the loss divided by its range, mean of the lines through the center along alpha and beta: "
        "1 for a line that only rises, 2 for a bowl with equal rims, more with every swing (Wu et al. 2021, "
        "arXiv:2103.11069).",
    ),
    "lowest": ("lowest loss", "{unit}", plane.lowest, "Smallest measured loss of the plane."),
    "largest": ("largest loss", "{unit}", plane.largest, "Largest measured finite loss of the plane."),
    "depth": (
        "depth below the center",
        "{unit}",
        plane.depth,
        "The center's loss minus the lowest measured loss: above zero, the center is no minimum of the plane; the cell "
        "on the center and differences within the evaluator's error count as 0. The lowest of many cells is low by "
        "chance too, so compare it with its error.",
    ),
}


def budget_of(surface: Surface) -> float:
    """Return the loss below which a part of a plane counts as low.

    Args:
        surface: A surface.

    Returns:
        The budget that its range was sought with; else five times the center's loss plus one.
    """
    asked = surface.recipe.get("budget")
    return float(asked) if isinstance(asked, int | float) else default_budget(surface.center.loss)


def metrics(surface: Surface, *, budget: float | None = None) -> dict[str, Metric]:
    """Compute the numbers of a surface.

    Args:
        surface: A surface; it need not be finished.
        budget: Loss below which a part of a plane counts as low; by default five times the center's loss plus one.

    Returns:
        Metrics by name. ``plane_numbers`` holds the rule of each.
    """
    limit = budget_of(surface) if budget is None else budget
    planes = [plane.plane_of(surface, pair, limit) for pair in range(surface.pairs)]
    words = {
        "unit": "nats" if surface.recipe.get("loss", "cross_entropy") in {"cross_entropy", "bce"} else "loss",
        "budget": f"{limit:.4g}",
        "rule": " (five times the center's loss plus one)" if budget is None else "",
        "alpha": _steps(planes, 0),
        "beta": _steps(planes, 1),
    }
    found = {}
    for name, (label, unit, compute, definition) in _METRICS.items():
        numbers = [compute(p) for p in planes]
        found[name] = _metric(name, label.format(**words), unit.format(**words), definition.format(**words), numbers)
    return found


def _metric(name: str, label: str, unit: str, definition: str, found: list[Found]) -> Metric:
    values = np.array([f.value for f in found], np.float64)
    mean, spread, low, high = summary(values)
    return Metric(
        name=name,
        label=label,
        unit=unit,
        values=values,
        error=np.array([f.error for f in found], np.float64),
        left_out=np.array([f.left_out for f in found], np.int64),
        estimated=np.array([f.estimated for f in found], np.bool_),
        places=np.array([f.place for f in found], np.float64).reshape(len(found), 2),
        mean=mean,
        spread=spread,
        low=low,
        high=high,
        definition=definition,
    )


def _steps(planes: list[Plane], axis: int) -> str:
    """Steps of the second difference at the center, in words."""
    ends = [end for p in planes for end in plane.neighbours(p, axis) or ()]
    if not ends:
        return "which needs measured cells at the center and on both sides of it"
    points = planes[0].alpha if axis == 0 else planes[0].beta
    steps = sorted({float(f"{abs(points[end[axis]]):.4g}") for end in ends})
    return f"step {steps[0]:g}" if len(steps) == 1 else f"steps from {steps[0]:g} to {steps[-1]:g}"


def roughness_index(surface: Surface) -> float:
    """Return the roughness index of the lines through the center, along alpha and beta of every pair.

    Args:
        surface: A surface with a cell on the center.

    Returns:
        Standard deviation through mean of their normalised total variations; NaN for fewer than two lines.

    Source: Wu et al. 2021, arXiv:2103.11069, who take independent directions; the two of a pair are orthogonal.
    """
    planes = [plane.plane_of(surface, pair, math.nan) for pair in range(surface.pairs)]
    mean, spread, _, _ = summary(
        np.array([plane.line_variation(line)[1] for p in planes for line in plane.center_lines(p)])
    )
    return spread / mean if mean > 0 else math.nan


def summary(values: FloatArray) -> tuple[float, float, float, float]:
    """Summarise independent draws.

    Args:
        values: One per draw; what is not finite is left out.

    Returns:
        Mean, standard deviation, and both ends of the 95 % interval of the mean by Student's t; NaN where there are
        too few values.
    """
    kept = np.sort(values[np.isfinite(values)])  # sorted: the order of the draws leaves no trace in the rounding
    if kept.size < 2:
        return (float(kept[0]) if kept.size else math.nan), math.nan, math.nan, math.nan
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = float(kept.mean()), float(kept.std(ddof=1))
    from scipy.special import stdtrit  # takes time to import

    half = float(stdtrit(kept.size - 1, (1 + CONFIDENCE) / 2)) * spread / math.sqrt(kept.size)
    return mean, spread, mean - half, mean + half
