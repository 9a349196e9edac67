"""How far a grid reaches when nobody says: to where the loss meets a budget, by one rule for every network.

Every side is searched over the numbers of two significant digits. The answer is the first of them at which the loss is
at the budget: readable, rounded outward, and the same on every machine unless the loss there is within rounding of it.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape import devices
from landscape.errors import ObjectiveError, UsageError
from landscape.progress import Progress, Report, silent
from landscape.records import Grid
from landscape.records.base import FloatArray
from landscape.space import DirectionPair, Params, check_layout
from landscape.surface.memory import in_halves
from landscape.surface.objective import Objective
from landscape.surface.session import Session

BUDGET_RULE = "5 x center + 1"  # what a recipe says where no budget was given
_SMALLEST, _START, _LARGEST = 0.001, 0.05, 4.0  # of the center's own length; beyond 4 little of a network is left
_PER_SIDE = 10  # evaluations, for the first estimate of the time


@dataclass(frozen=True)
class AutoRange:
    """Where the sides of a grid end, and why there.

    Args:
        alpha_low: Smallest alpha, zero or below.
        alpha_high: Largest alpha; both are zero where no pair moves along alpha.
        beta_low: Smallest beta.
        beta_high: Largest beta; both are zero for lines.
        budget: The loss that the sides were searched for.
        evaluations: How many points were measured.
        crossings: For every pair, how far out its loss meets the budget on the four sides, in the order above; NaN
            where it does not, or where the direction is zero.
        notes: A sentence for everything that a reader would not expect.
    """

    alpha_low: float
    alpha_high: float
    beta_low: float
    beta_high: float
    budget: float
    evaluations: int
    crossings: tuple[tuple[float, ...], ...]
    notes: tuple[str, ...] = ()

    def grid(self, points: int = 41) -> Grid:
        """Make the grid: equal steps on each axis, the center exactly on it where ``points`` is odd.

        Sides of equal length make the axis of ``Grid.square``. Others get the smallest common step with which zero is a
        grid point and both sides are covered, so one of them may end a fraction of a step further out.

        Args:
            points: Points on each axis.

        Returns:
            The grid.
        """
        return Grid(_axis(self.alpha_low, self.alpha_high, points), _axis(self.beta_low, self.beta_high, points))


def auto_range(
    objective: Objective,
    pairs: DirectionPair | Sequence[DirectionPair],
    *,
    budget: float | None = None,
    progress: Report | None = None,
) -> AutoRange:
    """Find how far a grid has to reach for the loss to meet a budget on each side.

    From the center outward along +-alpha and +-beta of every pair: steps double until the loss is at the budget or not
    finite, then the last step is bisected. Where the loss rises and falls again, that is the first crossing as far as
    doubled steps can tell. A side on which the loss stops being finite below the budget ends before that point.

    A side is as long as the largest crossing of any pair, so that the budget's contour is in every picture; a pair that
    never gets there has no say, or one flat direction would shrink all basins to a dot. Sign and order of random
    directions are tosses of a coin, so the four sides of random pairs differ by luck alone and share one length; pairs
    of one's own (a path, eigenvectors) keep four.

    Args:
        objective: What is measured.
        pairs: One pair or several; the range is shared by all.
        budget: A loss above the center's; None means five times the center's loss plus one.
        progress: Called with a ``Progress`` before the first side and after each.

    Returns:
        The range, after some 40 evaluations a pair, at most 50; where memory runs out, anew in half the batch.

    Raises:
        UsageError: There is no pair, or the budget is not above the center's loss.
        ObjectiveError: The center's loss is not finite, or memory is too small for a batch that is part of the value.
    """
    pairs = [pairs] if isinstance(pairs, DirectionPair) else list(pairs)
    if not pairs:
        raise UsageError("at least one direction pair is needed")
    for pair in pairs:
        check_layout(pair.first, objective.center)
    found, _ = in_halves(objective, lambda o: _sought(o, pairs, budget, progress or silent))
    return found


def _sought(objective: Objective, pairs: list[DirectionPair], budget: float | None, report: Report) -> AutoRange:
    center = objective.center  # before the network is lent out: the caller's own storage
    with objective.session() as session, devices.kept_memory(objective.device):
        start = time.monotonic()
        middle = session.measure().loss
        wanted = _budget(budget, middle)
        total = 4 * len(pairs)
        guess = (time.monotonic() - start) * _PER_SIDE * total
        report(Progress(0, total, "range side", guess, "seeking the range", True))
        walks: list[_Walk] = []
        for direction in (d for pair in pairs for d in (pair.first, pair.second)):
            for sign in (-1, 1):
                walks.append(_Walk(session, center, direction, sign, wanted))
                left = (time.monotonic() - start) / len(walks) * (total - len(walks))
                report(Progress(len(walks), total, "range side", left, walks[-1].told))
    return _joined(pairs, walks, wanted)


def cover(ranges: Sequence[AutoRange]) -> AutoRange:
    """Return the range that holds several, so that networks or BN modes share a grid.

    Args:
        ranges: At least one.

    Returns:
        The outermost sides, the largest budget, and all crossings and notes.
    """
    return AutoRange(
        min(r.alpha_low for r in ranges),
        max(r.alpha_high for r in ranges),
        min(r.beta_low for r in ranges),
        max(r.beta_high for r in ranges),
        budget=max(r.budget for r in ranges),
        evaluations=sum(r.evaluations for r in ranges),
        crossings=tuple(pair for r in ranges for pair in r.crossings),
        notes=tuple(dict.fromkeys(note for r in ranges for note in r.notes)),
    )


def default_budget(center: float) -> float:
    """Return the loss that bounds a basin where nobody says another: five times the center's plus one."""
    return 5 * center + 1


