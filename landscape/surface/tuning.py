"""Choosing how a surface is measured, by timing a few of its cells."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from landscape import devices
from landscape.errors import ObjectiveError, UsageError
from landscape.records.base import FloatArray
from landscape.surface import evaluators
from landscape.surface.evaluators import Block, Planes
from landscape.surface.execution import Execution
from landscape.surface.objective import Objective

_WORTH = 40  # cells that a choice may cost: a surface of fewer than ten times as many is not tuned
_AT_ONCE = 16  # cells that a batched pass begins with
_LONG = 1.0  # seconds of a trial that need not be taken twice
_MARGIN = 0.97  # another batch must be this much faster
_CPU_START, _GPU_START = 64, 512  # examples in a batch, from where larger ones are tried
_TOLERANCE = {"fp64": 1e-10, "fp32": 5e-6, "tf32": 1e-2, "bf16": 1e-2}  # relative, between two that round apart


@dataclass(frozen=True)
class Tuned:
    """A choice and why it was made.

    Args:
        execution: The choice.
        seconds_per_cell: How long a cell takes.
        timings: Seconds a cell of everything that was tried, by ``evaluator/batch``; or why it was not.
        error: Largest relative difference from the sequential evaluator on the cells that were timed.
    """

    execution: Execution
    seconds_per_cell: float
    timings: dict[str, float | str] = field(default_factory=dict)
    error: float = 0.0


def choose(
    objective: Objective,
    planes: Planes,
    *,
    evaluator: str = "auto",
    largest: int,
    threads: int,
    cells: int,
    pace: float,
) -> Tuned:
    """Choose evaluator and batch.

    A batch is only chosen where no value depends on it: in BN mode ``frozen``, or without BatchNorm.

    Args:
        objective: What is measured, with the batch to begin with.
        planes: Where.
        evaluator: A name, or ``auto``.
        largest: Largest batch.
        threads: CPU threads of a worker.
        cells: How many cells there are to measure: few are not worth a choice.
        pace: Seconds that a cell took so far.

    Returns:
        The choice.

    Raises:
        UsageError: The evaluator asked for cannot measure this objective.
    """
    names = _applicable(objective, planes) if evaluator == "auto" else [evaluator]
    if evaluator != "auto" and (reason := evaluators.get(evaluator).refusal(objective, planes)):
        raise UsageError(f"evaluator {evaluator!r} cannot measure this: {reason}; leave the choice to 'auto'")
    trial = _Trial(objective, planes, threads)
    first = [Execution(n, objective.batch_size, threads, _AT_ONCE if n == "batched" else 1) for n in names]
    if evaluator == "sequential" or cells < 10 * _WORTH or cells * pace < 5:
        return trial.first_that_agrees(first if evaluator == "auto" else first[:1], asked=evaluator != "auto")
    if objective.device.type == "cuda":
        best = trial.fastest(first, asked=evaluator != "auto")
    else:  # folding does less of the same work, which noise must not talk it out of
        best = trial.first_that_agrees(first, asked=evaluator != "auto")
    if objective.batch_is_free:
        for size in _larger(objective, largest):
            larger = [replace(best.execution, batch_size=size)]
            other = trial.fastest(larger, against=best)
            if other is best:  # perhaps because something else had the processor meanwhile
                other = trial.fastest(larger, against=best)
            if other is best:
                break
            best = other
    return replace(best, timings=trial.timings)


def _applicable(objective: Objective, planes: Planes) -> list[str]:
    """Names of evaluators that can measure an objective, those first that are likely to be fast."""
    names = ["graphed", "batched", "folded", "sequential"] if objective.device.type == "cuda" else ["folded"]
    names += [n for n in evaluators.EVALUATORS.names() if n not in {*names, "graphed", "batched", "sequential"}]
    names += [n for n in ["sequential"] if n not in names]
    return [n for n in names if not evaluators.get(n).refusal(objective, planes)]


def first_batch(objective: Objective) -> int:
    """Return the batch to begin with: what fits a CPU's cache, or fills a GPU; never more than was asked for."""
    start = _GPU_START if objective.device.type == "cuda" else _CPU_START
    return min(objective.batch_size, start) if objective.batch_is_free else objective.batch_size


def _larger(objective: Objective, largest: int) -> Iterator[int]:
    """Doubled batches up to the largest allowed."""
    size = objective.batch_size
    while size < min(largest, objective.examples):
        size = min(2 * size, largest)
        yield size


