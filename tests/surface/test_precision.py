"""What bfloat16 costs is measured and stored: nine cells, against float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.space import random_pairs
from landscape.surface import measure_surfaces
from landscape.surface.evaluators import Planes
from landscape.surface.execution import Execution
from landscape.surface.precision import precision_error

GRID = ls.Grid([-0.6, -0.3, 0.0, 0.4, 0.7], [-0.5, -0.2, 0.0, 0.1, 0.3])
PLACES = [(i, j) for i in (0, 2, 4) for j in (0, 2, 4)]


@pytest.mark.parametrize("evaluator", ["auto", "sequential", "batched"])
@pytest.mark.parametrize(("name", "bn"), [("mlp", "frozen"), ("mlp_bn", "batch"), ("conv_bn", "frozen")])
def test_the_error_is_that_against_a_float32_run(objective, name, bn, evaluator):
    low = objective(name, bn=bn, dtype=torch.float32, precision="bf16")
    pairs = random_pairs(low.model, 2)
    surface = ls.measure_surface(low, pairs, GRID, evaluator=evaluator)
    found = surface.checks["precision_error"]
    exact = ls.measure_surface(low.in_precision("fp32"), pairs, GRID, evaluator="sequential")
    cells = [(k % 2, i, j) for k, (i, j) in enumerate(PLACES)]
    gap = np.array([surface.loss[c] / exact.loss[c] - 1 for c in cells])
    rtol = 2e-2 if evaluator == "batched" else 1e-9  # several at once may be rounded otherwise in a block of nine
    assert found["cells"] == 9
    assert found["not_finite"] == 0
    assert found["largest"] == pytest.approx(np.abs(gap).max(), rel=rtol)
    assert found["rms"] == pytest.approx(np.sqrt((gap**2).mean()), rel=rtol)
    assert 1e-6 < found["largest"] < 5e-3
    assert "precision_error" not in exact.checks
    assert low.precision == "bf16"


def test_a_double_network_has_no_lower_precision(objective):
    asked = objective("mlp", precision="bf16")
    surface = ls.measure_surface(asked, ls.random_pair(asked.model), GRID)
    assert "precision_error" not in surface.checks
    assert surface.recipe["precision"] == "fp64"


def test_cells_that_are_not_finite_are_counted_apart():
    """log of a weight: NaN below zero in both; at 1 + 2**-9 bfloat16 rounds to 1, where 1 / log is infinite."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    pair = ls.DirectionPair({"weight": torch.ones(1, 1)}, {"weight": torch.zeros(1, 1)})
    grid = ls.Grid([-2.0, 0.001, 1.0], [0.0])
    x, y = torch.ones(2, 1), torch.zeros(2)
    objective = ls.Objective(net, x, y, loss=lambda o, t: 1 / o[:, 0].float().log(), precision="bf16", device="cpu")
    found = ls.measure_surface(objective, pair, grid).checks["precision_error"]
    assert found["cells"] == 1
    assert found["not_finite"] == 1
    assert found["largest"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("alpha", "beta", "pairs", "cells"),
    [(11, 1, 1, 9), (1, 30, 2, 9), (2, 41, 1, 9), (5, 1, 2, 9), (2, 2, 1, 4), (1, 1, 3, 3)],
)
def test_lines_and_narrow_grids_give_nine_cells_where_they_have_them(objective, alpha, beta, pairs, cells):
    low = objective("mlp", dtype=torch.float32, precision="bf16")
    axes = [np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1) for n in (alpha, beta)]
    surface = ls.measure_surface(low, random_pairs(low.model, pairs), ls.Grid(*axes))
    assert surface.checks["precision_error"]["cells"] >= cells
    assert cells in {9, surface.loss.size}


@pytest.mark.parametrize(("limit", "finite"), [(0.3, True), (0.12, True), (-1.0, False)])
def test_where_most_losses_are_not_finite_further_cells_are_compared(objective, limit, finite):
    """Finite within a distance of the center; nowhere at all, the first nine cells are the last."""

    def loss(outputs, targets):
        found = outputs.float().square().sum(dim=1)
        near = (low.model[0].weight - center).norm() <= limit * center.norm()
        return torch.where(near, found, torch.nan)

    low = objective("mlp", dtype=torch.float32, precision="bf16", loss=loss)
    center = low.model[0].weight.detach().clone()
    pairs, grid, passes = random_pairs(low.model, 2), ls.Grid.square(1.0, 41), []
    low.model.register_forward_pre_hook(lambda *_: passes.append(1))
    found = precision_error(low, Planes(pairs, grid), Execution("sequential", 512, 1))
    if finite:
        assert found["cells"] >= 9
        assert 0 < found["largest"] < 5e-2
        assert len(passes) < 400
    else:
        assert found["cells"] == found["not_finite"] == found["largest"] == 0
        assert len(passes) < 30


def test_every_mode_of_several_has_its_own(objective, build):
    net = build("mlp_bn", dtype=torch.float32)
    modes = [objective("mlp_bn", net=net, bn=bn, dtype=torch.float32, precision="bf16") for bn in ("frozen", "batch")]
    surfaces = measure_surfaces(modes, random_pairs(net, 2), GRID)
    errors = [s.checks["precision_error"] for s in surfaces]
    assert [e["cells"] for e in errors] == [9, 9]
    assert errors[0]["largest"] != errors[1]["largest"]
