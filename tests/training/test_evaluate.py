"""Loss and accuracy against float64, without a trace in the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from landscape import datasets, models
from landscape.training import evaluate


@pytest.fixture
def images():
    return datasets.load("fashion_mnist_mini", split="test", limit=90)


@pytest.fixture
def network(images):
    """A network with running statistics of its own, left in training mode."""
    model = models.build("vgg_light_bn", seed=2)
    model(images.inputs[:32])
    return model.train()


def test_it_equals_a_float64_evaluation(images, network):
    found = evaluate(network, images, batch_size=40)
    oracle = models.build("vgg_light_bn").double()
    oracle.load_state_dict(network.state_dict())
    with torch.no_grad():
        outputs = oracle.eval()(images.inputs.double())
    losses = F.cross_entropy(outputs, images.targets, reduction="none").numpy()
    np.testing.assert_allclose(found.loss, losses.mean(), rtol=1e-5)
    np.testing.assert_allclose(found.loss_sem, losses.std(ddof=1) / 90**0.5, rtol=1e-4)
    assert found.accuracy == pytest.approx(float((outputs.argmax(1) == images.targets).double().mean()), abs=1e-12)
    assert found.examples == 90


def test_the_network_is_left_as_it_was(images, network):
    before = {name: t.clone() for name, t in network.state_dict().items()}
    state = torch.get_rng_state()
    for training in (True, False):
        network.train(training)
        evaluate(network, images)
        assert all(m.training is training for m in network.modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_dropout_is_off_and_the_batch_does_not_matter(images):
    model = models.build("vgg_dropout").train()
    values = [evaluate(model, images, batch_size=size) for size in (7, 90, 500)]
    np.testing.assert_allclose([v.loss for v in values], values[0].loss, rtol=1e-6)
    assert len({v.accuracy for v in values}) == 1


def test_bfloat16_is_near(images, network):
    full, half = (evaluate(network, images, precision=p).loss for p in ("fp32", "bf16"))
    assert half != full
    assert half == pytest.approx(full, rel=0.05)


def test_another_loss(images, network):
    found = evaluate(network, images, loss="mse")
    with torch.no_grad():
        outputs = network.eval()(images.inputs).double()
    expected = ((outputs - F.one_hot(images.targets, 10)) ** 2).mean()
    assert found.loss == pytest.approx(float(expected), rel=1e-5)
