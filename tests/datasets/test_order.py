from __future__ import annotations

import pytest
import torch

from landscape.datasets import balanced_order, load, split_validation
from landscape.errors import DataError, UsageError

UNEQUAL = torch.tensor([0] * 50 + [1] * 7 + [2] * 23 + [4] * 20)  # no image of class 3
EQUAL = torch.arange(100) % 10


@pytest.mark.parametrize("targets", [UNEQUAL, EQUAL])
@pytest.mark.parametrize("seed", [0, 1, 17])
def test_every_prefix_is_balanced_until_a_class_runs_out(targets, seed):
    order = balanced_order(targets, seed)
    assert torch.equal(order.sort().values, torch.arange(len(targets)))
    have = targets.bincount()
    for length in range(1, len(targets) + 1):
        taken = targets[order[:length]].bincount(minlength=len(have))
        going_on = taken[taken < have]
        if len(going_on):
            assert going_on.max() - going_on.min() <= 1
            assert (taken[taken == have] <= going_on.min() + 1).all()


def test_the_order_is_pinned():
    """Subsets in stored recipes are named by their seed alone, so this order must never change."""
    assert balanced_order(torch.arange(12) % 3, 0).tolist() == [11, 3, 1, 2, 6, 7, 8, 0, 4, 10, 5, 9]


def test_seeds_differ_and_repeat():
    assert torch.equal(balanced_order(EQUAL, 3), balanced_order(EQUAL, 3))
    assert not torch.equal(balanced_order(EQUAL, 3), balanced_order(EQUAL, 4))


def test_negative_seed_is_refused():
    with pytest.raises(UsageError, match="seed of a subset is -1"):
        balanced_order(EQUAL, -1)


def test_a_small_subset_is_the_beginning_of_a_large_one():
    small, large = (load("fashion_mnist_mini", limit=n, seed=5) for n in (128, 512))
    assert torch.equal(small.images, large.images[:128])
    assert torch.equal(small.targets, large.targets[:128])
    assert sorted(small.targets.bincount().tolist()) == [12] * 2 + [13] * 8
    assert small.transform == large.transform


@pytest.mark.parametrize("fraction", [0.1, 0.37])
def test_validation_is_disjoint_whole_and_fixed_by_the_seed(fraction):
    data = load("fashion_mnist_mini")
    numbered = data.subset(range(len(data)))
    object.__setattr__(numbered, "images", torch.arange(len(data)))  # follow positions through the split
    train, validation = split_validation(numbered, fraction, seed=2)
    both = torch.cat([train.images, validation.images])
    assert torch.equal(both.sort().values, torch.arange(len(data)))
    assert len(validation) == round(fraction * len(data))
    counts = validation.targets.bincount()
    assert counts.max() - counts.min() <= 1
    again = split_validation(numbered, fraction, seed=2)[1]
    other = split_validation(numbered, fraction, seed=3)[1]
    assert torch.equal(validation.images, again.images)
    assert not torch.equal(validation.images.sort().values, other.images.sort().values)
    assert (train.split, validation.split) == ("train", "validation")


@pytest.mark.parametrize("limit", [None, 1000])
def test_the_measured_subset_is_trained_on(limit):
    """`load(limit=128)` with the same seed never contains a validation image, with and without a training limit."""
    train, _ = split_validation(load("fashion_mnist_mini", limit=limit, seed=4), 0.1, seed=4)
    measured = load("fashion_mnist_mini", limit=128, seed=4)
    assert torch.equal(train.images[:128], measured.images)


def test_validation_takes_the_share_of_each_class(arrays, npz):
    data = load(npz(arrays))  # 16, 9 and 6 images
    train, validation = split_validation(data, 0.3, seed=0)
    share = validation.targets.bincount(minlength=3) - 0.3 * data.targets.bincount()
    assert share.abs().max() < 1
    assert len(train) + len(validation) == 31


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_fraction_outside_is_refused(fraction):
    with pytest.raises(UsageError, match="not between 0 and 1"):
        split_validation(load("fashion_mnist_mini", limit=20), fraction)


def test_an_empty_part_is_refused():
    with pytest.raises(DataError, match="one part would be empty"):
        split_validation(load("fashion_mnist_mini", limit=4), 0.1)
