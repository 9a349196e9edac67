"""What a lower precision costs: the same cells in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape import devices
from landscape.records.base import FloatArray
from landscape.surface import evaluators
from landscape.surface.evaluators import Planes
from landscape.surface.execution import Execution
from landscape.surface.objective import Objective
from landscape.surface.tuning import probes

_PLACES = 3  # on each axis: corners, middles of the sides, center


def precision_error(objective: Objective, planes: Planes, execution: Execution) -> dict[str, Any]:
    """Measure nine cells as chosen and in float32.

    Args:
        objective: What is measured, in ``bf16`` or ``tf32``.
        planes: Where.
        execution: How.

    Returns:
        ``cells`` (those finite in both), ``largest`` and ``rms`` of the relative difference of the loss, and
        ``not_finite`` (cells finite in one of the two only).
    """
    cells = tuple(probes(planes, _PLACES))

    def losses(of: Objective, how: Execution) -> FloatArray:
        with (
            devices.threads(how.threads),
            evaluators.get(how.evaluator).open(of.in_batches_of(how.batch_size), planes, how.cells) as measure,
        ):
            values: FloatArray = measure(cells).cpu().numpy()[:, 0]
        return values

    low = losses(objective, execution)
    exact = losses(objective.in_precision("fp32"), Execution("sequential", execution.batch_size, execution.threads))
    both = np.isfinite(low) & np.isfinite(exact)
    gap = np.abs(low[both] - exact[both]) / np.maximum(np.abs(exact[both]), 1e-12)
    return {
        "cells": int(both.sum()),
        "largest": float(gap.max(initial=0.0)),
        "rms": float(np.sqrt(np.mean(gap**2))) if len(gap) else 0.0,
        "not_finite": int((np.isfinite(low) != np.isfinite(exact)).sum()),
    }
