"""A run: what one training left behind, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from landscape.records.base import FloatArray, IntArray, Json, Record, array, mapping


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Run(Record):
    """Losses of one training run.

    Args:
        step: Optimiser updates made before the loss beside it was taken: 0, 1, 2, ...
        loss: Training loss of the mini-batch of that step, in training mode, before the update.
        epoch: Epochs trained before the values beside it were taken: 1, 2, ...
        val_loss: Mean loss over the validation split, in evaluation mode.
        val_accuracy: Fraction of the validation split classified right, 0 to 1.
        collapsed: Accuracy at chance and loss within 0.01 of ``ln(classes)`` over the whole last epoch.
        diverged: A step loss was not finite.
        recipe: What the values depend on; compared when the run is continued.
        environment: Versions and device.
        provenance: Names of files and the command; no value depends on it.
    """

    kind: ClassVar[str] = "run"

    step: IntArray = array("step", dtype=np.int64, about="optimiser updates made before")
    loss: FloatArray = array("step", units="nats", about="training loss of the step's mini-batch")
    epoch: IntArray = array("epoch", dtype=np.int64, about="epochs trained before")
    val_loss: FloatArray = array("epoch", units="nats", about="mean loss over the validation split")
    val_accuracy: FloatArray = array("epoch", about="fraction of the validation split classified right")
    collapsed: bool = array(dtype=np.bool_, default=False, about="at chance over the whole last epoch")
    diverged: bool = array(dtype=np.bool_, default=False, about="a step loss was not finite")
    recipe: Mapping[str, Json] = mapping()
    environment: Mapping[str, Json] = mapping()
    provenance: Mapping[str, Json] = mapping()

    @property
    def survived(self) -> bool:
        """Neither collapsed nor diverged."""
        return not (self.collapsed or self.diverged)
