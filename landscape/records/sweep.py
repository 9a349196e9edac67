"""Settings side by side, each over seeds: the content of ``sweep.h5``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from landscape.records.base import BoolArray, FloatArray, IntArray, Json, Record, array, mapping

_PLACE = ("setting", "seed")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sweep(Record):
    """What became of every setting x seed. A run that is not done, or failed, is NaN.

    Args:
        setting: Names of the settings, which are also those of their folders.
        seed: Seeds of initial weights, batch order and dropout.
        val_accuracy: Highest validation accuracy of the run.
        last_accuracy: Validation accuracy after its last epoch.
        val_loss: Validation loss after its last epoch.
        train_loss: Training loss, mean over the steps of its last epoch.
        train_accuracy: Training accuracy of its last epoch, as trained on.
        epochs: Epochs trained; 0 for a run that is not done.
        collapsed: The run was at chance over the whole of its last epoch.
        diverged: A step loss of the run was not finite.
        failed: The run ended with an error; ``reasons`` says which.
        done: The run is finished, well or as diverged.
        settings: For every setting the values that set it apart, by key; those of the base where it changes nothing.
        reasons: Errors of failed runs by ``<setting> seed <seed>``.
        recipe: What all runs share; ``baseline``, the setting that others are compared with; ``keys``, what differs.
        environment: Versions and device.
        provenance: The command.
    """

    kind: ClassVar[str] = "sweep"

    setting: np.typing.NDArray[np.str_] = array("setting", dtype=np.str_, about="name of the setting")
    seed: IntArray = array("seed", dtype=np.int64, about="seed of initial weights and batch order")
    val_accuracy: FloatArray = array(*_PLACE, about="highest validation accuracy")
    last_accuracy: FloatArray = array(*_PLACE, about="validation accuracy after the last epoch")
    val_loss: FloatArray = array(*_PLACE, about="validation loss after the last epoch")
    train_loss: FloatArray = array(*_PLACE, about="training loss, mean of the last epoch")
    train_accuracy: FloatArray = array(*_PLACE, about="training accuracy of the last epoch")
    epochs: IntArray = array(*_PLACE, dtype=np.int64, about="epochs trained")
    collapsed: BoolArray = array(*_PLACE, dtype=np.bool_, about="at chance over the whole last epoch")
    diverged: BoolArray = array(*_PLACE, dtype=np.bool_, about="a loss was not finite")
    failed: BoolArray = array(*_PLACE, dtype=np.bool_, about="ended with an error")
    done: BoolArray = array(*_PLACE, dtype=np.bool_, about="finished")
    settings: Mapping[str, Json] = mapping()
    reasons: Mapping[str, Json] = mapping()
    recipe: Mapping[str, Json] = mapping()
    environment: Mapping[str, Json] = mapping()
    provenance: Mapping[str, Json] = mapping()

    @property
    def baseline(self) -> str:
        """Name of the setting that the others are compared with; empty where there is none."""
        return str(self.recipe.get("baseline", ""))
