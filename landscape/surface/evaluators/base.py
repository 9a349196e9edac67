"""What every evaluator takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from torch import Tensor

from landscape.records import Grid
from landscape.registry import Registry
from landscape.space import DirectionPair
from landscape.surface.objective import Objective

Cell = tuple[int, int, int]  # pair, i_alpha, i_beta
Block = tuple[Cell, ...]
Measure = Callable[[Block], Tensor]


@dataclass(frozen=True, eq=False)
class Planes:
    """Where cells lie.

    Args:
        pairs: Direction pairs.
        grid: Multipliers, the same on every plane.
    """

    pairs: Sequence[DirectionPair]
    grid: Grid

    def multipliers(self, cell: Cell) -> tuple[float, float]:
        """Return alpha and beta of a cell."""
        _, i, j = cell
        return float(self.grid.alpha[i]), float(self.grid.beta[j])

    @cached_property
    def moving(self) -> list[str]:
        """Names of the parameters that some direction changes."""
        names = self.pairs[0].first if self.pairs else {}
        return [n for n in names if any(bool(d[n].any()) for p in self.pairs for d in (p.first, p.second))]


class Evaluator(Protocol):
    """How a block of cells becomes numbers."""

    def refusal(self, objective: Objective, planes: Planes) -> str:
        """Say why this evaluator cannot, or need not, measure an objective; empty where it can."""
        ...

    def open(self, objective: Objective, planes: Planes, cells: int) -> AbstractContextManager[Measure]:
        """Lend the network out and prepare it.

        The function that it yields turns a block into float64 numbers on the device, one row per cell: loss, its
        standard error, the paired standard error of its difference from the center, accuracy. Shape ``(cells, 4)``.
        ``cells`` is how many may be evaluated at once.
        """
        ...


EVALUATORS: Registry[Callable[[], Any]] = Registry("evaluator", group="landscape.evaluators")


def get(name: str) -> Evaluator:
    """Make the evaluator of a name.

    Args:
        name: A registered evaluator, for instance ``sequential``.

    Returns:
        The evaluator.
    """
    evaluator: Evaluator = EVALUATORS.get(name)()
    return evaluator
