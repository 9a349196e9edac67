"""A loss band: per step, the smallest and the largest loss over named members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape.records.base import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class LossBand:
    """Minimum and maximum over named members, step by step; the members' own curves are kept.

    A band over learning rates is the spread of different training trajectories (the labs' "Lipschitz" curves). It is
    not the variation of the loss along a gradient at one point.

    Args:
        step: Shape ``(t,)``.
        values: Loss of every member in the band, shape ``(members, t)``.
        members: Names of the members, in the order of ``values``.
        over: What the members differ in, for instance ``"learning_rate"``.
        excluded: Names of members left out, on request.
    """

    step: IntArray
    values: FloatArray
    members: tuple[str, ...]
    over: str
    excluded: tuple[str, ...] = ()

    @property
    def low(self) -> FloatArray:
        """Minimum over members, shape ``(t,)``; NaN where a member has no finite loss."""
        return self._extreme(np.min)

    @property
    def high(self) -> FloatArray:
        """Maximum over members, shape ``(t,)``; NaN where a member has no finite loss."""
        return self._extreme(np.max)

    def _extreme(self, reduce: Callable[..., Any]) -> FloatArray:
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(self.values).all(axis=0), reduce(self.values, axis=0), np.nan)
