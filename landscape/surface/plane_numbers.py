"""Numbers of one plane: closed rules on a grid that may be uneven and may have holes. NumPy only.

Cells that have no finite loss are never replaced: they are left out and counted. Where only the side of a threshold
matters, +infinity counts as larger than everything. A share or a mean over the plane weighs each cell by the area that
is nearest to it, so that an uneven grid does not count its dense part twice. Interpolated cells take part where a
smooth filling does no harm; extremes and curvatures are of measured cells only, and so is the convex share where those
are enough for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from landscape.records import Surface
from landscape.records.base import BoolArray, FloatArray

_ROUNDING = 16 * np.finfo(np.float64).eps  # of a second difference: at most nine values, each rounded once or twice


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One plane of a surface; every matrix is ``[i_alpha, i_beta]``.

    Args:
        alpha: Multipliers of the first direction.
        beta: Multipliers of the second direction.
        loss: Loss; NaN where it is not done.
        loss_sem: Standard error of the loss.
        delta_sem: Standard error of the difference from the center's loss.
        finite: Where the loss is a number.
        measured: Where it is a number that was measured.
        weight: Area that is nearest to each cell.
        center_loss: Loss of the checkpoint, evaluated outside the grid.
        center: Indices of the cell on the center, if there is one.
        budget: Loss below which a part of the plane counts as low.
        rounding: Difference from the center's loss that says nothing: the error of the way cells were evaluated.
    """

    alpha: FloatArray
    beta: FloatArray
    loss: FloatArray
    loss_sem: FloatArray
    delta_sem: FloatArray
    finite: BoolArray
    measured: BoolArray
    weight: FloatArray
    center_loss: float
    center: tuple[int, int] | None
    budget: float
    rounding: float


@dataclass(frozen=True, slots=True)
class Found:
    """A number of one plane.

    Args:
        value: The number; NaN where the plane does not have it.
        left_out: Cells that could not take part, for want of a loss.
        error: Its standard error over the examples, or an upper bound of it; NaN where it is not known.
        place: Alpha and beta that it belongs to; NaN for a number of the whole plane.
        estimated: Whether interpolated cells decide it.
    """

    value: float = math.nan
    left_out: int = 0
    error: float = math.nan
    place: tuple[float, float] = (math.nan, math.nan)
    estimated: bool = False


def plane_of(surface: Surface, pair: int, budget: float) -> Plane:
    """Take one plane out of a surface.

    Args:
        surface: The surface.
        pair: Index of the direction pair.
        budget: Loss below which a part of the plane counts as low.

    Returns:
        The plane.
    """
    loss = np.where(surface.done[pair], surface.loss[pair], np.nan)
    return Plane(
        alpha=surface.grid.alpha,
        beta=surface.grid.beta,
        loss=loss,
        loss_sem=surface.loss_sem[pair],
        delta_sem=surface.delta_sem[pair],
        finite=np.isfinite(loss),
        measured=np.isfinite(loss) & surface.measured[pair],
        weight=np.outer(_widths(surface.grid.alpha), _widths(surface.grid.beta)),
        center_loss=surface.center.loss,
        center=surface.grid.center,
        budget=budget,
        rounding=float(surface.checks.get("evaluator_error", 0.0)) * abs(surface.center.loss),
    )


def _widths(axis: FloatArray) -> FloatArray:
    """Length of the axis that is nearest to each of its points; one for a single point."""
    if axis.size == 1:
        return np.ones(1)
    return np.diff(np.concatenate([axis[:1], (axis[1:] + axis[:-1]) / 2, axis[-1:]]))


def rise(plane: Plane) -> Found:
    """Return the mean loss on the border minus the center's loss; each border cell weighs its length of border."""
    weight = np.zeros(plane.loss.shape)
    if plane.alpha.size > 1:
        weight[[0, -1], :] += _widths(plane.beta)
    if plane.beta.size > 1:
        weight[:, [0, -1]] += _widths(plane.alpha)[:, None]
    border = weight > 0
    used = border & plane.finite
    if not used.any():
        return Found(left_out=int(border.sum()))
    known = used & np.isfinite(plane.delta_sem)
    error = float(np.average(plane.delta_sem[known], weights=weight[known])) if known.any() else math.nan
    mean = float(np.average(plane.loss[used], weights=weight[used])) - plane.center_loss
    return Found(mean, int((border & ~used).sum()), error)


