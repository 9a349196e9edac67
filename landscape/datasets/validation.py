"""A part of the training images set aside for validation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from landscape.datasets.array_dataset import ArrayDataset
from landscape.datasets.order import balanced_order, rank_in_class
from landscape.errors import DataError, UsageError


def split_validation(dataset: ArrayDataset, fraction: float = 0.1, seed: int = 0) -> tuple[ArrayDataset, ArrayDataset]:
    """Divide a data set into a part to train on and a part to validate on.

    Each class gives its share, to within one example: its *last* images in the order of ``balanced_order``. Where
    classes are equally large, the first images of that order, which ``load(limit=...)`` with the same seed takes, so
    belong to the training part as long as it is that long.

    Args:
        dataset: What to divide. One loaded with a limit and this seed is in balanced order already and stays so.
        fraction: Share set aside, between 0 and 1.
        seed: Seed of the data.

    Returns:
        The training part and the validation part (its ``split`` is ``"validation"``), both in balanced order; disjoint,
        and together the whole.

    Raises:
        UsageError: The fraction is not between 0 and 1.
        DataError: One of the parts would be empty.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"a validation fraction of {fraction} is not between 0 and 1; 0.1 sets a tenth aside")
    count = round(fraction * len(dataset))
    if not 0 < count < len(dataset):
        raise DataError(
            f"{len(dataset)} images cannot be divided with {fraction} of them for validation: one part would be empty. "
            "Take more images"
        )
    ordered = dataset.limit is not None and dataset.seed == seed
    order = torch.arange(len(dataset)) if ordered else balanced_order(dataset.targets, seed)
    labels = dataset.targets.cpu().numpy()[order.numpy()]
    # The middle of each example's place in its class: ties keep the order, so equal classes give its plain tail.
    place = (rank_in_class(labels) + 0.5) / np.bincount(labels)[labels]
    order = order[torch.from_numpy(np.argsort(place, kind="stable"))]
    return dataset.subset(order[:-count]), replace(dataset.subset(order[-count:]), split="validation")
