"""How a block of cells becomes numbers.

The sequential evaluator moves one network from cell to cell. All tensors that move lie in one flat buffer, so a cell
costs a single pass over the parameters: ``row = center + beta * second`` once per row, then ``row + alpha * first``
straight into the live network. Every cell is computed from the center; nothing is added up along the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape import devices
from landscape.errors import LayoutError
from landscape.records import Grid
from landscape.records.base import FloatArray
from landscape.space import DirectionPair, Params
from landscape.surface.objective import Objective
from landscape.surface.session import Session

Cell = tuple[int, int, int]  # pair, i_alpha, i_beta
Block = tuple[Cell, ...]
_ALIGN = 16  # elements: every tensor of the flat buffer starts on a cache line


@dataclass(frozen=True)
class BlockResult:
    """The numbers of a block.

    Args:
        values: One row per cell: loss, loss_sem, delta_sem, accuracy; shape ``(cells, 4)``.
        seconds: How long it took.
    """

    values: FloatArray
    seconds: float


@dataclass(frozen=True, eq=False)
class SequentialTask:
    """Measuring blocks of one surface, one cell after the other.

    Args:
        objective: What is measured.
        pairs: Direction pairs.
        grid: Multipliers.
        center_losses: Per-example losses of the center, for the paired error.
        threads: CPU threads, as chosen when the surface was begun.
    """

    objective: Objective
    pairs: Sequence[DirectionPair]
    grid: Grid
    center_losses: Tensor | None = None
    threads: int | None = None

    @contextmanager
    def open(self) -> Iterator[Callable[[Block], BlockResult]]:
        """Lend the network out and lay its moving tensors into one buffer.

        Yields:
            The function that measures a block.
        """
        center = self.objective.center  # before the network is lent out: the caller's own storage, not a copy
        with devices.threads(self.threads), self.objective.session() as session:
            mover = Mover(session, center, self.pairs)

            def measure(block: Block) -> BlockResult:
                start = time.perf_counter()
                rows = []
                for pair, i, j in block:
                    mover.move(pair, float(self.grid.alpha[i]), float(self.grid.beta[j]))
                    rows.append(session.examples().statistics(self.center_losses))
                values: FloatArray = torch.stack(rows).cpu().numpy()  # the block's one transfer
                return BlockResult(values, time.perf_counter() - start)

            yield measure


class Mover:
    """Walks a session's network over planes.

    Args:
        session: The borrowed network.
        center: The caller's own parameters; they are read once per row, from a copy only where devices differ.
        pairs: Direction pairs.
    """

    def __init__(self, session: Session, center: Params, pairs: Sequence[DirectionPair]) -> None:
        moved = [n for n in center if any(bool(d[n].any()) for p in pairs for d in (p.first, p.second))]
        self._pairs = pairs
        live = {n: session.parameters[n].data for n in moved}
        self._center = {n: center[n] if center[n].device == t.device else t for n, t in live.items()}
        self._live, self._row, self._first, self._second = (_Flat(live) for _ in range(4))
        for name, view in self._live.views.items():
            session.parameters[name].data = view
        self._live.fill(self._center)
        self._at: tuple[int, float] | None = None
        self._pair: int | None = None

    def move(self, pair: int, alpha: float, beta: float) -> None:
        """Write ``center + alpha * first + beta * second`` into the network.

        Args:
            pair: Which pair spans the plane.
            alpha: Multiplier of its first direction.
            beta: Multiplier of its second direction.
        """
        if self._pair != pair:
            self._first.fill(self._pairs[pair].first)
            self._second.fill(self._pairs[pair].second)
            self._pair, self._at = pair, None
        if self._at != (pair, beta):
            self._row.fill(self._center)
            self._row.vector.add_(self._second.vector, alpha=beta)
            self._at = (pair, beta)
        torch.add(self._row.vector, self._first.vector, alpha=alpha, out=self._live.vector)


class _Flat:
    """Tensors as views of one vector, each with the memory layout of the tensor that it stands for."""

    def __init__(self, like: Mapping[str, Tensor]) -> None:
        lengths = {name: -(-t.numel() // _ALIGN) * _ALIGN for name, t in like.items()}
        some = next(iter(like.values()), torch.zeros(0))
        if any(t.dtype != some.dtype for t in like.values()):
            raise LayoutError("the moving parameters have several dtypes; convert the network to one first")
        with torch.inference_mode(False):  # a network's data may not be replaced by an inference tensor
            self.vector = torch.zeros(sum(lengths.values()), dtype=some.dtype, device=some.device)
            self.views: dict[str, Tensor] = {}
            start = 0
            for name, t in like.items():
                piece = self.vector[start : start + t.numel()]
                self.views[name] = _shaped(piece, t)
                start += lengths[name]

    def fill(self, values: Params) -> None:
        for name, view in self.views.items():
            view.copy_(values[name])


def _shaped(piece: Tensor, like: Tensor) -> Tensor:
    """View ``piece`` with the strides of ``like``, a dense copy: another layout would be another rounding."""
    return piece.as_strided(like.shape, like.stride())
