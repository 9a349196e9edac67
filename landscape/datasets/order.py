"""One seeded, class-balanced order of examples, from which every subset is a prefix."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.errors import UsageError


def balanced_order(targets: Tensor, seed: int) -> Tensor:
    """Shuffle examples so that every prefix holds its classes in equal numbers.

    Prefixes are nested: the first 128 lie within the first 512. A prefix holds every class equally often, to within
    one example; a class that runs out is left behind and the others go on.

    The shuffle sorts the raw output of PCG64, the part of NumPy whose values are promised never to change, so a seed
    means the same subset on every machine and with every version.

    Args:
        targets: Class of each example (n,), integers.
        seed: Seed of the data, not negative.

    Returns:
        Indices of all examples (n,), int64, on the CPU.

    Raises:
        UsageError: The seed is negative.
    """
    if seed < 0:
        raise UsageError(f"the seed of a subset is {seed}; give 0 or more")
    labels = targets.detach().cpu().numpy()
    shuffle = np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable")
    rounds = rank_in_class(labels[shuffle])
    return torch.from_numpy(shuffle[np.argsort(rounds, kind="stable")].astype(np.int64))


def rank_in_class(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count, for each example, the earlier ones of its class.

    Args:
        labels: Class of each example (n,).

    Returns:
        Ranks (n,), from 0 in each class.
    """
    by_class = np.argsort(labels, kind="stable")
    ordered = labels[by_class]
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[by_class] = np.arange(len(labels)) - np.searchsorted(ordered, ordered, side="left")
    return ranks
