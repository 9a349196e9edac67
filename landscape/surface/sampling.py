"""Which cells are measured, in which order, and how they are cut into blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from landscape.errors import UsageError
from landscape.records import Grid, Surface
from landscape.records.base import BoolArray
from landscape.surface.adaptive import AdaptivePlane
from landscape.surface.evaluators import Cell
from landscape.surface.task import Part

_USUAL = 0.08  # of the cells are measured around trained networks
_LEAST = 64  # cells a plane: small grids take two or three rounds, 52 or 64 cells, whatever their size
_NEXT = 12, 0.1  # cells of a round more, where it takes more than that: a number, or a share of what is measured


class Sampling(Protocol):
    """Decides which cells are measured. It begins anew from what is known, so nothing of it is stored."""

    @property
    def finished(self) -> bool:
        """Whether no further cell will be asked for."""
        ...

    def ask(self, surfaces: Sequence[Surface]) -> list[Cell]:
        """Return cells that can be measured now and were not returned before; none while it waits for results."""
        ...

    def expected(self, surfaces: Sequence[Surface]) -> int:
        """Return how many cells of a surface are measured in the end, as far as is known."""
        ...

    def fill(self, surfaces: Sequence[Surface]) -> list[Surface]:
        """Give the cells that were not measured what they get instead; say why where there are none.

        Surfaces of which there is nothing to say come back as they are.
        """
        ...


class Dense:
    """Every cell, row by row of constant beta, pair after pair."""

    def __init__(self, grid: Grid, rtol: float) -> None:
        self._asked = False

    @property
    def finished(self) -> bool:
        """Whether all cells were returned."""
        return self._asked

    def ask(self, surfaces: Sequence[Surface]) -> list[Cell]:
        """Return all that is left, once."""
        if self._asked:
            return []
        self._asked = True
        return dense(known(surfaces))

    def expected(self, surfaces: Sequence[Surface]) -> int:
        """Return the number of cells."""
        return surfaces[0].done.size

    def fill(self, surfaces: Sequence[Surface]) -> list[Surface]:
        """Return the surfaces: nothing is left."""
        return list(surfaces)


class Adaptive:
    """Cells where the surface needs them, plane by plane in rounds; the others are interpolated."""

    def __init__(self, grid: Grid, rtol: float) -> None:
        self._grid, self._rtol = grid, rtol
        self._planes: list[AdaptivePlane] = []
        self._waiting: list[set[tuple[int, int]]] = []
        self._complete: list[bool] = []

    @property
    def finished(self) -> bool:
        """Whether every plane has all the cells it needs."""
        return bool(self._complete) and all(self._complete)

    def ask(self, surfaces: Sequence[Surface]) -> list[Cell]:
        """Return the next rounds of the planes whose rounds before are known."""
        self._begin(surfaces[0].pairs)
        have, cells = known(surfaces), []
        for pair, plane in enumerate(self._planes):
            if self._complete[pair] or any(not have[pair][cell] for cell in self._waiting[pair]):
                continue
            asked = plane.ask(np.stack([s.loss[pair] for s in surfaces]), have[pair])
            self._waiting[pair], self._complete[pair] = set(asked), not asked
            cells += [(pair, i, j) for i, j in asked]
        return cells

    def expected(self, surfaces: Sequence[Surface]) -> int:
        """Guess from what planes usually take."""
        self._begin(surfaces[0].pairs)
        guesses = []
        for have, plane, complete in zip(known(surfaces), self._planes, self._complete, strict=True):
            measured = int(have.sum())
            another = measured + max(_NEXT[0], round(_NEXT[1] * measured))
            usual = usual_cells("adaptive", have.size)
            guess = usual if measured < usual else another
            guesses.append(measured if complete else have.size if plane.whole else min(guess, have.size))
        return sum(guesses)

    def _begin(self, count: int) -> None:
        if not self._planes:
            self._planes = [AdaptivePlane(self._grid.alpha, self._grid.beta, rtol=self._rtol) for _ in range(count)]
            self._waiting, self._complete = [set() for _ in range(count)], [False] * count

    def fill(self, surfaces: Sequence[Surface]) -> list[Surface]:
        """Interpolate what was not measured; say how far off it may be."""
        have, notes, errors = known(surfaces), list[str](), []
        for pair, plane in enumerate(self._planes):
            found = plane.estimate(
                np.stack([s.loss[pair] for s in surfaces]), np.stack([s.accuracy[pair] for s in surfaces]), have[pair]
            )
            errors.append(found.error)
            notes += [f"pair {pair + 1}: {found.note}"] if found.note else []
            for k, surface in enumerate(surfaces):
                where = found.filled[k] & ~have[pair]
                surface.loss[pair][where] = found.loss[k][where]
                surface.accuracy[pair][where] = found.accuracy[k][where]
                surface.done[pair] = True
        worst = np.max(np.array(errors), axis=0)
        return [
            replace(
                s, error_estimate=float(worst[k]), checks={**s.checks, **({"sampling_notes": notes} if notes else {})}
            )
            for k, s in enumerate(surfaces)
        ]


SAMPLINGS: dict[str, Callable[[Grid, float], Sampling]] = {"dense": Dense, "adaptive": Adaptive}


def sampling(name: str, grid: Grid, rtol: float) -> Sampling:
    """Begin a sampling.

    Args:
        name: ``dense`` or ``adaptive``.
        grid: Multipliers.
        rtol: Wanted 95th percentile of the relative error of estimated cells.

    Returns:
        What decides which cells are measured.

    Raises:
        UsageError: There is no such sampling, or ``rtol`` is no relative error.
    """
    if name not in SAMPLINGS:
        raise UsageError(f"there is no sampling {name!r}; known: {', '.join(SAMPLINGS)}")
    if not 0 < rtol < 1:
        raise UsageError(f"rtol is a relative error between 0 and 1; got {rtol}")
    return SAMPLINGS[name](grid, rtol)


def usual_cells(name: str, size: int) -> int:
    """Guess how many cells of a plane a sampling measures.

    Args:
        name: ``dense`` or ``adaptive``.
        size: Cells of the plane.

    Returns:
        The number.
    """
    return min(size, max(round(_USUAL * size), _LEAST)) if name == "adaptive" else size


def known(surfaces: Sequence[Surface]) -> BoolArray:
    """Return which cells are measured on all surfaces, shape ``(pairs, n_alpha, n_beta)``."""
    both: BoolArray = np.all([s.measured & s.done for s in surfaces], axis=0)
    return both


def dense(done: BoolArray) -> list[Cell]:
    """Return every cell that is not done, row by row of constant beta, pair after pair.

    Args:
        done: Shape ``(pairs, n_alpha, n_beta)``.

    Returns:
        Cells as (pair, i_alpha, i_beta).
    """
    todo = np.argwhere(~np.swapaxes(done, 1, 2))  # (pair, i_beta, i_alpha): alpha runs fastest
    return [(int(pair), int(i), int(j)) for pair, j, i in todo]


class Blocks:
    """Cuts cells into blocks that last about ``seconds``, by the speed of the blocks before.

    Args:
        sampling: Which cells.
        surfaces: What is known; read anew whenever cells are asked for.
        paces: First guesses of the seconds a cell takes, for each surface; None for one that another's blocks serve.
        workers: Among how many the cells at hand are shared.
        seconds: Wanted duration of a block.
    """

    def __init__(
        self,
        sampling: Sampling,
        surfaces: Sequence[Surface],
        paces: Sequence[float | None],
        *,
        workers: int = 1,
        seconds: float = 2.0,
    ) -> None:
        self._sampling, self._surfaces, self.paces = sampling, surfaces, list(paces)
        self._workers, self._seconds = workers, seconds

    def __iter__(self) -> Iterator[Part | None]:
        """Yield blocks with the surface they belong to; None while the sampling waits for results."""
        while True:
            cells = self._sampling.ask(self._surfaces)
            if not cells and self._sampling.finished:
                return
            if not cells:
                yield None
            start = 0
            while start < len(cells):
                share = -(-(len(cells) - start) // self._workers)
                slowest = max(pace for pace in self.paces if pace is not None)
                size = max(1, min(share, round(self._seconds / max(slowest, 1e-6))))
                yield from self._parts(cells[start : start + size])
                start += size

    def _parts(self, cells: list[Cell]) -> Iterator[Part]:
        for which, (surface, pace) in enumerate(zip(self._surfaces, self.paces, strict=True)):
            left = tuple(cell for cell in cells if not (surface.measured[cell] and surface.done[cell]))
            if left and pace is not None:
                yield which, left

    def tell(self, part: Part, seconds: float) -> None:
        """Learn from a finished block.

        Args:
            part: The block.
            seconds: How long it took.
        """
        which, block = part
        pace = self.paces[which]
        assert pace is not None
        self.paces[which] = 0.5 * pace + 0.5 * seconds / len(block)