def _budget(asked: float | None, center: float) -> float:
    if not math.isfinite(center):
        raise ObjectiveError(
            f"the center's loss is {center}, so there is no basin to find the range of: look at the checkpoint, its BN "
            "mode and the images, or name the range yourself (--radius)"
        )
    budget = default_budget(center) if asked is None else asked
    if not (math.isfinite(budget) and budget > center):
        rule = f", which {BUDGET_RULE} gives," if asked is None else ""
        raise UsageError(f"the budget {budget:.6g}{rule} is not above the center's loss of {center:.6g}: give --budget")
    return budget


class _Walk:
    """One side of one pair: how far out the loss meets the budget.

    Attributes:
        end: A number of two digits, NaN where the budget is never met; zero where the direction is.
        limit: How far was looked.
        finite: Whether the loss just beyond the end is finite.
    """

    def __init__(self, session: Session, center: Params, direction: Params, sign: int, budget: float) -> None:
        self._session, self._center, self._sign, self._budget = session, center, sign, budget
        self._moved = {n: d.to(center[n]) for n, d in direction.items() if bool(d.any())}
        self._losses: dict[int, float] = {}
        unit = _unit(center, self._moved)
        self.smallest, self.limit = (_readable(_index(x * unit)) for x in (_SMALLEST, _LARGEST))
        self.end, self.finite = 0.0, True
        if self._moved:
            session.load(center)
            self._search(*(_index(x * unit) for x in (_SMALLEST, _START, _LARGEST)))

    @property
    def evaluations(self) -> int:
        return len(self._losses)

    @property
    def told(self) -> str:
        if math.isnan(self.end):
            return f"loss below {self._budget:.4g} to {self.limit:g}"
        return f"loss {self._budget:.4g} at {self.end:g}" if self._moved else "a line has no such side"

    def _search(self, smallest: int, at: int, last: int) -> None:
        below = smallest
        while not self._met(at):
            if at == last:
                self.end = math.nan
                return
            below, at = at + 1, min(_index(2 * _readable(at)), last)
        found = below + bisect_left(range(below, at), True, key=self._met)
        self.finite = math.isfinite(self._losses[found])
        self.end = _readable(found if self.finite else max(found - 1, smallest))  # a rim of NaN would be wasted

    def _met(self, index: int) -> bool:
        if index not in self._losses:
            step = self._sign * _readable(index)
            moved = {n: torch.add(self._center[n], d, alpha=step) for n, d in self._moved.items()}
            self._session.load(moved)
            self._losses[index] = self._session.measure().loss
        return not self._losses[index] < self._budget  # NaN is no way on either


