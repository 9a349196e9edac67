"""What happens before the first cell: the center, the geometry checks, the choice of how to measure."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from landscape import devices
from landscape.surface.checks import check_geometry
from landscape.surface.evaluators import Planes
from landscape.surface.memory import in_halves
from landscape.surface.objective import Objective
from landscape.surface.precision import precision_error
from landscape.surface.session import Examples
from landscape.surface.tuning import Tuned, choose, first_batch


@dataclass(frozen=True)
class Prepared:
    """An objective that is ready to be measured.

    Args:
        center: The center's examples.
        checks: Geometry checks, and how far evaluator and precision are off.
        tuned: How cells are measured.
        halved: Whether memory ran out on the way.
    """

    center: Examples
    checks: dict[str, Any]
    tuned: Tuned
    halved: bool = False


def prepare(objective: Objective, planes: Planes, *, evaluator: str, threads: int, cells: int) -> Prepared:
    """Evaluate the center, check the planes and choose how cells are measured.

    Memory that runs out on the way halves the batch, where no value depends on it.

    Args:
        objective: What is measured.
        planes: Where.
        evaluator: A name, or ``auto``.
        threads: CPU threads of a worker.
        cells: How many cells will be measured, as far as is known.

    Returns:
        What was found.
    """
    found, used = in_halves(objective, lambda o: _prepared(o, planes, evaluator, threads, cells))
    return replace(found, halved=used.batch_size != objective.batch_size)


def _prepared(objective: Objective, planes: Planes, evaluator: str, threads: int, cells: int) -> Prepared:
    largest = objective.batch_size
    if evaluator != "sequential":
        objective = objective.in_batches_of(first_batch(objective))
    with devices.threads(threads):
        center, pace = evaluate_center(objective)
        checks = check_geometry(objective, planes.pairs)
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