def median(plane: Plane) -> Found:
    """Return the loss that half of the plane's area exceeds."""
    known = ~np.isnan(plane.loss)
    if not known.any():
        return Found(left_out=known.size)
    order = np.argsort(plane.loss[known], kind="stable")
    losses, below = plane.loss[known][order], np.cumsum(plane.weight[known][order])
    half = below[-1] / 2
    first = int(np.argmax(below >= half * (1 - 1e-12)))
    tie = below[first] <= half * (1 + 1e-12) and first + 1 < losses.size
    return Found(float(losses[first : first + 2].mean() if tie else losses[first]), int((~known).sum()))


def share_below(plane: Plane) -> Found:
    """Return the share of the plane's area whose loss is below the budget."""
    known, low = _low(plane)
    left_out = int((~known).sum())
    if not known.any() or math.isnan(plane.budget):
        return Found(left_out=left_out)
    return Found(float(plane.weight[low].sum() / plane.weight[known].sum()), left_out)


def elongation(plane: Plane) -> Found:
    """Return the longest through the shortest half-axis of the part below the budget, from its second moments."""
    known, low = _low(plane)
    left_out = int((~known).sum())
    if min(plane.loss.shape) < 2 or low.sum() < 3:
        return Found(left_out=left_out)
    places = np.stack(np.meshgrid(plane.alpha, plane.beta, indexing="ij"))[:, low]
    small, large = np.linalg.eigvalsh(np.cov(places, aweights=plane.weight[low], ddof=0))
    return Found(math.sqrt(large / small) if small > 1e-9 * large else math.nan, left_out)


def _low(plane: Plane) -> tuple[BoolArray, BoolArray]:
    known = ~np.isnan(plane.loss)
    return known, known & (plane.loss < plane.budget)


