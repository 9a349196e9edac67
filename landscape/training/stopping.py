"""When a run has waited long enough for its validation loss to fall."""

from __future__ import annotations

import math
from collections.abc import Sequence


def epochs_waited(val_loss: Sequence[float]) -> int:
    """Count the epochs since the lowest validation loss.

    Args:
        val_loss: Validation loss of every epoch so far. NaN is no improvement.

    Returns:
        Epochs in a row, up to the last, that did not go below the lowest before them.
    """
    lowest, waited = math.inf, 0
    for value in val_loss:
        waited = 0 if value < lowest else waited + 1
        lowest = min(lowest, value)  # in this order: a NaN does not become the lowest
    return waited
