"""A surface: losses on planes through one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from landscape.records.base import BoolArray, FloatArray, Json, Record, array, embedded, mapping
from landscape.records.grid import Grid
from landscape.records.measurement import Measurement, at_chance


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Surface(Record):
    """Losses on planes through one checkpoint. Every array is indexed ``[pair, i_alpha, i_beta]``.

    NaN and infinity are measurements (the network diverged there): ``done`` alone says what is left to do.

    Args:
        grid: Multipliers of the two directions.
        loss: Mean loss over the evaluation set.
        loss_sem: Standard error of ``loss`` over examples.
        delta_sem: Standard error of ``loss - center.loss``; the examples are the same, so it is the paired one.
        accuracy: Fraction classified right, 0 to 1.
        done: True once a cell has its value.
        measured: True where that value was measured, False where it was interpolated.
        center: A direct evaluation of the checkpoint, outside the grid.
        error_estimate: Estimated 95th percentile over cells of the relative interpolation error; 0 when all measured.
        recipe: What a value depends on; compared when a run is continued.
        execution: Evaluator, batch and threads, chosen once and kept when a run is continued.
        checks: Geometry checks of the planes, by name.
        environment: Versions and device.
        provenance: Where the checkpoint came from, what was assumed, the command; no value depends on it.
    """

    kind: ClassVar[str] = "surface"

    grid: Grid = embedded(Grid)
    loss: FloatArray = array("pair", "alpha", "beta", units="nats", about="mean loss over the evaluation set")
    loss_sem: FloatArray = array(
        "pair", "alpha", "beta", units="nats", about="standard error of the loss over examples"
    )
    delta_sem: FloatArray = array(
        "pair", "alpha", "beta", units="nats", about="paired standard error of the difference from the center's loss"
    )
    accuracy: FloatArray = array("pair", "alpha", "beta", about="fraction classified right")
    done: BoolArray = array("pair", "alpha", "beta", dtype=np.bool_, about="the cell has its value")
    measured: BoolArray = array(
        "pair", "alpha", "beta", dtype=np.bool_, about="the value was measured, not interpolated"
    )
    center: Measurement = embedded(Measurement, "center_")
    error_estimate: float = array(about="95th percentile of the relative interpolation error", default=0.0)
    recipe: Mapping[str, Json] = mapping()
    execution: Mapping[str, Json] = mapping()
    checks: Mapping[str, Json] = mapping()
    environment: Mapping[str, Json] = mapping()
    provenance: Mapping[str, Json] = mapping()

    @property
    def pairs(self) -> int:
        """Number of direction pairs."""
        return len(self.loss)

    @property
    def at_chance(self) -> bool:
        """Whether the center is no better than guessing: within three standard errors of one in ``classes``.

        False where the recipe does not give the number of classes.
        """
        classes = self.recipe.get("classes")
        return at_chance(self.center, int(classes)) if classes else False

    @property
    def finished(self) -> bool:
        """Whether every cell has its value."""
        return bool(self.done.all())