def neighbours(plane: Plane, axis: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Find the measured cells next to the center on both sides along an axis.

    Args:
        plane: The plane.
        axis: 0 for alpha, 1 for beta.

    Returns:
        Indices of the cell below and of the cell above; None where one of the three is missing.
    """
    if plane.center is None or not plane.measured[plane.center]:
        return None
    here, other = plane.center[axis], plane.center[1 - axis]
    along = plane.measured[:, other] if axis == 0 else plane.measured[other]
    below, above = np.flatnonzero(along[:here]), np.flatnonzero(along[here + 1 :]) + here + 1
    if not (below.size and above.size):
        return None
    first, last = int(below[-1]), int(above[0])
    return ((first, other), (last, other)) if axis == 0 else ((other, first), (other, last))


def curvature(plane: Plane, axis: int) -> Found:
    """Return the second difference at the center along an axis; exact for a parabola, whatever the steps."""
    ends = neighbours(plane, axis)
    if ends is None or plane.center is None:
        return Found()
    points = plane.alpha if axis == 0 else plane.beta
    below, above = (abs(float(points[end[axis]])) for end in ends)
    factors = [2 / (step * (below + above)) for step in (below, above)]
    here = float(plane.loss[plane.center])
    value = sum(f * (float(plane.loss[end]) - here) for f, end in zip(factors, ends, strict=True))
    return Found(value, ends[1][axis] - ends[0][axis] - 2)  # errors of both sides cancel, by how much is not known


def convex_share(plane: Plane) -> Found:
    """Return the share of the interior where the matrix of second differences has no negative eigenvalue.

    A cell takes part if it and all cells around it are measured; where those make up less than half of the interior,
    the share would be that of a selection. Then interpolated cells take part too, and the share is an estimate; it is
    NaN where even these are too few. On a line the matrix is a single second difference.
    """
    measured = _convex_share(plane, plane.measured)
    if not math.isnan(measured.value) or np.array_equal(plane.measured, plane.finite):
        return measured
    return replace(_convex_share(plane, plane.finite), estimated=True)


def _convex_share(plane: Plane, known: BoolArray) -> Found:
    sizes = tuple(min(3, n) for n in plane.loss.shape)
    if 2 in sizes or max(sizes) < 3:
        return Found()
    loss = sliding_window_view(np.where(known, plane.loss, np.nan), sizes)
    weight = plane.weight[tuple(slice(1, -1) if n == 3 else slice(None) for n in sizes)]
    used = ~np.isnan(loss).any(axis=(2, 3))
    left_out = int((~used).sum())
    if weight[used].sum() < 0.5 * weight.sum() or not used.any():
        return Found(left_out=left_out)
    convex = _least_eigenvalue(loss, plane)[used] >= 0
    return Found(float(weight[used][convex].sum() / weight[used].sum()), left_out)


def _least_eigenvalue(loss: FloatArray, plane: Plane) -> FloatArray:
    # axes are rescaled to steps near one, which leaves all signs; rounding counts as zero
    middle = [n // 2 for n in loss.shape[2:]]
    seconds, uneven = [], 1.0
    for axis, points in enumerate((plane.alpha, plane.beta)):
        if loss.shape[2 + axis] == 1:
            continue
        steps = np.diff(points).reshape((-1, 1) if axis == 0 else (1, -1))
        below, above = (np.delete(steps, end, axis=axis) for end in (-1, 0))
        line = np.moveaxis(loss, 2 + axis, -1)[:, :, middle[1 - axis], :]
        mean = (below + above) / 2
        seconds.append(mean * ((line[..., 2] - line[..., 1]) / above - (line[..., 1] - line[..., 0]) / below))
        uneven = max(uneven, float((mean / np.minimum(below, above)).max()))
    rounding = _ROUNDING * uneven * np.abs(loss).max(axis=(2, 3))
    if len(seconds) == 1:
        return np.asarray(seconds[0] + rounding)
    mixed = (loss[..., 2, 2] - loss[..., 2, 0] - loss[..., 0, 2] + loss[..., 0, 0]) / 4
    first, second = seconds
    return np.asarray((first + second) / 2 - np.hypot((first - second) / 2, mixed) + rounding)


def line_variation(values: FloatArray) -> tuple[float, float]:
    """Return the total variation of a line, and the same divided by its range.

    Args:
        values: Losses in order; what is not finite is left out, and its neighbours follow each other.

    Returns:
        The sum of absolute differences; its ratio to largest minus smallest value: 1 where the line only rises or only
        falls, 2 for a bowl with equal rims, more for each further swing; NaN where all values are equal.
    """
    kept = values[np.isfinite(values)]
    if kept.size < 2:
        return math.nan, math.nan
    total, extent = float(np.abs(np.diff(kept)).sum()), float(np.ptp(kept))
    return total, total / extent if extent > 0 else math.nan


def center_lines(plane: Plane) -> list[FloatArray]:
    """Return the losses along alpha and along beta through the center, as far as the grid has these lines."""
    loss = np.where(plane.finite, plane.loss, np.nan)
    if plane.center is None:
        return []
    i, j = plane.center
    return [line for line in (loss[:, j], loss[i]) if line.size > 1]


def variation(plane: Plane) -> Found:
    """Return the mean normalised total variation of the lines through the center."""
    lines = center_lines(plane)
    ratios = [line_variation(line)[1] for line in lines]
    left_out = sum(int(np.isnan(line).sum()) for line in lines)
    return Found(float(np.mean(ratios)) if ratios else math.nan, left_out)


def lowest(plane: Plane) -> Found:
    """Return the smallest measured loss and its place."""
    return _extreme(plane, np.where(plane.measured, plane.loss, np.inf).argmin())


def largest(plane: Plane) -> Found:
    """Return the largest measured loss and its place."""
    return _extreme(plane, np.where(plane.measured, plane.loss, -np.inf).argmax())


def depth(plane: Plane) -> Found:
    """Return how far the lowest measured cell lies below the center; its error is the paired one.

    The cell on the center is the checkpoint itself, whatever its last digits: it is 0 below, and so is a cell that
    differs by no more than evaluators do.
    """
    cell = lowest(plane)
    if math.isnan(cell.value) or math.isnan(plane.center_loss):
        return replace(cell, value=math.nan)
    i, j = np.unravel_index(np.where(plane.measured, plane.loss, np.inf).argmin(), plane.loss.shape)
    if (int(i), int(j)) == plane.center:
        return replace(cell, value=0.0, error=0.0)
    value = plane.center_loss - cell.value
    return replace(cell, value=0.0 if abs(value) <= plane.rounding else value, error=float(plane.delta_sem[i, j]))


def _extreme(plane: Plane, cell: np.intp) -> Found:
    left_out = int((~plane.measured).sum())
    if not plane.measured.any():
        return Found(left_out=left_out)
    i, j = np.unravel_index(cell, plane.loss.shape)
    place = float(plane.alpha[i]), float(plane.beta[j])
    return Found(float(plane.loss[i, j]), left_out, float(plane.loss_sem[i, j]), place)
