"""What filter normalization cancels, and what it does not (SCIENCE: layer rescaling, BatchNorm's scale)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import landscape as ls

GRID = ls.Grid(np.linspace(-1, 1, 5), [-0.5, 0.0, 0.5])


def measured(net, data, **options):
    draw = {k: options.pop(k) for k in ("normalize", "orthogonal") if k in options}
    objective = ls.Objective(net, *data, device="cpu", **options)
    return ls.measure_surface(objective, ls.random_pair(net, seed=3, **draw), GRID).loss


@pytest.fixture
def rescaled(build):
    """The plain network with W1 -> c W1, b1 -> c b1, W2 -> W2 / c; c a number or one per neuron."""

    def make(c):
        net = build("mlp")
        with torch.no_grad():
            net[0].weight.mul_(c[:, None] if isinstance(c, torch.Tensor) else c)
            net[0].bias.mul_(c)
            net[2].weight.div_(c)
        return net

    return make


@pytest.mark.parametrize("normalize", ["filter", "layer"])
def test_layer_rescaling_leaves_the_surface(build, rescaled, data, normalize):
    """Li et al.'s point. c = 10 is no power of two: 1e-12 for the roundings that it brings."""
    plain = measured(build("mlp"), data(), normalize=normalize)
    np.testing.assert_allclose(measured(rescaled(10), data(), normalize=normalize), plain, rtol=1e-12)


def test_raw_directions_do_not_have_that_invariance(build, rescaled, data):
    plain = measured(build("mlp"), data(), normalize="none")
    other = measured(rescaled(10), data(), normalize="none")
    assert other[0, 2, 1] == pytest.approx(plain[0, 2, 1], rel=1e-12)  # the same function at the center
    assert np.abs(other / plain - 1).max() > 1e-2


def test_rescaling_per_neuron_keeps_the_function_but_not_the_surface(build, rescaled, data):
    """A known limit of filter normalization: rows of W2 get their columns rescaled."""
    plain = measured(build("mlp"), data())
    other = measured(rescaled(torch.logspace(-1, 1, 8, dtype=torch.float64)), data())
    assert other[0, 2, 1] == pytest.approx(plain[0, 2, 1], rel=1e-12)
    assert np.abs(other / plain - 1).max() > 1e-2


@pytest.mark.parametrize("name", ["mlp_bn", "conv_bn"])
def test_scale_of_a_filter_below_batchnorm_does_not_matter_in_batch_mode(build, data, name):
    """Exact for eps -> 0; eps is 1e-200 here, so what is left are roundings. Frozen keeps it only with its buffers."""
    c = torch.tensor([0.2, 3.0, 1.0, 7.0, 0.5, 2.0, 11.0, 0.1], dtype=torch.float64)

    def network(*, filters, buffers):
        net = build(name)
        layer = net[0]
        factor = c[: len(layer.weight)]
        net[1].eps = 1e-200
        with torch.no_grad():
            if filters:
                layer.weight.mul_(factor.reshape(-1, *(1,) * (layer.weight.ndim - 1)))
                layer.bias.mul_(factor)
            if buffers:
                net[1].running_mean.mul_(factor)
                net[1].running_var.mul_(factor**2)
        return net

    for bn in ("batch", "recalibrated"):
        plain = measured(network(filters=False, buffers=False), data(name), bn=bn)
        scaled = measured(network(filters=True, buffers=False), data(name), bn=bn)
        np.testing.assert_allclose(scaled, plain, rtol=1e-11)
    frozen = measured(network(filters=False, buffers=False), data(name))
    assert np.abs(measured(network(filters=True, buffers=False), data(name)) / frozen - 1).max() > 1e-2
    np.testing.assert_allclose(measured(network(filters=True, buffers=True), data(name)), frozen, rtol=1e-11)


def test_the_order_of_examples_does_not_matter_where_batches_do_not(build, data):
    x, y = data()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    plain = measured(build("mlp_bn"), (x, y), batch_size=8)
    np.testing.assert_allclose(measured(build("mlp_bn"), (x[order], y[order]), batch_size=8), plain, rtol=1e-12)
    in_batches = measured(build("mlp_bn"), (x, y), bn="batch", batch_size=8)
    shuffled = measured(build("mlp_bn"), (x[order], y[order]), bn="batch", batch_size=8)
    assert np.abs(shuffled / in_batches - 1).max() > 1e-4  # their composition is part of the value
