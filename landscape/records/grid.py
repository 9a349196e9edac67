"""The grid: at which multipliers of the two directions the loss is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.errors import UsageError
from landscape.records.base import FloatArray, Record, array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Grid(Record):
    """Multipliers along the first and the second direction, without unit; strictly increasing.

    Args:
        alpha: Multipliers of the first direction, shape ``(n_alpha,)``.
        beta: Multipliers of the second direction, shape ``(n_beta,)``; ``(0.0,)`` makes a line.

    Raises:
        UsageError: An axis is empty, not finite, or does not increase.
    """

    alpha: FloatArray = array("alpha", about="multiplier of the first direction")
    beta: FloatArray = array("beta", about="multiplier of the second direction")

    def __post_init__(self) -> None:
        """Check the axes."""
        for name in ("alpha", "beta"):
            values = np.array(getattr(self, name), dtype=np.float64, ndmin=1)
            if values.ndim != 1 or values.size == 0:
                raise UsageError(f"{name} needs at least one point on one axis; got shape {values.shape}")
            if not np.isfinite(values).all() or not (np.diff(values) > 0).all():
                raise UsageError(f"{name} must be finite and increase from point to point; got {values.tolist()}")
            object.__setattr__(self, name, values)

    @classmethod
    def square(cls, radius: float = 1.0, points: int = 41) -> Grid:
        """Make a grid of ``points`` x ``points`` over ``[-radius, radius]`` on both axes.

        Points are mirrored about zero to the last bit, the outermost are the radius itself, and an odd number has an
        exact zero in the middle.

        Args:
            radius: Largest multiplier, greater than zero.
            points: Points on each axis.

        Returns:
            The grid.

        Raises:
            UsageError: The radius is not positive and finite, or there is no point.
        """
        if not (np.isfinite(radius) and radius > 0):
            raise UsageError(f"the radius is a positive number; got {radius}")
        if points < 1:
            raise UsageError(f"a grid needs at least one point on an axis; got {points} points")
        ticks = np.arange(-(points - 1), points, 2, dtype=np.float64)
        axis = radius * (ticks / max(points - 1, 1))  # r * n / n would not always be r
        return cls(axis, axis)

    @property
    def shape(self) -> tuple[int, int]:
        """Points along alpha and along beta."""
        return len(self.alpha), len(self.beta)

    @property
    def center(self) -> tuple[int, int] | None:
        """Indices of the cell at (0, 0), or None where no cell lies on the center."""
        i, j = (np.flatnonzero(axis == 0.0) for axis in (self.alpha, self.beta))
        return (int(i[0]), int(j[0])) if i.size and j.size else None
