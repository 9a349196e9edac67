"""Which cells of a plane are worth measuring, and what the others are estimated to be.

Cells are measured in rounds. The first round covers the plane. Of every later one, two thirds go where the relative
error of the estimate is expected to be largest, and a third is drawn: held-out cells, whose estimates are compared with
their losses once these are known. A round follows from the losses of earlier rounds alone. So results may arrive in any
order, and a run that was interrupted comes to the same cells again by replaying the rounds that are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape.errors import UsageError
from landscape.records.base import BoolArray, FloatArray, IntArray
from landscape.surface.adaptive_model import Doubt, Plan, interpolate
from landscape.surface.adaptive_regions import border_cells, regions
from landscape.surface.adaptive_view import View, view

_START = 40  # cells of the first round: with fewer, held-out errors say too little
_ROUND = 12  # cells of a later round at least: several workers are busy, and few cells are chosen too early
_GROWTH = 0.1  # of the measured cells: rounds grow with them
_HELD_OUT = 1 / 3  # of a round is drawn
_LATEST = 24  # held-out cells that count: how far off estimates are changes as cells grow denser
_SMALL = 4 * _START  # a plane with fewer cells is measured whole
_SHORT = 5  # so is one with fewer points on an axis
_FINE = 100  # points of an axis among which cells are chosen: time and memory stay bounded on finer grids
_COMFORT = 0.12  # of the cells: beyond, only the 95th percentile asks for more
_FORESEE = 0.25  # of the cells: from here on it is foreseen whether _MOST will do
_MOST = 0.4  # of the cells: a surface that needs more is measured whole
_MANY = 800  # cells: likewise, since choosing among so many takes a second a round
_BORDER = 0.03  # of the cells may go into finding where the loss ceases to be finite
_TIE = 1e-4  # breaks the ties of symmetric surfaces: far above rounding, which differs from machine to machine

Cells = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class PlaneEstimate:
    """A plane after its last round. Arrays are indexed ``[mode, i_alpha, i_beta]``.

    Args:
        loss: Measured losses; estimates where ``filled``; NaN elsewhere.
        accuracy: Likewise.
        filled: True where a cell was estimated: not beside losses that are not finite, nor among them.
        error: Shape ``(modes,)``. Stated 95th percentile of ``|estimate - loss| / |loss|`` over the cells that have a
            finite value; measured ones count as 0. Where losses of 0 or below occur, ``|loss|`` counts as at least a
            hundredth of its median.
        note: Why every cell was measured, or why none was estimated; else empty.
    """

    loss: FloatArray
    accuracy: FloatArray
    filled: BoolArray
    error: FloatArray
    note: str


class AdaptivePlane:
    """Which cells of one plane are measured next, and what the others are estimated to be.

    Rounds end when the stated 95th percentile of the relative error is within ``rtol``. As long as few cells suffice
    for it (12 %), the largest error is also to be within twice that, and the root mean square (over that of the loss)
    within a third. A surface too rough for this is measured whole, and the note says so.

    Args:
        alpha: Multipliers of the first direction, increasing.
        beta: Multipliers of the second direction, increasing.
        rtol: Wanted relative error.

    Raises:
        UsageError: ``rtol`` is not a positive number.
    """

    def __init__(self, alpha: FloatArray, beta: FloatArray, *, rtol: float = 0.03) -> None:
        if not (np.isfinite(rtol) and rtol > 0):
            raise UsageError(f"the wanted relative error is a positive number; got rtol={rtol}")
        self._rtol = rtol
        self._total = len(alpha) * len(beta)
        self._note = ""
        self._whole: BoolArray | None = None  # cells to measure once nothing is to be estimated
        self._views: list[View] = []  # one a mode
        self._surprises: list[list[float]] = []  # of each mode, round after round
        self._history: list[tuple[int, float]] = []  # measured cells, stated error
        self._border_left = round(_BORDER * self._total)
        self._measured = self._round = self._held_out = np.zeros(0, dtype=np.int64)  # positions in self._cells
        if min(len(alpha), len(beta)) < _SHORT or self._total < _SMALL:
            self._note = "the grid is too small to estimate cells"
            self._whole = np.ones((len(alpha), len(beta)), dtype=np.bool_)
            return
        axes = [np.asarray(axis, dtype=np.float64) for axis in (alpha, beta)]
        self._scaled = [2 * (axis - axis[0]) / (axis[-1] - axis[0]) - 1 for axis in axes]
        center = [int(np.abs(axis).argmin()) for axis in axes]
        self._cells = _lattice([_ticks(len(axis), middle) for axis, middle in zip(axes, center, strict=True)])
        self._where = self._places(self._cells)
        self._tie: FloatArray = 1 + _TIE * (np.arange(len(self._cells), dtype=np.float64) * 0.6180339887498949 % 1)
        self._drawn = np.random.default_rng(0).permutation(len(self._cells))
        self._round = self._first(center)

    @property
    def whole(self) -> bool:
        """Whether every cell is to be measured."""
        return self._whole is not None

    def ask(self, loss: FloatArray, known: BoolArray) -> Cells:
        """List the cells of the current round that are not measured yet.

        Args:
            loss: Measured losses, shape ``(modes, n_alpha, n_beta)``; anything where not known.
            known: Where all modes are measured, shape ``(n_alpha, n_beta)``.

        Returns:
            Cells as (i_alpha, i_beta), row by row of constant beta; empty when the plane needs no more.
        """
        while len(self._round) and self._whole is None:
            cells = self._cells[self._round]
            pending = cells[~known[tuple(cells.T)]]
            if len(pending):
                return _rows(pending)
            self._finish_round(loss)
        return [] if self._whole is None else _rows(np.argwhere(self._whole & ~known))

    def estimate(self, loss: FloatArray, accuracy: FloatArray, known: BoolArray) -> PlaneEstimate:
        """Fill the plane after its last round.

        Args:
            loss: Measured losses, shape ``(modes, n_alpha, n_beta)``.
            accuracy: Measured accuracies, likewise; NaN where there are none.
            known: Where all modes are measured, shape ``(n_alpha, n_beta)``.

        Returns:
            Measured and estimated values.

        Raises:
            ValueError: Cells are still to be measured.
        """
        if missing := self.ask(loss, known):
            raise ValueError(f"{len(missing)} cells are still to be measured")
        loss, accuracy = (np.where(known, values, np.nan) for values in (loss, accuracy))
        filled = np.zeros(loss.shape, dtype=np.bool_)
        error = np.zeros(len(loss))
        for mode, seen in enumerate(self._views if self._whole is None else []):
            filled[mode] = self._fill(loss[mode], accuracy[mode], known, seen)
            error[mode] = seen.error if filled[mode].any() else 0.0
        return PlaneEstimate(loss, accuracy, filled, error, self._note)

    def _finish_round(self, loss: FloatArray) -> None:
        """Learn from a round and choose the next."""
        losses = loss[(slice(None), *self._cells.T)]  # (modes, cells)
        self._surprises = self._surprises or [[] for _ in losses]
        for mode, seen in enumerate(self._views):
            self._surprises[mode] += seen.surprises(self._held_out, losses[mode, self._held_out])
        self._measured = np.concatenate([self._measured, self._round])
        self._views = [
            view(self._cells, self._where, self._measured, mode[self._measured], past[-_LATEST:])
            for mode, past in zip(losses, self._surprises, strict=True)
        ]
        self._history.append((len(self._measured), max(seen.error for seen in self._views)))
        self._round = self._next(losses)

    def _next(self, losses: FloatArray) -> IntArray:
        """Choose the cells of the next round; none when the plane needs no more."""
        needy, count = self._needs()
        if needy and self._hopeless():
            self._note = (
                f"the surface is too rough to estimate cells: with {len(self._measured)} of {self._total} measured, "
                f"the stated error was {100 * self._history[-1][1]:.2g} % (wanted: {100 * self._rtol:.2g} %)"
            )
            self._whole = self._around_finite(losses)
            return self._round[:0]
        border = np.any([seen.border for seen in self._views], axis=0)
        chosen = border_cells(self._cells, self._cells[self._measured], border, min(_ROUND, self._border_left))
        self._border_left -= len(chosen)
        fits = [(seen.fit, seen.good) for seen in needy if seen.fit]
        plans = [Plan(fit.doubt, fit.amplitude * fit.slope * good) for fit, good in fits]
        free = np.any([seen.good for seen in needy], axis=0) if needy else np.zeros(len(self._cells), dtype=np.bool_)
        free[self._measured] = free[chosen] = False
        self._held_out = self._drawn[free[self._drawn]][: round(_HELD_OUT * count)]
        chosen += self._held_out.tolist()
        chosen += _doubtful(plans, self._tie, count - len(self._held_out), chosen)
        if not chosen and not any(seen.fit for seen in self._views):
            self._note = f"too few losses are finite, of {len(self._measured)} measured: no cell is estimated"
        return np.array(chosen, dtype=np.int64)

    def _needs(self) -> tuple[list[View], int]:
        """Say for which modes cells are wanted, and how many."""
        count = max(_ROUND, round(_GROWTH * len(self._measured)))
        fitted = [seen for seen in self._views if seen.fit]
        if len(self._history) == 1:  # the second round tests the first: its cells are estimated before
            return fitted, count
        if all(seen.within(self._rtol) for seen in fitted):
            count = min(count, int(_COMFORT * self._total) - len(self._measured))
        needy = [seen for seen in fitted if not seen.within(self._rtol, all_errors=True)]
        return (needy, count) if count > 0 else ([], 0)

    def _hopeless(self) -> bool:
        """Whether the stated error, as it fell so far, will stay far above the wanted one."""
        most = min(_MOST * self._total, _MANY)
        if len(self._measured) >= most:
            return True
        recent = self._history[len(self._history) // 2 :]
        if len(self._measured) < min(_FORESEE * self._total, _MANY / 2) or len(recent) < 4:
            return False
        cells, errors = np.log(np.maximum(recent, np.finfo(np.float64).tiny)).T
        rate = float(np.polyfit(cells, errors, 1)[0])
        return bool(errors[-1] + rate * (np.log(most) - cells[-1]) > np.log(1.5 * self._rtol))

    def _around_finite(self, losses: FloatArray) -> BoolArray:
        """Mark the cells of the grid but for those whose surroundings are not finite in any mode."""
        whole = np.zeros([len(axis) for axis in self._scaled], dtype=np.bool_)
        for mode in losses:
            finite = np.isfinite(mode[self._measured])
            good, border = regions(np.argwhere(np.ones_like(whole)), self._cells[self._measured], finite)
            whole |= (good | border).reshape(whole.shape)
        return whole

    def _first(self, center: list[int]) -> IntArray:
        """Choose the first round: the center, corners, middles of the edges, then what is farthest from all others."""
        ends = [len(axis) - 1 for axis in self._scaled]
        frame = _lattice([np.array([0, end // 2, end]) for end in ends])
        fixed = {tuple(cell) for cell in frame.tolist()} - {tuple(end // 2 for end in ends)} | {tuple(center)}
        positions = [k for k, cell in enumerate(self._cells.tolist()) if tuple(cell) in fixed]
        plan = Plan(Doubt(self._where, np.array(positions)), np.ones(len(self._where)))
        return np.array(positions + _doubtful([plan], self._tie, _START - len(positions)), dtype=np.int64)

    def _fill(self, loss: FloatArray, accuracy: FloatArray, known: BoolArray, seen: View) -> BoolArray:
        """Write the estimates of one mode into its arrays, and say where."""
        filled = np.zeros(loss.shape, dtype=np.bool_)
        if seen.fit is None:
            return filled
        everywhere = np.argwhere(np.ones_like(known))
        measured = self._cells[self._measured]
        finite = np.isfinite(loss[tuple(measured.T)])
        good, _ = regions(everywhere, measured, finite)
        to, nodes = everywhere[good & ~known.ravel()], measured[finite]
        loss[tuple(to.T)] = seen.fit.transform.spline(self._places(nodes), loss[tuple(nodes.T)], self._places(to))
        shares = interpolate(self._places(nodes), accuracy[tuple(nodes.T)], self._places(to), "linear")
        accuracy[tuple(to.T)] = np.clip(shares, 0.0, 1.0)
        filled[tuple(to.T)] = True
        return filled

    def _places(self, cells: IntArray) -> FloatArray:
        """Give cells their coordinates, from -1 to 1 along each axis."""
        return np.column_stack([axis[index] for axis, index in zip(self._scaled, cells.T, strict=True)])


def _doubtful(plans: Sequence[Plan], tie: FloatArray, count: int, taken: Sequence[int] = ()) -> list[int]:
    """Choose cells one after the other, each where the error is then expected to be largest."""
    chosen: list[int] = []
    for plan in plans:
        for cell in taken:
            plan.take(cell)
    while plans and len(chosen) < count:
        score = np.max([plan.score for plan in plans], axis=0) * tie
        cell = int(score.argmax())
        if not score[cell] > 0:
            break
        chosen.append(cell)
        for plan in plans:
            plan.take(cell)
    return chosen


def _ticks(count: int, center: int) -> IntArray:
    """Choose the points of an axis among which cells are measured: all of them, unless there are very many."""
    few = np.linspace(0, count - 1, min(count, _FINE)).round().astype(np.int64)
    return np.union1d(few, [(count - 1) // 2, center])


def _lattice(ticks: Sequence[IntArray]) -> IntArray:
    return np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, len(ticks))


def _rows(cells: IntArray) -> Cells:
    """Sort cells row by row of constant beta: walking along a row is cheap."""
    return [(int(i), int(j)) for i, j in sorted(cells.tolist(), key=lambda cell: (cell[1], cell[0]))]
