"""One measured point of parameter space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.records.base import Record, array


@dataclass(frozen=True, slots=True, eq=False)
class Measurement(Record):
    """Loss and accuracy at one set of parameters. NaN and infinity are values like any other.

    Args:
        loss: Mean of the per-example losses [nats for cross-entropy].
        loss_sem: Standard error of that mean over the examples (sample standard deviation / sqrt(n)).
        accuracy: Fraction of examples classified right, 0 to 1; NaN where targets are not classes.
        examples: Number of examples.
    """

    loss: float = array(about="mean of the per-example losses", units="nats")
    loss_sem: float = array(about="standard error of the loss over examples", units="nats")
    accuracy: float = array(about="fraction classified right")
    examples: int = array(dtype=np.int64, about="number of examples")


def at_chance(measured: Measurement, classes: int) -> bool:
    """Say whether an accuracy is no better than guessing: within three standard errors of one in ``classes``.

    Args:
        measured: Accuracy and number of examples.
        classes: Number of classes.

    Returns:
        Whether it is; False where there is no accuracy.
    """
    chance = 1 / classes
    return bool(measured.accuracy < chance + 3 * np.sqrt(chance * (1 - chance) / measured.examples))
