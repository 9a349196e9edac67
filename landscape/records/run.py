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
        train_accuracy: Fraction of an epoch's training images classified right as they were trained on, before each
            update; NaN where it was not recorded.
        learning_rate: The learning rate of every step; NaN where it was not recorded.
        val_step: Optimiser updates made before the values beside it were taken, where the run was also validated
            within its epochs; else empty.
        val_step_loss: As ``val_loss``, at those steps.
        val_step_accuracy: As ``val_accuracy``, at those steps.
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
    train_accuracy: FloatArray = array("epoch", fill=np.nan, about="fraction classified right as trained on")
    learning_rate: FloatArray = array("step", fill=np.nan, about="learning rate of the step")
    val_step: IntArray = array("val_step", dtype=np.int64, fill=0, about="optimiser updates made before")
    val_step_loss: FloatArray = array("val_step", units="nats", fill=np.nan, about="validation loss at a step")
    val_step_accuracy: FloatArray = array("val_step", fill=np.nan, about="validation accuracy at a step")
    recipe: Mapping[str, Json] = mapping()
    environment: Mapping[str, Json] = mapping()
    provenance: Mapping[str, Json] = mapping()

    @property
    def survived(self) -> bool:
        """Neither collapsed nor diverged."""
        return not (self.collapsed or self.diverged)

    @property
    def best_accuracy(self) -> float:
        """The highest validation accuracy, within epochs or after them; NaN where none is finite."""
        found = np.concatenate([self.val_accuracy, self.val_step_accuracy])
        return float(np.nanmax(found)) if np.isfinite(found).any() else float("nan")