class _Trial:
    """Times executions on a few cells of one objective."""

    def __init__(self, objective: Objective, planes: Planes, threads: int) -> None:
        self._objective, self._planes, self._threads = objective, planes, threads
        corners = probes(planes, 2)
        middle = [int(np.abs(axis).argmin()) for axis in (planes.grid.alpha, planes.grid.beta)]
        self._cells = list(dict.fromkeys([(0, middle[0], middle[1]), corners[0], corners[-1]]))
        self._reference: FloatArray | None = None
        self.timings: dict[str, float | str] = {}

    def first_that_agrees(self, executions: Sequence[Execution], *, asked: bool) -> Tuned:
        """Take the first that gives the sequential evaluator's numbers."""
        for execution in executions:
            found = self._try(execution, asked=asked, needed=asked or execution.evaluator == "sequential")
            if found is not None:
                return replace(found, timings=self.timings)
        raise AssertionError("the sequential evaluator measures everything")

    def fastest(self, executions: Sequence[Execution], *, asked: bool = False, against: Tuned | None = None) -> Tuned:
        """Take the fastest of those that give the sequential evaluator's numbers."""
        found = [against] if against else []
        for execution in executions:
            tried = self._try(execution, asked=asked, needed=asked or (execution == executions[-1] and not found))
            found += [tried] if tried is not None else []
        return min(found, key=lambda f: f.seconds_per_cell * (_MARGIN if f is against else 1))

    def _try(self, execution: Execution, *, asked: bool, needed: bool) -> Tuned | None:
        name = f"{execution.evaluator}/{min(execution.batch_size, self._objective.examples)}"
        try:
            values, seconds = self._measured(execution)
        except Exception as failure:
            if needed:
                raise
            self.timings[name] = f"{type(failure).__name__}: {failure}"[:120]
            return None
        error = self._error(execution, values)
        if error > _TOLERANCE[self._objective.arithmetic]:
            self.timings[name] = f"differs from sequential by {error:.1e}"
            if asked:
                raise ObjectiveError(
                    f"evaluator {execution.evaluator!r} differs from the sequential one by {error:.1e} (relative): the "
                    "network uses its layers in a way that cannot be rewritten. Take 'sequential', or 'auto'."
                )
            return None
        self.timings[name] = seconds
        return Tuned(execution, seconds, error=error)

    def _measured(self, execution: Execution, *, times: int = 2) -> tuple[FloatArray, float]:
        objective = self._objective.in_batches_of(execution.batch_size)
        block: Block = tuple(self._cells) * (execution.cells if execution.cells > 1 else 1)
        spent = [float("inf")]
        with (
            devices.threads(execution.threads),
            evaluators.get(execution.evaluator).open(objective, self._planes, execution.cells) as measure,
        ):
            values = measure(block).cpu().numpy()
            for _ in range(times):
                start = time.perf_counter()
                measure(block).cpu()
                spent.append(time.perf_counter() - start)
                if spent[-1] > _LONG:
                    break
        return values[: len(self._cells), 0], min(spent) / len(block)

    def _error(self, execution: Execution, values: FloatArray) -> float:
        if execution.evaluator == "sequential":
            self._reference = values if self._reference is None else self._reference
            return 0.0
        if self._reference is None:
            plain = Execution("sequential", self._objective.batch_size, self._threads)
            self._reference, _ = self._measured(plain, times=0)
        return relative_error(values, self._reference)


def probes(planes: Planes, count: int) -> list[tuple[int, int, int]]:
    """Spread cells over the planes: ``count * count`` places of the grid, pairs in turn.

    Args:
        planes: Where.
        count: Places on each axis.

    Returns:
        Cells, each once.
    """
    n, m = planes.grid.shape
    places = [(i, j) for i in np.unique(np.linspace(0, n - 1, count).round()) for j in _spread(m, count)]
    return [(k % len(planes.pairs), int(i), int(j)) for k, (i, j) in enumerate(places)]


def _spread(length: int, count: int) -> list[int]:
    return [int(j) for j in np.unique(np.linspace(0, length - 1, count).round())]


def relative_error(values: FloatArray, reference: FloatArray) -> float:
    """Return the largest relative difference; infinite where one alone is finite, or nothing is to compare."""
    finite = np.isfinite(values)
    if not (finite.any() and np.array_equal(finite, np.isfinite(reference))):
        return float("inf")
    gap = np.abs(values[finite] - reference[finite]) / np.maximum(np.abs(reference[finite]), 1e-12)
    return float(gap.max(initial=0.0))
