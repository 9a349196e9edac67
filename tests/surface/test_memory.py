"""How many copies of the parameters a measurement holds."""

from __future__ import annotations

import gc

import torch
from torch import nn

from landscape.records import Grid
from landscape.space import random_pair
from landscape.surface import Objective
from landscape.surface.evaluators import SequentialTask


def test_the_sequential_evaluator_holds_four_copies_beside_the_network():
    """Live parameters, row, first and second direction; the center is the caller's own storage."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 4))
    pair = random_pair(model)
    x, y = torch.randn(5, 300), torch.arange(5) % 4
    task = SequentialTask(Objective(model, x, y), [pair], Grid.square(1.0, 3))
    numbers = 300 * 200

    def large():
        gc.collect()
        found = [t for t in gc.get_objects() if isinstance(t, torch.Tensor) and t.numel() >= numbers]
        return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in found}

    before = large()
    with task.open() as measure:
        measure(((0, 0, 0), (0, 2, 1)))
        extra = {k: n for k, n in large().items() if k not in before}
        assert sum(extra.values()) <= 4.1 * 4 * sum(p.numel() for p in model.parameters())
        assert len(extra) == 4
