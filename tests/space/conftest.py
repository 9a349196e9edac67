"""Tiny networks whose parameters hold every shape that a normalization has to get right."""

from __future__ import annotations

import pytest
import torch
from torch import nn


def _odd(dtype):
    """Convolution, depthwise, grouped, BatchNorm, Linear(in, 1); one filter is zero."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),  # depthwise: (4, 1, 3, 3)
        nn.Conv2d(4, 6, (1, 3), groups=2),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.Linear(5, 1),
    ).to(dtype)
    with torch.no_grad():
        net[0].weight[2] = 0
    return net


def _single(dtype):
    """A depthwise 1x1 convolution and Linear(1, 3) have filters of one element: 4 + 3 of them."""
    return nn.Sequential(nn.Linear(1, 3), nn.Linear(3, 4), nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 4, 1, groups=4)).to(
        dtype
    )


class _Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(4, 4), nn.Linear(4, 4)
        self.decode.weight = self.encode.weight

    def forward(self, x):
        return self.decode(torch.tanh(self.encode(x)))


_NETWORKS = {"odd": _odd, "single": _single, "tied": lambda dtype: _Tied().to(dtype)}


@pytest.fixture
def build():
    """Build a network by name, always with the same weights, without touching the caller's generator."""

    def make(name, *, dtype=torch.float64, seed=0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _NETWORKS[name](dtype)

    return make
