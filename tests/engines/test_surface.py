"""A surface measured by worker processes is, bit for bit, the one measured here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls

GRIDS = {"dense": ls.Grid([-1.0, 0.0, 0.5], [-0.5, 0.0]), "adaptive": ls.Grid.square(0.5, 21)}


@pytest.mark.parametrize("sampling", GRIDS)
def test_a_surface_is_the_same_in_workers_to_the_last_bit(sampling):
    """Adaptive cells too, whose rounds wait for results that come in any order."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(8)
        net = nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(64, 5))
        inputs, targets = torch.randn(30, 3, 8, 8), torch.randint(0, 5, (30,))
    found = []
    for engine in ("serial", "processes:2"):
        objective = ls.Objective(net, inputs, targets, bn="recalibrated", device="cpu")
        pairs = ls.random_pairs(net, 2)
        found.append(ls.measure_surface(objective, pairs, GRIDS[sampling], engine=engine, sampling=sampling))
    here, there = found
    assert there.done.all()
    assert there.measured.all() == (sampling == "dense")
    np.testing.assert_array_equal(there.measured, here.measured)
    assert there.error_estimate == here.error_estimate
    for name in ("loss", "loss_sem", "delta_sem", "accuracy"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
