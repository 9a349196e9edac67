"""Measuring blocks of cells, as an engine's task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from landscape import devices
from landscape.records.base import FloatArray
from landscape.surface.evaluators import Block, Measure, Planes, get
from landscape.surface.execution import Execution
from landscape.surface.objective import Objective

Part = tuple[int, Block]  # which objective, cells


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
class SurfaceTask:
    """Measuring blocks of the surfaces of one network.

    Args:
        objectives: What is measured; they share the network.
        planes: Where.
        choices: How each is measured, as chosen when the surface was begun.
    """

    objectives: tuple[Objective, ...]
    planes: Planes
    choices: tuple[Execution, ...]

    @contextmanager
    def open(self) -> Iterator[Callable[[Part], BlockResult]]:
        """Lend the network out for as long as blocks come; one objective has it at a time.

        Yields:
            The function that measures a block.
        """
        with ExitStack() as stack:
            current: tuple[int, Measure] | None = None

            def measure(part: Part) -> BlockResult:
                nonlocal current
                which, block = part
                start = time.perf_counter()
                if current is None or current[0] != which:
                    current = None
                    stack.close()
                    current = (which, stack.enter_context(self._opened(which)))
                values: FloatArray = current[1](block).cpu().numpy()  # the block's one transfer
                return BlockResult(values, time.perf_counter() - start)

            yield measure

    @contextmanager
    def _opened(self, which: int) -> Iterator[Measure]:
        choice, objective = self.choices[which], self.objectives[which].in_batches_of(self.choices[which].batch_size)
        with (
            devices.threads(choice.threads),
            get(choice.evaluator).open(objective, self.planes, choice.cells) as measure,
        ):
            yield measure
