"""What a lower precision costs: the same cells in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape import devices
from landscape.records.base import FloatArray
from landscape.surface import evaluators
from landscape.surface.evaluators import Block, Cell, Planes
from landscape.surface.execution import Execution
from landscape.surface.objective import Objective
from landscape.surface.tuning import first_batch, probes

_WANTED = 9  # cells that are finite in both


def precision_error(objective: Objective, planes: Planes, execution: Execution) -> dict[str, Any]:
    """Measure nine cells as chosen and in float32.

    Cells are taken until nine are finite in both, or none is left; where the center itself is not finite, no more than
    the first nine, for then hardly any will be.

    Args:
        objective: What is measured, in ``bf16`` or ``tf32``.
        planes: Where.
        execution: How.

    Returns:
        ``cells`` (those finite in both), ``largest`` and ``rms`` of the relative difference of the loss, and
        ``not_finite`` (cells finite in one of the two only).
    """
    size = first_batch(objective.in_batches_of(execution.batch_size))  # float32 needs twice the memory
    plain = Execution("sequential", size, execution.threads)
    left = _in_order(planes)
    low, exact = np.zeros(0), np.zeros(0)
    while left and (np.isfinite(low) & np.isfinite(exact)).sum() < _WANTED:
        if len(low) == _WANTED and not np.isfinite(objective(objective.center).loss):
            break
        some = max(_WANTED, len(low))  # as many again: opening an evaluator costs more than a cell
        cells, left = tuple(left[:some]), left[some:]
        low = np.concatenate([low, _losses(objective, execution, planes, cells)])
        exact = np.concatenate([exact, _losses(objective.in_precision("fp32"), plain, planes, cells)])
    both = np.isfinite(low) & np.isfinite(exact)
    gap = np.abs(low[both] - exact[both]) / np.maximum(np.abs(exact[both]), 1e-12)
    return {
        "cells": int(both.sum()),
        "largest": float(gap.max(initial=0.0)),
        "rms": float(np.sqrt(np.mean(gap**2))) if len(gap) else 0.0,
        "not_finite": int((np.isfinite(low) != np.isfinite(exact)).sum()),
    }


def _losses(objective: Objective, how: Execution, planes: Planes, cells: Block) -> FloatArray:
    with (
        devices.threads(how.threads),
        evaluators.get(how.evaluator).open(objective.in_batches_of(how.batch_size), planes, how.cells) as measure,
    ):
        values: FloatArray = measure(cells).cpu().numpy()[:, 0]
    return values


def _in_order(planes: Planes) -> list[Cell]:
    """All cells: nine places spread over the planes, then places ever nearer to the center, then the rest."""
    # losses that are not finite lie far out, so the nearer places find finite ones of every size
    n, m = planes.grid.shape
    pairs = range(len(planes.pairs))
    middle = [int(np.abs(axis).argmin()) for axis in (planes.grid.alpha, planes.grid.beta)]
    ends = [np.array([0, at, size - 1]) for at, size in zip(middle, (n, m), strict=True)]
    cells = probes(planes, 3 if min(n, m) > 1 else _WANTED)
    while any(int(end[-1] - end[0]) > 2 for end in ends):
        ends = [at + np.trunc((end - at) / 2).astype(int) for at, end in zip(middle, ends, strict=True)]
        cells += [(k, int(i), int(j)) for k in pairs for j in ends[1] for i in ends[0]]
    distance = sorted(
        (abs(i - middle[0]) + abs(j - middle[1]), k, i, j) for k in pairs for i in range(n) for j in range(m)
    )
    return list(dict.fromkeys([*cells, *(cell[1:] for cell in distance)]))
