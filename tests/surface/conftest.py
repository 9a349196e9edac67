"""Tiny seeded networks and data for surfaces; float64 unless a test asks for less."""

from __future__ import annotations

import random
import types
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.space import batchnorm_layers
from landscape.surface import campaign
from landscape.surface.evaluators.graphed import Graphed


class _Tied(nn.Module):
    """One matrix used twice."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.decode.weight = self.encode.weight

    def forward(self, x):
        return self.head(torch.tanh(self.decode(torch.tanh(self.encode(x)))))


def _conv(*, bn):
    """Convolution, depthwise, grouped, 1x1; images of 5 x 7."""
    norm = (lambda c: [nn.BatchNorm2d(c)]) if bn else (lambda c: [])
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), *norm(4), nn.ReLU()),
        *(nn.Conv2d(4, 4, 3, groups=4), *norm(4), nn.ReLU()),
        *(nn.Conv2d(4, 6, (1, 2), groups=2), nn.ReLU(), nn.Conv2d(6, 3, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)),
    )


def _mlp(*, bn=False, dropout=False):
    norm = [nn.BatchNorm1d(8)] if bn else []
    return nn.Sequential(nn.Linear(6, 8), *norm, nn.ReLU(), *([nn.Dropout(0.5)] if dropout else []), nn.Linear(8, 3))


_NETWORKS = {
    "mlp": _mlp,
    "mlp_bn": lambda: _mlp(bn=True),
    "mlp_dropout": lambda: _mlp(dropout=True),
    "mlp_dropout_bn": lambda: _mlp(bn=True, dropout=True),
    "conv": lambda: _conv(bn=False),
    "conv_bn": lambda: _conv(bn=True),
    "tied": _Tied,
}


@pytest.fixture
def build():
    """Build a network by name, always with the same weights and with running statistics that are not trivial."""

    def make(name, *, seed=0, dtype=torch.float64):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = _NETWORKS[name]()
            for layer in batchnorm_layers(net).values():
                nn.init.normal_(layer.running_mean, 0, 0.3)
                nn.init.uniform_(layer.running_var, 0.5, 2)
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, 0, 0.2)
        return net.to(dtype)

    return make


@pytest.fixture
def data():
    """Return inputs that fit a network of `build` and targets of three classes."""

    def make(name="mlp", *, n=23, seed=1, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)
        shape = (n, 2, 5, 7) if name.startswith("conv") else (n, 6)
        x = torch.randn(shape, generator=generator, dtype=torch.float64) + 0.3
        return x.to(dtype), torch.randint(0, 3, (n,), generator=generator)

    return make


@pytest.fixture
def objective(build, data):
    """Make an objective on the CPU; the network is `objective.model`."""

    def make(name="mlp", *, net=None, n=23, dtype=torch.float64, **options):
        x, y = data(name, n=n, dtype=dtype)
        return ls.Objective(build(name, dtype=dtype) if net is None else net, x, y, device="cpu", **options)

    return make


@pytest.fixture
def measured_parts(monkeypatch):
    """List the blocks that a surface is made of, as (which objective, cells); checks and choices do not count."""
    parts = []

    class Counting(campaign.SurfaceTask):
        @contextmanager
        def open(self):
            with super().open() as work:

                def counting(part):
                    parts.append(part)
                    return work(part)

                yield counting

    monkeypatch.setattr(campaign, "SurfaceTask", Counting)
    return parts


@pytest.fixture
def graphed_here(monkeypatch):
    """Let `graphed` run on the CPU: the same steps, one by one instead of recorded."""
    monkeypatch.setattr(Graphed, "refusal", lambda self, objective, planes: "" if planes.moving else "nothing moves")


@pytest.fixture
def point():
    """Compute `center + beta * second + alpha * first`, which a cell means, in the order that rounds alike."""

    def make(center, pair, alpha, beta):
        return {n: torch.add(w + beta * pair.second[n], pair.first[n], alpha=alpha) for n, w in center.items()}

    return make


@pytest.fixture
def bits():
    """View float arrays as integers, so that equal means bit for bit and NaN equals itself."""

    def make(surface):
        return types.SimpleNamespace(
            **{k: getattr(surface, k).view(np.int64) for k in ("loss", "loss_sem", "delta_sem", "accuracy")}
        )

    return make


@pytest.fixture
def same_surface(bits):
    """Assert that two surfaces hold the same bits."""

    def check(a, b):
        for key, values in vars(bits(a)).items():
            np.testing.assert_array_equal(values, getattr(bits(b), key), err_msg=key)
        np.testing.assert_array_equal(a.done, b.done)
        np.testing.assert_array_equal(a.measured, b.measured)
        assert a.recipe == b.recipe
        assert a.center.loss == b.center.loss or np.isnan(a.center.loss)

    return check


@pytest.fixture
def everything():
    """Describe all of a network that must survive, and the generators; tensors as pointer, strides and bytes."""

    def seen(t):
        return None if t is None else (id(t), t.data_ptr(), t.stride(), t.dtype, t.detach().numpy().tobytes())

    def describe(net):
        return {
            "parameters": {n: (*seen(p), p.requires_grad, seen(p.grad)) for n, p in net.named_parameters()},
            "buffers": {n: seen(b) for n, b in net.named_buffers(remove_duplicate=False)},
            "flags": [(n, m.training) for n, m in net.named_modules()],
            "momenta": [layer.momentum for layer in batchnorm_layers(net).values()],
            "hooks": [(n, len(m._forward_pre_hooks), len(m._forward_hooks)) for n, m in net.named_modules()],
            "generators": (torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()),  # noqa: NPY002
            "threads": torch.get_num_threads(),
            "inference": torch.is_inference_mode_enabled(),
        }

    return describe
