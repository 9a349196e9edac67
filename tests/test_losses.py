"""Losses against their closed forms in NumPy, per example, and the names they are known by."""

from __future__ import annotations

import functools
import math
import re
import types

import numpy as np
import pytest
import torch

from landscape import losses, registry
from landscape.errors import ShapeError, UnknownNameError, UsageError
from landscape.registry import Registry


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(7, 4, generator=generator, dtype=torch.float64)


CLASSES = torch.tensor([0, 3, 1, 1, 2, 0, 3])


def one_hot(classes, k=4):
    return np.eye(k)[classes.numpy()]


def test_cross_entropy_is_log_sum_exp_minus_the_target(logits):
    z = logits.numpy()
    wanted = np.log(np.exp(z).sum(axis=1)) - z[np.arange(7), CLASSES.numpy()]
    np.testing.assert_allclose(losses.cross_entropy(logits, CLASSES).numpy(), wanted, rtol=1e-13)
    soft = torch.softmax(logits.flip(0), dim=1)
    wanted = np.log(np.exp(z).sum(axis=1)) - (soft.numpy() * z).sum(axis=1)
    np.testing.assert_allclose(losses.cross_entropy(logits, soft).numpy(), wanted, rtol=1e-13)
    zero = torch.zeros(2, 10, dtype=torch.float64)
    assert losses.cross_entropy(zero, torch.tensor([1, 9])).tolist() == pytest.approx([np.log(10)] * 2, rel=1e-15)


@pytest.mark.parametrize("name", ["cross_entropy", "label_smoothing"])
@pytest.mark.parametrize("targets", [CLASSES.double(), CLASSES.int(), CLASSES[:6], CLASSES[:, None], torch.rand(7, 3)])
def test_targets_that_are_neither_classes_nor_probabilities_are_told_with_shapes(logits, name, targets):
    _, loss = losses.resolve(name)
    kind, shape = str(targets.dtype).removeprefix("torch."), tuple(targets.shape)
    with pytest.raises(ShapeError, match=re.escape(f"targets of {kind} and shape {shape} do not fit")):
        loss(logits, targets)
    images = torch.zeros(2, 3, 5, 5)
    torch.testing.assert_close(loss(images, torch.ones(2, 5, 5).long()), torch.full((2, 5, 5), math.log(3)))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.7, 1.0])
def test_label_smoothing_is_cross_entropy_against_a_target_that_gives_a_share_away(logits, share):
    z = logits.numpy()
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    wanted = -(((1 - share) * one_hot(CLASSES) + share / 4) * log_p).sum(axis=1)
    name, loss = losses.resolve(f"label_smoothing:{share}")
    np.testing.assert_allclose(loss(logits, CLASSES).numpy(), wanted, rtol=1e-13)
    assert name == f"label_smoothing:{share:g}"
    if share == 0:
        assert torch.equal(loss(logits, CLASSES), losses.cross_entropy(logits, CLASSES))


def test_a_loss_with_a_number_is_recorded_with_it():
    assert losses.resolve("label_smoothing")[0] == "label_smoothing:0.1"
    assert losses.resolve("label_smoothing:1e-1")[0] == "label_smoothing:0.1"
    assert "label_smoothing" in losses.names()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label_smoothing:x", "'x' is no number; write label_smoothing:0.1"),
        ("label_smoothing:", "'' is no number"),
        ("mse:0.1", "the loss 'mse' takes no number; got 'mse:0.1'"),
        ("label_smothing:0.1", "no loss named 'label_smothing'. Did you mean 'label_smoothing'"),
    ],
)
def test_a_number_that_is_none_or_is_not_taken_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        losses.resolve(text)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_lies_between_0_and_1(logits, share):
    with pytest.raises(UsageError, match="a share between 0 and 1"):
        losses.resolve(f"label_smoothing:{share}")[1](logits, CLASSES)


