"""Every run of a comparison of variants, in one labelled array: the content of ``bands.h5``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from landscape.records.base import BoolArray, FloatArray, IntArray, Json, Record, array, mapping


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VariantBands(Record):
    """Losses of variants x seeds x learning rates. Runs that were stopped early are NaN from there on.

    Args:
        variant: Names of the networks, for instance ``vgg_bn``.
        seed: Seeds of initial weights and batch order.
        learning_rate: Learning rates, increasing: the members of a band.
        step: Optimiser updates made before.
        epoch: Epochs trained before.
        loss: Training loss of every step.
        val_loss: Validation loss after every epoch.
        val_accuracy: Validation accuracy after every epoch.
        collapsed: The run was at chance over the whole of its last epoch.
        diverged: A step loss of the run was not finite.
        recipe: The settings that all runs share.
        environment: Versions and device.
        provenance: The command, what was assumed.
    """

    kind: ClassVar[str] = "bands"

    variant: np.typing.NDArray[np.str_] = array("variant", dtype=np.str_, about="network")
    seed: IntArray = array("seed", dtype=np.int64, about="seed of initial weights and batch order")
    learning_rate: FloatArray = array("learning_rate", about="learning rate of the optimiser")
    step: IntArray = array("step", dtype=np.int64, about="optimiser updates made before")
    epoch: IntArray = array("epoch", dtype=np.int64, about="epochs trained before")
    loss: FloatArray = array(
        "variant", "seed", "learning_rate", "step", units="nats", about="training loss of the step's mini-batch"
    )
    val_loss: FloatArray = array("variant", "seed", "learning_rate", "epoch", units="nats", about="validation loss")
    val_accuracy: FloatArray = array("variant", "seed", "learning_rate", "epoch", about="validation accuracy")
    collapsed: BoolArray = array(
        "variant", "seed", "learning_rate", dtype=np.bool_, about="at chance over the whole last epoch"
    )
    diverged: BoolArray = array("variant", "seed", "learning_rate", dtype=np.bool_, about="a loss was not finite")
    recipe: Mapping[str, Json] = mapping()
    environment: Mapping[str, Json] = mapping()
    provenance: Mapping[str, Json] = mapping()