def _unit(center: Params, direction: Mapping[str, Tensor]) -> float:
    """The multiplier that moves the center by its own length, as a power of two: 1 for filter normalization."""
    lengths = [
        math.sqrt(sum(float(torch.linalg.vector_norm(t[n], dtype=torch.float64)) ** 2 for n in direction))
        for t in (center, direction)
    ]
    return 2.0 ** round(math.log2(lengths[0] / lengths[1])) if all(lengths) else 1.0


def _readable(index: int) -> float:
    """The numbers of two significant digits by their place: 0 is 1.0, 1 is 1.1, 90 is 10, -1 is 0.99."""
    return float(f"{10 + index % 90}e{index // 90 - 1}")  # read, not multiplied: 0.29 is 0.29


def _index(value: float) -> int:
    digits, exponent = f"{value:.1e}".split("e")
    return 90 * int(exponent) + round(10 * float(digits)) - 10


def _joined(pairs: Sequence[DirectionPair], walks: Sequence[_Walk], budget: float) -> AutoRange:
    by_side = [list(walks[side::4]) for side in range(4)]
    if all("scheme" in (pair.recipe or {}) for pair in pairs):  # drawn by this package: the sides are one sample
        together = _longest(walks)
        lengths = [together if any(w.end != 0 for w in side) else 0.0 for side in by_side]
    else:
        lengths = [_longest(side) for side in by_side]
    ends = [walk.end or math.nan for walk in walks]
    return AutoRange(
        0.0 - lengths[0],  # of a line 0.0, where -0.0 would print oddly
        lengths[1],
        0.0 - lengths[2],
        lengths[3],
        budget=budget,
        evaluations=1 + sum(walk.evaluations for walk in walks),
        crossings=tuple(tuple(ends[i : i + 4]) for i in range(0, len(ends), 4)),
        notes=tuple(_notes(walks, budget)),
    )


def _longest(walks: Sequence[_Walk]) -> float:
    """The largest crossing; where nobody meets the budget, how far was looked."""
    ends = [walk.end for walk in walks if not math.isnan(walk.end)]
    return max(ends) if any(ends) else max((walk.limit for walk in walks if math.isnan(walk.end)), default=0.0)


def _notes(walks: Sequence[_Walk], budget: float) -> list[str]:
    walked = [walk for walk in walks if walk.end != 0]
    flat = [walk for walk in walked if math.isnan(walk.end)]
    broken = [walk for walk in walked if not walk.finite]
    steep = [walk for walk in walked if walk.finite and walk.end == walk.smallest]
    cases = (
        (flat, f"the loss stays below the budget of {budget:.4g} as far as it was followed, to {{far:g}}", "limit"),
        (broken, "the loss is not finite beyond about {far:g}", "end"),
        (steep, "the loss is at the budget already at {far:g}, the smallest step", "end"),
    )
    return [
        f"{len(some)} of {len(walked)} sides: " + text.format(far=max(getattr(walk, name) for walk in some))
        for some, text, name in cases
        if some
    ]


def _axis(low: float, high: float, points: int) -> FloatArray:
    if low == high:
        return np.zeros(1)
    if -low == high or points < 3:
        return Grid.square(max(-low, high), points).alpha
    below = np.arange(1, points - 1)  # candidates for the number of steps below zero
    steps = np.maximum(-low / below, high / (points - 1 - below))
    best = int(steps.argmin())
    axis: FloatArray = steps[best] * np.arange(-below[best], points - below[best], dtype=np.float64)
    return axis