def test_mse_is_a_mean_over_classes(logits):
    z = logits.numpy()
    wanted = ((z - one_hot(CLASSES)) ** 2).mean(axis=1)
    np.testing.assert_allclose(losses.mse(logits, CLASSES).numpy(), wanted, rtol=1e-13)
    targets = logits.flip(0)
    wanted = ((z - targets.numpy()) ** 2).mean(axis=1)
    np.testing.assert_allclose(losses.mse(logits, targets).numpy(), wanted, rtol=1e-13)
    images = logits.reshape(7, 1, 2, 2)
    np.testing.assert_allclose(losses.mse(images, targets.reshape(7, 1, 2, 2)).numpy(), wanted, rtol=1e-13)


def test_bce_is_the_negative_log_likelihood_of_independent_bits(logits):
    p = 1 / (1 + np.exp(-logits.numpy()))
    t = one_hot(CLASSES)
    wanted = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(axis=1)
    np.testing.assert_allclose(losses.bce(logits, CLASSES).numpy(), wanted, rtol=1e-12)
    np.testing.assert_allclose(losses.bce(logits, torch.from_numpy(t)).numpy(), wanted, rtol=1e-12)
    sure = torch.tensor([[800.0, -800.0]], dtype=torch.float64)
    assert losses.bce(sure, torch.tensor([0])).tolist() == [0]  # no log of zero
    assert losses.bce(sure, torch.tensor([1])).tolist() == [800]


@pytest.mark.parametrize("name", ["mse", "bce"])
def test_one_output_per_example_may_come_without_a_second_dimension(logits, name):
    loss = losses.resolve(name)[1]
    targets = (CLASSES > 1).double()
    flat = loss(logits[:, 0], targets)
    assert flat.shape == (7,)
    assert torch.equal(flat, loss(logits[:, :1], targets[:, None]))
    assert torch.equal(flat, loss(logits[:, 0], (CLASSES > 1).long()))


@pytest.mark.parametrize("name", ["mse", "bce"])
def test_targets_are_never_broadcast(logits, name):
    """(n, 1) against (n,) would silently become (n, n)."""
    with pytest.raises(ShapeError, match=r"\(7,\).*\(7, 1\)"):
        losses.resolve(name)[1](logits[:, :1], logits[:, 0])


def test_unknown_names_get_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"'cross_entropi'.*'cross_entropy'.*cross_entropy, mse, bce"):
        losses.resolve("cross_entropi")
    assert losses.names()[:3] == ["cross_entropy", "mse", "bce"]


class _Callable:
    def __call__(self, outputs, targets):
        return outputs[:, 0]


def _smoothed(share, outputs, targets, *, floor):
    return share * outputs[:, 0] + floor


def test_callables_are_known_by_module_and_qualified_name():
    def local(outputs, targets):
        return outputs[:, 0]

    here = __name__
    for loss, name in (
        (torch.nn.functional.l1_loss, "torch.nn.functional:l1_loss"),
        (local, f"{here}:test_callables_are_known_by_module_and_qualified_name.<locals>.local"),
        (_Callable(), f"{here}:_Callable"),
        (functools.partial(_smoothed, 0.1, floor=0), f"{here}:_smoothed(0.1, floor=0)"),
    ):
        assert losses.resolve(loss) == (name, loss)
    assert losses.resolve("mse") == ("mse", losses.mse)


def test_other_distributions_add_losses_by_entry_point(monkeypatch):
    def hinge(outputs, targets):
        return outputs[:, 0]

    asked = []

    def entry_points(*, group):
        asked.append(group)
        return [types.SimpleNamespace(name=name, load=lambda: hinge) for name in ("hinge", "mse")]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    fresh = Registry("loss", group="landscape.losses")
    fresh.add("mse", losses.mse)
    monkeypatch.setattr(losses, "_LOSSES", fresh)
    assert losses.resolve("hinge") == ("hinge", hinge)
    assert losses.resolve("mse") == ("mse", losses.mse)  # what ships is not replaced
    assert losses.names() == ["mse", "hinge"]
    assert asked == ["landscape.losses"]
