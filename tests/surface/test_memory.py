"""How many copies of the parameters a measurement holds."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn
from torch._C._functorch import is_batchedtensor

from landscape.records import Grid
from landscape.space import random_pair, random_pairs
from landscape.surface import Objective, evaluators
from landscape.surface.evaluators import Planes
from landscape.surface.session import Examples


@pytest.mark.parametrize("name", ["sequential", "folded"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_evaluator_holds_three_copies_beside_the_network(name, precision):
    """Live parameters, row and first direction; center and second direction are the caller's own storage."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(900, 800), nn.BatchNorm1d(800), nn.ReLU(), nn.Linear(800, 4))
    pair = random_pair(model)
    x, y = torch.randn(5, 900), torch.arange(5) % 4
    objective = Objective(model, x, y, precision=precision)
    numbers = 900 * 800

    def large():
        gc.collect()
        found = [t for t in gc.get_objects() if isinstance(t, torch.Tensor) and t.numel() >= numbers]
        return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in found}

    before = large()
    with evaluators.get(name).open(objective, Planes([pair], Grid.square(1.0, 3)), 1) as measure:
        measure(((0, 0, 0), (0, 2, 1)))
        extra = {k: n for k, n in large().items() if k not in before}
        assert len(extra) == 3
        assert sum(extra.values()) <= 3.01 * 4 * sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["sequential", "folded", "batched", "graphed"])
def test_memory_does_not_grow_with_the_cells(monkeypatch, name):
    """What is alive in the last pass of four cells, and of sixty in two planes; four are measured at once."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(90, 80), nn.BatchNorm1d(80), nn.ReLU(), nn.Linear(80, 4))
    pairs = random_pairs(model, 2)
    objective = Objective(model, torch.randn(5, 90), torch.arange(5) % 4)
    few = tuple((0, i, 0) for i in range(4))
    many = (*few, *((k, i, j) for k in (0, 1) for j in range(5) for i in range(6)))

    def alive():
        gc.collect()
        found = [t for t in gc.get_objects() if type(t) in {torch.Tensor, nn.Parameter} and t.numel() >= 80 * 90]
        return sum({t.untyped_storage().data_ptr(): t.numel() for t in found if not is_batchedtensor(t)}.values())

    def during(cells):
        statistics, calls, seen = Examples.statistics, [], []

        def noted(self, center=None):
            calls.append(1)
            if len(calls) == last:
                seen.append(alive())
            return statistics(self, center)

        last = None
        monkeypatch.setattr(Examples, "statistics", noted)
        measure(cells)  # counts the passes
        last, calls = len(calls), []
        measure(cells)  # looks in the last one
        monkeypatch.undo()
        return seen[0]

    with evaluators.get(name).open(objective, Planes(pairs, Grid.square(1.0, 6)), 4) as measure:
        measure(few)
        assert during(many) <= during(few)


def test_the_same_places_are_written_for_every_cell():
    """Not a tensor is made for a cell: parameters stay views of one storage."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 4))
    pairs, seen = random_pairs(model, 2), set()
    objective = Objective(model, torch.randn(5, 6), torch.arange(5) % 4)
    with evaluators.get("folded").open(objective, Planes(pairs, Grid.square(1.0, 3)), 1) as measure:
        model.register_forward_pre_hook(lambda *_: seen.add(tuple(p.data_ptr() for p in model.parameters())))
        measure(tuple((k, i, j) for k in (0, 1) for j in range(3) for i in range(3)))
    assert len(seen) == 1
