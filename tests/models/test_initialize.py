"""Initial weights: equal for a network and its variants, distributed as stated, drawn from nobody else's numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from landscape import models
from landscape.errors import UsageError

INITS = ("he", "xavier", "default")


def weights(model):
    return [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def biases(model):
    return [m.bias for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear) and m.bias is not None]


def equal(a, b):
    return len(a) == len(b) > 0 and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


TWINS = [
    ("vgg_light", {}, "vgg_light_bn", {}),
    ("vgg_light", {}, "vgg_light_bn", {"bn_placement": "conv+fc"}),
    ("vgg_light", {"conv_bias": False}, "vgg_light_bn", {"conv_bias": False}),
    ("vgg", {}, "vgg_bn", {}),
    ("vgg", {}, "vgg_dropout", {}),
    ("vgg", {}, "vgg_dropout_bn", {"bn_placement": "conv+fc"}),
]


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize(("one", "options", "other", "others"), TWINS)
def test_twins_start_equal(init, one, options, other, others):
    a = models.build(one, init=init, seed=5, **options)
    b = models.build(other, init=init, seed=5, **others)
    assert equal(weights(a), weights(b))
    assert equal(biases(a), biases(b))


@pytest.mark.parametrize("init", INITS)
def test_a_network_without_convolution_biases_has_the_same_weights(init):
    a = models.build("vgg_light_bn", init=init)
    b = models.build("vgg_light_bn", init=init, conv_bias=False)
    assert equal(weights(a), weights(b))  # torch's own draws the weight first, then the bias


@pytest.mark.parametrize("init", INITS)
def test_seeds_and_layers_differ_and_a_seed_repeats(init):
    first, again, other = (models.build("vgg_light", init=init, seed=seed) for seed in (0, 0, 1))
    assert equal(weights(first), weights(again))
    for a, b in zip(weights(first), weights(other), strict=True):
        assert not torch.isclose(a, b, atol=1e-7).float().mean() > 0.01
    pair = models.build("vgg", init=init)
    a, b = pair.features[13].weight.detach(), pair.features[16].weight.detach()  # two convolutions of one shape
    assert a.shape == b.shape
    assert abs(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])) < 0.01


@pytest.mark.parametrize("init", INITS)
def test_the_callers_random_numbers_are_left_alone(init):
    state = torch.get_rng_state()
    model = models.build("vgg_light_bn", init=init)
    models.initialize(model, how=init, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(1)
    a = models.build("vgg_light", init=init)
    torch.manual_seed(2)
    assert equal(weights(a), weights(models.build("vgg_light", init=init)))


def expected_std(init, layer):
    fan_out = layer.weight[0][0].numel() * layer.weight.shape[0]
    fan_in = layer.weight[0].numel()
    if init == "he" and isinstance(layer, nn.Conv2d):
        return math.sqrt(2 / fan_out)
    return math.sqrt(2 / (fan_in + fan_out))


@pytest.mark.parametrize("init", ["he", "xavier"])
@pytest.mark.parametrize("name", ["vgg_bn", "vgg_light"])
def test_weights_are_normal_with_the_stated_deviation(init, name):
    """Five standard errors: sd of a sample deviation is sd/sqrt(2n), that of the mean sd/sqrt(n)."""
    model = models.build(name, init=init, seed=1)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            sd, n = expected_std(init, layer), layer.weight.numel()
            w = layer.weight.detach().double() / sd
            assert abs(float(w.std()) - 1) < 5 / math.sqrt(2 * n)
            assert abs(float(w.mean())) < 5 / math.sqrt(n)
            assert abs(float((w**4).mean()) - 3) < 5 * math.sqrt(96 / n)  # a normal's fourth moment, not a uniform's
            assert not layer.bias.any()
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all()
            assert not layer.bias.any()


def test_default_is_torchs_own():
    """Uniform within 1/sqrt(fan in), biases too."""
    model = models.build("vgg_light", init="default")
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for tensor in (layer.weight, layer.bias):
                assert float(tensor.detach().abs().max()) <= bound
            assert float(layer.weight.detach().abs().max()) > 0.99 * bound
            n = layer.weight.numel()
            assert abs(float((layer.weight.detach().double() ** 2).mean()) * 3 / bound**2 - 1) < 5 / math.sqrt(n)
            assert layer.bias.any()


def test_an_unknown_initialisation_is_refused():
    with pytest.raises(UsageError, match="no initialisation 'kaiming'; known: he, xavier, default"):
        models.initialize(nn.Linear(2, 2), how="kaiming")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_callers_random_numbers_on_the_device_are_left_alone():
    torch.cuda.manual_seed(0)
    state = torch.cuda.get_rng_state()
    models.build("vgg_light", init="default")
    assert torch.equal(state, torch.cuda.get_rng_state())
