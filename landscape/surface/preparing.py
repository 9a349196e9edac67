"""What happens before the first cell: the center, the geometry checks, the choice of how to measure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape import devices
from landscape.errors import ObjectiveError
from landscape.surface.checks import check_geometry
from landscape.surface.evaluators import Planes
from landscape.surface.objective import Objective
from landscape.surface.precision import precision_error
from landscape.surface.session import Examples
from landscape.surface.tuning import Tuned, choose, first_batch, out_of_memory


@dataclass(frozen=True)
class Prepared:
    """An objective that is ready to be measured.

    Args:
        center: The center's examples.
        checks: Geometry checks, and how far evaluator and precision are off.
        tuned: How cells are measured.
    """

    center: Examples
    checks: dict[str, Any]
    tuned: Tuned


def prepare(objective: Objective, planes: Planes, *, evaluator: str, threads: int) -> Prepared:
    """Evaluate the center, check the planes and choose how cells are measured.

    Memory that runs out on the way halves the batch, where no value depends on it.

    Args:
        objective: What is measured.
        planes: Where.
        evaluator: A name, or ``auto``.
        threads: CPU threads of a worker.

    Returns:
        What was found.

    Raises:
        ObjectiveError: Memory is too small for a batch that is part of the value, or for one example.
        RuntimeError: The network failed otherwise.
    """
    while True:
        try:
            return _prepared(objective, planes, evaluator, threads)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            objective = objective.in_batches_of(half(objective, objective.batch_size, error))


def _prepared(objective: Objective, planes: Planes, evaluator: str, threads: int) -> Prepared:
    largest = objective.batch_size
    if evaluator != "sequential":
        objective = objective.in_batches_of(first_batch(objective))
    with devices.threads(threads):
        center, pace = evaluate_center(objective)
        checks = check_geometry(objective, planes.pairs)
    cells = len(planes.pairs) * int(np.prod(planes.grid.shape))
    tuned = choose(objective, planes, evaluator=evaluator, largest=largest, threads=threads, cells=cells, pace=pace)
    if tuned.execution.evaluator != "sequential":
        checks["evaluator_error"] = tuned.error
    if objective.reduced:
        checks["precision_error"] = precision_error(objective, planes, tuned.execution)
    return Prepared(center, checks, tuned)


def evaluate_center(objective: Objective) -> tuple[Examples, float]:
    """Evaluate the center and refuse a loss that changes from call to call.

    Args:
        objective: What is measured.

    Returns:
        The examples, and the seconds that one evaluation takes.
    """
    with objective.session() as session:
        examples = session.check_deterministic()
        start = time.perf_counter()
        float(session.examples().losses[0])  # waits for the device
        return examples, time.perf_counter() - start


def half(objective: Objective, batch_size: int, error: BaseException) -> int:
    """Return half a batch, after memory ran out.

    Args:
        objective: What is measured.
        batch_size: What was too large.
        error: What was raised.

    Returns:
        The smaller batch.

    Raises:
        ObjectiveError: The batch is part of a value, or cannot be halved.
    """
    size = min(batch_size, objective.examples)
    if objective.bn == "batch" and not objective.batch_is_free:
        raise ObjectiveError(
            f"memory ran out with batches of {size} examples. In BN mode 'batch' the batch is part of the value, so it "
            "is not made smaller by itself: ask for a smaller one (--batch-size), or for another mode."
        ) from error
    if size < 2:
        raise ObjectiveError("memory ran out with one example at a time: take a device with more of it") from error
    return -(-size // 2)
