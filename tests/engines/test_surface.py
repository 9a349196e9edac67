"""A surface measured by worker processes is, bit for bit, the one measured here."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import landscape as ls


def test_a_surface_is_the_same_in_workers_to_the_last_bit():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(8)
        net = nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(64, 5))
        inputs, targets = torch.randn(30, 3, 8, 8), torch.randint(0, 5, (30,))
    found = []
    for engine in ("serial", "processes:2"):
        objective = ls.Objective(net, inputs, targets, bn="recalibrated", device="cpu")
        grid = ls.Grid([-1.0, 0.0, 0.5], [-0.5, 0.0])
        found.append(ls.measure_surface(objective, ls.random_pairs(net, 2), grid, engine=engine))
    here, there = found
    assert there.done.all()
    for name in ("loss", "loss_sem", "delta_sem", "accuracy"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
