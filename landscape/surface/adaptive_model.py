"""What measured cells say about the others: estimates, and how far off these may be.

The estimate is SciPy's cubic radial basis function on a transformed loss: its logarithm, so that an error counts the
same at 0.05 and at 200. The same function is the mean of a Gaussian process (kriging with the kernel ``r^3`` and a
plane), and that view gives the doubt. Leaving a measured cell out has a closed form [1], so each of them is held out in
turn; the errors that this shows around a cell, in units of those that the process expects, scale the expected error
there.

[1] Dubrule 1983, Mathematical Geology 15:687; Rippa 1999, Advances in Computational Mathematics 11:193.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.records.base import FloatArray, IntArray

PLANE = 3  # functions that the spline reproduces: 1, alpha, beta
_NEAR = 8  # measured cells that speak for the error at a cell
_PRIOR = 0.3  # weight of the error seen everywhere, beside up to _NEAR from nearby
_BENDS = (0.1, 1.0, 10.0, 1000.0)  # scales of asinh, in units of the median |loss|
_LEAST = 0.01  # of the median |loss|
_SLICES = 32  # of a normal distribution
_HUGE = float(np.finfo(np.float64).max)
_FLOOR = 1e-9  # of the transformed loss: below lies rounding


@dataclass(frozen=True)
class Transform:
    """A scale on which a surface is interpolated.

    Args:
        scale: None: the logarithm. A number: ``asinh(loss / scale)``, which takes losses of 0 and below.
        least: What ``|loss|`` counts as at least where errors are relative to it; 0 for the logarithm.
    """

    scale: float | None = None
    least: float = 0.0

    def forward(self, loss: FloatArray) -> FloatArray:
        """Transform losses."""
        return np.log(loss) if self.scale is None else np.arcsinh(loss / self.scale)

    def inverse(self, level: FloatArray) -> FloatArray:
        """Give the losses back, finite ones also where an estimate overshoots what a number can hold."""
        with np.errstate(over="ignore"):
            loss = np.exp(level) if self.scale is None else self.scale * np.sinh(level)
        return np.clip(loss, -_HUGE, _HUGE)

    def slope(self, level: FloatArray) -> FloatArray:
        """Relative change of the loss per change of the transformed one."""
        if self.scale is None:
            return np.ones_like(level)
        loss = self.inverse(level)
        slope: FloatArray = np.hypot(self.scale, loss) / np.maximum(np.abs(loss), self.least)
        return slope

    def spline(self, nodes: FloatArray, losses: FloatArray, where: FloatArray) -> FloatArray:
        """Estimate losses by a cubic spline of the transformed ones.

        Args:
            nodes: Coordinates of known losses, shape ``(nodes, 2)``.
            losses: Known losses, finite.
            where: Where to estimate, shape ``(cells, 2)``.

        Returns:
            Estimates; positive where all known losses are.
        """
        loss = self.inverse(interpolate(nodes, self.forward(losses), where, "cubic"))
        return np.maximum(loss, self.least) if (losses > 0).all() else loss


def transforms(losses: FloatArray) -> list[Transform]:
    """List the transforms that may suit.

    Args:
        losses: Measured losses, finite.

    Returns:
        The logarithm where all losses are positive, and ``asinh`` from nearly logarithmic to linear: a loss that is
        almost 0 at its lowest cell has a peak in its logarithm that is narrower than the grid.
    """
    positive = bool((losses > 0).all())
    sizes = np.abs(losses[losses != 0])
    typical = float(np.median(sizes)) if sizes.size else 1.0
    least = 0.5 * float(losses.min()) if positive else _LEAST * typical
    bent = [Transform(factor * typical, least) for factor in _BENDS]
    return [Transform(), *bent] if positive else bent


class Doubt:
    """How far off the spline may be at every cell, for a loss whose held-out errors are as expected.

    Args:
        where: Coordinates of all cells, shape ``(cells, 2)``.
        nodes: Which of them are measured; not all on one line.
    """

    def __init__(self, where: FloatArray, nodes: IntArray) -> None:
        from scipy.linalg import inv
        from scipy.spatial.distance import cdist

        count = len(nodes)
        self._where = where
        self._distance = cdist(where[nodes], where)
        self._basis = np.vstack([self._distance**3, np.ones(len(where)), where.T])  # (count + PLANE, cells)
        known = self._basis[:, nodes]
        inverse = inv(np.block([[known[:count], known[count:].T], [known[count:], np.zeros((PLANE, PLANE))]]))
        self._inverse = inverse[:count, :count]
        self._weights = inverse @ self._basis
        self.variance: FloatArray = np.maximum(-np.einsum("nc,nc->c", self._basis, self._weights), 0.0)
        self.variance[nodes] = 0.0

    def amplitude(self, levels: FloatArray) -> FloatArray:
        """Compare held-out errors with what is expected of them.

        Args:
            levels: Transformed losses of the measured cells.

        Returns:
            Root mean square of error over expected error around every cell, shape ``(cells,)``.
        """
        certainty = np.maximum(np.diag(self._inverse), np.finfo(np.float64).tiny)
        squares = (self._inverse @ levels) ** 2 / certainty  # held-out error is (inverse @ levels) / certainty
        near = min(_NEAR, len(squares) - 1)
        reach = np.partition(self._distance, near, axis=0)[near]
        weight = np.exp(-2 * (self._distance / reach) ** 2)
        common = np.sort(squares)[: int(0.95 * len(squares))].mean()  # the largest count only where they are near
        local: FloatArray = np.sqrt((squares @ weight + _PRIOR * common) / (weight.sum(0) + _PRIOR))
        return np.maximum(local, _FLOOR)

    def covariance(self, cell: int) -> FloatArray:
        """Covariance of the errors at a cell and at every other."""
        from scipy.spatial.distance import cdist

        kernel = cdist(self._where, self._where[cell : cell + 1])[:, 0] ** 3
        covariance: FloatArray = kernel - self._basis.T @ self._weights[:, cell]
        return covariance


class Plan:
    """The doubt that is left once further cells are measured. What they turn out to be does not matter for it.

    Args:
        doubt: The doubt before.
        weight: By what its errors are scaled at each cell; 0 where none is estimated.
    """

    def __init__(self, doubt: Doubt, weight: FloatArray) -> None:
        self._doubt = doubt
        self._weight = weight
        self._variance = doubt.variance.copy()
        self._taken: list[tuple[FloatArray, float]] = []

    @property
    def score(self) -> FloatArray:
        """Weighted standard error at every cell."""
        score: FloatArray = self._weight * np.sqrt(self._variance)
        return score

    def take(self, cell: int) -> None:
        """Count a cell as measured.

        Args:
            cell: Its position.
        """
        shared = self._doubt.covariance(cell)
        for before, own in self._taken:
            shared -= before * (before[cell] / own)
        own = float(shared[cell])
        if own > 0:
            self._taken.append((shared, own))
            self._variance = np.maximum(self._variance - shared**2 / own, 0.0)
        self._variance[cell] = 0.0


@dataclass(frozen=True, eq=False)
class Fit:
    """What the cells measured so far say about one surface. Arrays have one value a cell.

    Args:
        transform: The scale on which it is interpolated.
        level: Estimate of the transformed loss.
        doubt: How far off that may be at each place, relative to others.
        amplitude: By how much to scale the doubt.
    """

    transform: Transform
    level: FloatArray
    doubt: Doubt
    amplitude: FloatArray

    @property
    def spread(self) -> FloatArray:
        """Standard error of the transformed loss; 0 where measured."""
        return self.amplitude * np.sqrt(self.doubt.variance)

    @property
    def slope(self) -> FloatArray:
        """Relative error of the loss per error of the transformed one."""
        return self.transform.slope(self.level)


def fit(where: FloatArray, nodes: IntArray, losses: FloatArray) -> Fit:
    """Fit a surface; of several transforms, take the one whose relative errors are smallest.

    Args:
        where: Coordinates of all cells, shape ``(cells, 2)``.
        nodes: Which of them are measured; not all on one line.
        losses: Finite losses there.

    Returns:
        Estimates and doubt for all cells.
    """
    candidates = transforms(losses)
    known = np.column_stack([transform.forward(losses) for transform in candidates])
    doubt = Doubt(where, nodes)
    levels = interpolate(where[nodes], known, where, "cubic")
    fits = [Fit(transform, levels[:, k], doubt, doubt.amplitude(known[:, k])) for k, transform in enumerate(candidates)]
    return min(fits, key=lambda one: quantile(one.slope * one.spread, 0.95))


def interpolate(nodes: FloatArray, values: FloatArray, where: FloatArray, kernel: str) -> FloatArray:
    """Interpolate with radial basis functions.

    Args:
        nodes: Coordinates of known values, shape ``(nodes, 2)``.
        values: Known values, shape ``(nodes,)`` or ``(nodes, several)``.
        where: Where to estimate, shape ``(cells, 2)``.
        kernel: ``cubic``, ``linear``, ...

    Returns:
        Estimates, one a cell.
    """
    from scipy.interpolate import RBFInterpolator

    estimate: FloatArray = RBFInterpolator(nodes, values, kernel=kernel, degree=1)(where)
    return estimate


def quantile(spread: FloatArray, share: float) -> float:
    """Quantile over cells of ``|error|``, where each cell's error is normal with its own standard error.

    Args:
        spread: Standard errors, one per cell; 0 where the value is known.
        share: Between 0 and 1.

    Returns:
        The error that this share of the cells keeps below.
    """
    from scipy.special import erfinv

    if not spread.size:
        return 0.0
    equally_likely = np.sqrt(2) * erfinv((np.arange(_SLICES) + 0.5) / _SLICES)  # |error| of a standard normal
    return float(np.quantile(np.outer(spread, equally_likely), share))
