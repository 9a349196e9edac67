"""Four surfaces of 41 x 41 measured adaptively, against the seconds that the fastest peer needs for every cell."""

from __future__ import annotations

from typing import Any

import common
import numpy as np
from common import Clock
from contenders import Ours, Walker
from workloads import SURFACE_CELLS, Problem

_SHARE = 0.12  # of the cells is measured at most: the target of adaptive_error.py, assumed by an estimate
_TURNS = 3  # of the peer, before and after


def four_surfaces(problem: Problem, precision: str, peer: Walker, *, cells: int) -> dict[str, Any]:
    """Measure four adaptive surfaces in full, with turns of the peer before and after.

    Args:
        problem: A trained network with its images: how many cells are needed depends on the surface.
        precision: ``fp32`` or ``bf16``.
        peer: The fastest peer.
        cells: Of one of its turns.

    Returns:
        Seconds, measured cells, the stated error, and the ratio to the peer's dense time.
    """
    turns = [peer.turn(cells).seconds for _ in range(_TURNS)]
    ours = Ours(problem, precision, pairs=4)
    begun = Clock.now()
    surface = ours.measure(ours.planes, ours.grid, sampling="adaptive")
    seconds = Clock.now() - begun
    turns += [peer.turn(cells).seconds for _ in range(_TURNS)]
    dense = float(np.median(turns)) * SURFACE_CELLS
    return {
        "status": "measured",
        "seconds": seconds,
        "cells_measured": int(surface.measured.sum()),
        "cells": surface.done.size,
        "stated_error_p95": float(surface.error_estimate),
        "execution": dict(surface.execution),
        "peer_seconds_per_cell": common.spread(turns),
        "peer_dense_seconds": dense,
        "ratio": dense / seconds,
    }


def estimate(seconds_per_cell: float, startup: float, peer_seconds_per_cell: float) -> dict[str, Any]:
    """What the ratio would be if 12 % of the cells were measured.

    Args:
        seconds_per_cell: Of this package.
        startup: Seconds before its first cell.
        peer_seconds_per_cell: Of the fastest peer.

    Returns:
        As ``four_surfaces``, marked as an estimate.
    """
    seconds = startup + _SHARE * SURFACE_CELLS * seconds_per_cell
    dense = peer_seconds_per_cell * SURFACE_CELLS
    return {
        "status": f"estimated: {_SHARE:.0%} of the cells at the measured speed",
        "seconds": seconds,
        "peer_dense_seconds": dense,
        "ratio": dense / seconds,
    }
