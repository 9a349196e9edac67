"""The three BatchNorm modes against each other and against plain torch; dropout is off in all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import landscape as ls
from landscape.errors import LayoutError, ObjectiveError, UsageError

MODES = ("frozen", "batch", "recalibrated")
GRID = ls.Grid([-1.0, 0.0, 0.6], [-0.4, 0.0])


def losses(objective, params=None):
    with objective.session() as session:
        session.load(params or {})
        return session.examples().losses.clone()


@pytest.mark.parametrize("name", ["mlp", "mlp_dropout", "conv", "tied"])
def test_without_batchnorm_the_modes_agree_bit_for_bit(objective, same_surface, name):
    surfaces = []
    for bn in MODES:
        asked = objective(name, bn=bn, batch_size=9)
        surfaces.append(ls.measure_surface(asked, ls.random_pair(asked.model), GRID))
    for other in surfaces[1:]:
        np.testing.assert_array_equal(other.loss, surfaces[0].loss)
        np.testing.assert_array_equal(other.delta_sem, surfaces[0].delta_sem)


@pytest.mark.parametrize(("name", "n"), [("mlp_bn", 3), ("mlp_bn", 23), ("conv_bn", 5)])
def test_recalibrated_on_one_full_batch_is_the_batch_mode(objective, name, n):
    """Population variance: with m / (m - 1) left in, three examples would be off by tens of percent."""
    surfaces = []
    for bn in MODES:
        asked = objective(name, bn=bn, n=n)
        surfaces.append(ls.measure_surface(asked, ls.random_pair(asked.model), GRID).loss)
    frozen, batch, recalibrated = surfaces
    np.testing.assert_allclose(recalibrated, batch, rtol=1e-10)
    assert np.abs(frozen / batch - 1).max() > 1e-2


@pytest.mark.parametrize("name", ["mlp_bn", "conv_bn"])
def test_recalibrated_does_not_depend_on_the_batch_size(objective, name):
    whole, *others = (objective(name, bn="recalibrated", batch_size=b) for b in (23, 8, 3, 1))
    pair = ls.random_pair(whole.model)
    wanted = ls.measure_surface(whole, pair, GRID)
    for other in others:
        found = ls.measure_surface(other, pair, GRID)
        np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-10)
        np.testing.assert_allclose(found.loss_sem, wanted.loss_sem, rtol=1e-9)


def test_batch_mode_uses_each_batch_and_nothing_else(build, data):
    """Against train mode of a fresh copy on the same near-equal batches: 23 = 7 + 8 + 8."""
    x, y = data()
    objective = ls.Objective(build("mlp_bn"), x, y, bn="batch", batch_size=8, device="cpu")
    net = build("mlp_bn").train()
    with torch.no_grad():
        wanted = torch.cat(
            [
                cross_entropy(net(a), b, reduction="none")
                for a, b in zip(x.split([7, 8, 8]), y.split([7, 8, 8]), strict=True)
            ]
        )
    torch.testing.assert_close(losses(objective), wanted, rtol=1e-13, atol=0)


def test_frozen_is_eval_mode(build, data):
    x, y = data("conv_bn")
    net = build("conv_bn").eval()
    with torch.no_grad():
        wanted = cross_entropy(net(x), y, reduction="none")
    objective = ls.Objective(build("conv_bn").train(), x, y, device="cpu", batch_size=7)
    torch.testing.assert_close(losses(objective), wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("batch_size", [512, 10])
def test_calibration_may_be_another_set(build, data, batch_size):
    """Its statistics by hand for one BatchNorm layer, then eval mode on the evaluation inputs."""
    (x, y), (c, _) = data(), data(n=31, seed=9)
    objective = ls.Objective(
        build("mlp_bn"), x, y, bn="recalibrated", calibration=2 * c, batch_size=batch_size, device="cpu"
    )
    net = build("mlp_bn").eval()
    with torch.no_grad():
        z = net[0](2 * c)
        net[1].running_mean.copy_(z.mean(dim=0))
        net[1].running_var.copy_(z.var(dim=0, correction=0))
        wanted = cross_entropy(net(x), y, reduction="none")
    torch.testing.assert_close(losses(objective), wanted, rtol=1e-12, atol=0)
    own = ls.Objective(build("mlp_bn"), x, y, bn="recalibrated", batch_size=batch_size, device="cpu")
    assert (losses(own) - wanted).abs().max() > 1e-2
    assert objective.recipe["calibration"] != own.recipe["calibration"] == "evaluation inputs"


def test_calibration_is_refused_where_it_means_nothing(build, data):
    x, y = data()
    for bn in ("frozen", "batch"):
        with pytest.raises(ObjectiveError, match=f"calibration.*'{bn}'"):
            ls.Objective(build("mlp_bn"), x, y, bn=bn, calibration=x, device="cpu")
    with pytest.raises(LayoutError, match="calibration"):
        ls.Objective(build("mlp_bn"), x, y, bn="recalibrated", calibration=x[:0], device="cpu")
    with pytest.raises(UsageError, match=r"'eval'.*frozen, batch, recalibrated"):
        ls.Objective(build("mlp_bn"), x, y, bn="eval", device="cpu")


@pytest.mark.parametrize("batch_size", [512, 8])
def test_a_cell_that_diverges_does_not_poison_the_next(build, data, batch_size):
    """0 * NaN is NaN: statistics of a diverged cell must not reach the following one through a momentum of one."""
    x, y = data()
    net = build("mlp_bn")
    objective = ls.Objective(net, x, y, bn="recalibrated", batch_size=batch_size, device="cpu")
    first = {
        n: torch.full_like(p, 1e308) if n == "0.weight" else torch.zeros_like(p) for n, p in objective.center.items()
    }
    zero = {n: torch.zeros_like(d) for n, d in first.items()}
    grid = ls.Grid([-5.0, 0.0, 5.0], [-1.0, 0.0, 1.0])  # 5e308 overflows to infinity, its mean to NaN
    surface = ls.measure_surface(objective, ls.DirectionPair(first, zero), grid)
    assert np.isnan(surface.loss[0, [0, 2]]).all()
    assert (surface.loss[0, 1] == surface.center.loss).all()
    assert np.isfinite(surface.center.loss)
    assert surface.done.all()


@pytest.mark.parametrize("bn", MODES)
def test_dropout_is_off_in_every_mode(objective, build, data, bn):
    asked = objective("mlp_dropout_bn", bn=bn)
    asked.model.train()
    a, b = losses(asked), losses(asked)
    assert torch.equal(a, b)
    twin = objective("mlp_bn", bn=bn)
    twin.model.load_state_dict({k.replace("4.", "3."): v for k, v in asked.model.state_dict().items()})
    assert torch.equal(a, losses(twin))  # the dropout network is its twin
    if bn == "frozen":
        x, y = data()
        with torch.no_grad():
            torch.testing.assert_close(a, cross_entropy(asked.model.eval()(x), y, reduction="none"), rtol=1e-13, atol=0)


def test_running_statistics_are_missing(data):
    x, y = data()
    net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 3)).double()
    for bn in ("frozen", "recalibrated"):
        objective = ls.Objective(net, x, y, bn=bn, device="cpu")
        with pytest.raises(ObjectiveError, match="'1' keeps no running statistics"):
            objective(objective.center)
    objective = ls.Objective(net, x, y, bn="batch", device="cpu")
    assert np.isfinite(objective(objective.center).loss)
