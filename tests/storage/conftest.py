"""Records to write, networks to save, and tables of networks that are put back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape import models
from landscape.models import base
from landscape.records import Grid, Measurement, Run, Surface, VariantBands

NAN, INF = np.nan, np.inf
RECIPE = {"bn": "frozen", "limit": None, "list": [1, 2.5, "ü"], "nested": {"a": True}, "long": "x" * 100_000}


def odd_numbers(*shape):
    """Numbers with every special value, in an order of their own."""
    rng = np.random.default_rng(sum(shape))
    values = rng.standard_normal(shape)
    flat = values.reshape(-1)
    special = [NAN, INF, -INF, -0.0, 5e-324, 1.7e308]
    flat[rng.permutation(flat.size)[: len(special)]] = special[: flat.size]
    return values


@pytest.fixture
def surface():
    shape = (2, 3, 5)  # axes of three lengths
    done = odd_numbers(*shape) > 0
    return Surface(
        grid=Grid((-1.0, 0.0, 1 / 3), (-2.0, -1.0, 0.0, 0.1, 3.0)),
        loss=odd_numbers(*shape),
        loss_sem=odd_numbers(*shape) / 3,
        delta_sem=odd_numbers(*shape) / 7,
        accuracy=odd_numbers(*shape) / 9,
        done=done,
        measured=~done,
        center=Measurement(loss=0.5, loss_sem=NAN, accuracy=INF, examples=128),
        error_estimate=0.1,
        recipe=RECIPE,
        execution={"batch": 64},
        checks={"cosine": 1e-17, "nan": INF},
        provenance={"command": "landscape surface --ckpt 'a b.pth'"},
    )


@pytest.fixture
def run():
    numbers = odd_numbers(7)
    return Run(np.arange(7), numbers, [1, 2], [2.0, NAN], [0.1, 0.2], collapsed=True, diverged=False, recipe=RECIPE)


@pytest.fixture
def unfinished_run():
    """Steps and no epoch."""
    return Run(np.arange(0), np.zeros(0), np.arange(0), np.zeros(0), np.zeros(0), diverged=True)


@pytest.fixture
def long_run():
    """Long enough to be compressed."""
    steps = 20_011
    return Run(np.arange(steps), odd_numbers(steps), [1], [0.5], [0.5])


@pytest.fixture
def bands():
    flags = odd_numbers(2, 1, 3)
    return VariantBands(
        variant=np.array(["vgg", "vgg_bn_überlang"]),
        seed=[7],
        learning_rate=[1e-4, 1e-3, 3e-3],
        step=np.arange(4),
        epoch=[1, 2],
        loss=odd_numbers(2, 1, 3, 4),
        val_loss=odd_numbers(2, 1, 3, 2),
        val_accuracy=odd_numbers(2, 1, 3, 2) / 2,
        collapsed=flags > 0,
        diverged=flags < 0,
        recipe={"epochs": 2},
        environment={"torch": "2"},
    )


@pytest.fixture(
    params=[
        "surface",
        "run",
        "unfinished_run",
        "long_run",
        "bands",
        "line_search",
        "smoothness",
        "smoothness_without_layers",
        "empty_smoothness",
    ]
)
def record(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def register(monkeypatch):
    """Add networks to the table; afterwards it is as it was."""
    models.names()  # entry points first
    monkeypatch.setattr(base._FAMILIES, "_items", dict(base._FAMILIES._items))
    return models.register


@pytest.fixture
def lively():
    """Give a network weights and running statistics that are nowhere trivial."""

    def shake(model, seed=0):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if tensor.is_floating_point():
                    tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))
                else:
                    tensor.add_(17)
        return model.eval()

    return shake


@pytest.fixture
def assert_same_function():
    """Two networks give equal outputs, bit for bit, on random images."""

    def check(a: nn.Module, b: nn.Module, channels=3):
        images = torch.randn(3, channels, 32, 32, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            assert torch.equal(a.eval()(images), b.eval()(images))

    return check
