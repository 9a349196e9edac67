"""Memory that runs out: which errors say so, and going on with half the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from landscape.errors import ObjectiveError
from landscape.surface.objective import Objective

T = TypeVar("T")

ERRORS = (RuntimeError, MemoryError)  # among which those of memory are; ``out_of_memory`` tells them apart
_SAID = (
    "can't allocate memory",  # the CPU's allocator
    "not enough memory",  # the same on other systems
    "out of memory",  # CUDA, where it is not torch's own allocator that fails
    "could not create a primitive",  # oneDNN, for want of scratch space
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a smaller batch might do."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID)


def in_halves(objective: Objective, act: Callable[[Objective], T]) -> tuple[T, Objective]:
    """Do something with an objective, with half the batch for as long as memory runs out.

    Args:
        objective: What is measured.
        act: What is done with it.

    Returns:
        What ``act`` returned, and the objective with the batch that it was done in.

    Raises:
        ObjectiveError: The batch is part of a value, or cannot be halved.
        RuntimeError: ``act`` failed otherwise.
    """
    while True:
        try:
            return act(objective), objective
        except ERRORS as error:
            if not out_of_memory(error):
                raise
            objective = objective.in_batches_of(half(objective, objective.batch_size, error))


def half(objective: Objective, batch_size: int, error: BaseException) -> int:
    """Return half a batch, after memory ran out.

    Args:
        objective: What is measured.
        batch_size: What was too large.
        error: What was raised.

    Returns:
        The smaller batch.

    Raises:
        ObjectiveError: The batch is part of a value, or cannot be halved.
    """
    size = min(batch_size, objective.examples)
    if objective.bn == "batch" and not objective.batch_is_free:
        raise ObjectiveError(
            f"memory ran out with batches of {size} examples. In BN mode 'batch' the batch is part of the value, so it "
            "is not made smaller by itself: ask for a smaller one (--batch-size), or for another mode."
        ) from error
    if size < 2:
        raise ObjectiveError(
            f"memory ran out with one example at a time ({str(error).strip()[:200] or type(error).__name__}): take a "
            "device with more of it"
        ) from error
    return -(-size // 2)
