"""Which cells are measured, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from landscape.errors import UsageError
from landscape.records.base import BoolArray
from landscape.surface.evaluators import Block, Cell


def dense(done: BoolArray) -> list[Cell]:
    """Return every cell that is not done, row by row of constant beta, pair after pair.

    Args:
        done: Shape ``(pairs, n_alpha, n_beta)``.

    Returns:
        Cells as (pair, i_alpha, i_beta).
    """
    todo = np.argwhere(~np.swapaxes(done, 1, 2))  # (pair, i_beta, i_alpha): alpha runs fastest
    return [(int(pair), int(i), int(j)) for pair, j, i in todo]


SAMPLINGS: dict[str, Callable[[BoolArray], list[Cell]]] = {"dense": dense}


def sampling(name: str) -> Callable[[BoolArray], list[Cell]]:
    """Look a sampling up.

    Args:
        name: ``dense``.

    Returns:
        The function that lists the cells to measure.

    Raises:
        UsageError: There is no such sampling.
    """
    if name not in SAMPLINGS:
        raise UsageError(f"there is no sampling {name!r}; known: {', '.join(SAMPLINGS)}")
    return SAMPLINGS[name]


class Blocks:
    """Cuts cells into blocks that last about ``seconds``, by the speed of the blocks before.

    Args:
        cells: Cells to measure.
        seconds_per_cell: First guess.
        seconds: Wanted duration of a block.
    """

    def __init__(self, cells: list[Cell], *, seconds_per_cell: float, seconds: float = 2.0) -> None:
        self._cells = cells
        self.seconds_per_cell = seconds_per_cell
        self._seconds = seconds

    def __iter__(self) -> Iterator[Block]:
        start = 0
        while start < len(self._cells):
            size = max(1, round(self._seconds / max(self.seconds_per_cell, 1e-6)))
            yield tuple(self._cells[start : start + size])
            start += size

    def tell(self, cells: int, seconds: float) -> None:
        """Learn from a finished block.

        Args:
            cells: Its cells.
            seconds: How long it took.
        """
        self.seconds_per_cell = 0.5 * self.seconds_per_cell + 0.5 * seconds / cells
