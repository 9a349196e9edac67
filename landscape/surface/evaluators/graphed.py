"""A recorded cell: one CUDA graph that is replayed without the host having a say in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby

import torch
from torch import Tensor

from landscape.surface.evaluators.base import EVALUATORS, Block, Measure, Planes
from landscape.surface.evaluators.mover import Mover
from landscape.surface.evaluators.sequential import narrow_parameters, rewritten
from landscape.surface.objective import Objective

_LONGEST = 4096  # cells whose multipliers and results lie on the device at a time
_WARM = 3  # passes before a recording: libraries allocate and choose kernels in the first ones


@EVALUATORS.register("graphed")
class Graphed:
    """All work of a cell in one CUDA graph; multipliers are read, and results written, on the device.

    The graph finds its cell by a counter that it raises itself, so a block is as many replays and one transfer.
    """

    def refusal(self, objective: Objective, planes: Planes) -> str:
        """Say why there is nothing to record; empty where there is."""
        if objective.device.type != "cuda":
            return "CUDA graphs need a CUDA device"
        return "" if planes.moving else "nothing moves"

    @contextmanager
    def open(self, objective: Objective, planes: Planes, cells: int = 1) -> Iterator[Measure]:
        """Lend the network out, record a cell.

        Args:
            objective: What is measured.
            planes: Where.
            cells: Not used: one at a time.

        Yields:
            The function that measures a block.
        """
        center = objective.center
        with objective.session() as session, rewritten(session, planes) as fold:
            narrow = narrow_parameters(session.model) if objective.lowered else []
            mover = Mover(session, center, planes.pairs, planes.moving, fold=fold, narrow=narrow, lean=False)
            tape = _Tape(objective.device)
            at_center: Tensor = session.examples().losses

            def cell() -> None:
                mover.write_tensors(tape.alpha.index_select(0, tape.at)[0], tape.beta.index_select(0, tape.at)[0])
                tape.out.index_copy_(0, tape.at, session.examples().statistics(at_center)[None])
                tape.at.add_(1)

            mover.choose(0)
            replay = _recorded(cell, objective.device)

            def measure(block: Block) -> Tensor:
                parts = []
                for pair, group in groupby(block, key=lambda c: c[0]):
                    mover.choose(pair)
                    own = list(group)
                    for start in range(0, len(own), _LONGEST):
                        piece = own[start : start + _LONGEST]
                        tape.rewind([planes.multipliers(c) for c in piece])
                        for _ in piece:
                            replay()
                        parts.append(tape.out[: len(piece)].clone())
                return torch.cat(parts)

            yield measure


class _Tape:
    """Multipliers and results on the device, and the place that is next."""

    def __init__(self, device: torch.device) -> None:
        self.alpha, self.beta = torch.zeros(2, _LONGEST, dtype=torch.float64, device=device)
        self.out = torch.zeros(_LONGEST, 4, dtype=torch.float64, device=device)
        self.at = torch.zeros(1, dtype=torch.int64, device=device)

    def rewind(self, multipliers: list[tuple[float, float]]) -> None:
        values = torch.tensor(multipliers, dtype=torch.float64).T.contiguous().to(self.alpha.device)
        self.alpha[: len(multipliers)], self.beta[: len(multipliers)] = values[0], values[1]
        self.at.zero_()


def _recorded(cell: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return a function that replays ``cell``; without CUDA, the cell itself."""
    if device.type != "cuda":
        return cell
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(_WARM):
            cell()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        cell()
    return graph.replay
