"""What is known of one surface after a round: where it can be estimated, and how far off the estimate may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape.records.base import BoolArray, FloatArray, IntArray
from landscape.surface.adaptive_model import PLANE, Fit, fit, quantile
from landscape.surface.adaptive_regions import regions

_FEW = 10  # finite losses that an estimate needs
_CAUTION = 1.4  # on stated errors: they then cover the true ones on 19 surfaces of 20
_BELIEF = 2  # held-out cells that count as much as what the other measured cells say of themselves
_OUTLIER = 3.0  # standard errors: one cell beside a pole says little about the others
_LARGEST = 4.0  # standard errors of the least certain cell: errors have longer tails than a normal distribution


@dataclass(frozen=True, eq=False)
class View:
    """One surface after a round.

    Args:
        fit: Estimates of all cells; None where too few losses are finite.
        good: Cells that may be estimated.
        border: Cells between losses that are finite and losses that are not.
        error: Stated 95th percentile of the relative error over good and measured cells.
        rms: Stated root mean square of the error, over that of the loss.
        largest: Stated largest relative error.
    """

    fit: Fit | None
    good: BoolArray
    border: BoolArray
    error: float = 0.0
    rms: float = 0.0
    largest: float = 0.0

    def within(self, rtol: float, *, all_errors: bool = False) -> bool:
        """Whether the error is small enough.

        Args:
            rtol: Wanted 95th percentile.
            all_errors: Also ask for a root mean square within a third of that, and a largest error within twice that.

        Returns:
            Whether it is.
        """
        others = self.rms <= rtol / 3 and self.largest <= 2 * rtol
        return self.error <= rtol and (others or not all_errors)

    def surprises(self, cells: IntArray, losses: FloatArray) -> list[float]:
        """Compare cells that were measured after this view with what it expected of them.

        Args:
            cells: Positions of the cells.
            losses: Their losses.

        Returns:
            Squares of error over expected error, of cells for which there was an estimate.
        """
        if self.fit is None:
            return []
        spread, transform = self.fit.spread[cells], self.fit.transform
        usable = self.good[cells] & np.isfinite(losses) & (spread > 0)
        if transform.scale is None:
            usable &= losses > 0
        errors = transform.forward(losses[usable]) - self.fit.level[cells[usable]]
        squares: list[float] = np.minimum((errors / spread[usable]) ** 2, _OUTLIER**2).tolist()
        return squares


def view(
    cells: IntArray, where: FloatArray, measured: IntArray, losses: FloatArray, surprises: Sequence[float] = ()
) -> View:
    """Look at a surface.

    Args:
        cells: Indices of all cells, shape ``(cells, 2)``.
        where: Their coordinates, shape ``(cells, 2)``.
        measured: Positions of the measured ones.
        losses: Losses there.
        surprises: Squares of error over expected error, of cells that were held out.

    Returns:
        The view.
    """
    finite = np.isfinite(losses)
    good, border = regions(cells, cells[measured], finite)
    nodes = measured[finite]
    if len(nodes) < _FEW or np.linalg.matrix_rank(np.column_stack([np.ones(len(nodes)), where[nodes]])) < PLANE:
        return View(None, np.zeros_like(good), border)
    fitted = fit(where, nodes, losses[finite])
    known = np.zeros(len(cells), dtype=np.bool_)
    known[measured] = True
    judged = (good & ~known) | np.isin(np.arange(len(cells)), nodes)
    caution = _CAUTION * max(1.0, float(np.sqrt((_BELIEF + sum(surprises)) / (_BELIEF + len(surprises)))))
    spread = caution * np.where(known, 0.0, fitted.slope * fitted.spread)[judged]
    loss = np.abs(fitted.transform.inverse(fitted.level))[judged]
    loss = loss / loss.max() if loss.max() > 0 else loss  # squares of large losses overflow
    rms = np.sqrt(np.mean((spread * loss) ** 2) / max(np.mean(loss**2), np.finfo(np.float64).tiny))
    p95, largest = (float(np.expm1(min(x, 50.0))) for x in (quantile(spread, 0.95), _LARGEST * spread.max(initial=0.0)))
    return View(fitted, good, border, p95, float(rms), largest)
