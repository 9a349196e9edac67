"""The three BatchNorm modes against each other and against plain torch; dropout is off in all of them."""

from __future__ import annotations

import copy

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
        surfaces.append(ls.measure_surface(asked, ls.random_pair(asked.model), GRID, evaluator="sequential"))
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


class _Deep(nn.Module):
    """Twelve blocks; every other one adds its input."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)) for _ in range(12))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        for k, block in enumerate(self.blocks):
            x = torch.relu(block(x)) + (x if k % 2 else 0)
        return self.head(x)


def test_recalibrated_is_exact_in_a_deep_network_with_ordered_data(point):
    """Examples that drift, as in a data set sorted by class: pooling batches is wrong in the third digit, ours not."""
    torch.manual_seed(0)
    net = _Deep().double()
    for block in net.blocks:
        nn.init.uniform_(block[1].weight, 0.5, 1.5)
        nn.init.normal_(block[1].bias)
    drift = torch.linspace(0.2, 4, 60, dtype=torch.float64)[:, None]
    x, y = torch.randn(60, 6, dtype=torch.float64) * drift + 2 * drift, torch.arange(60) // 20

    @torch.no_grad()
    def textbook(params):
        h = x
        for k in range(12):
            own = {n: params[f"blocks.{k}.{n}"] for n in ("0.weight", "0.bias", "1.weight", "1.bias")}
            z = h @ own["0.weight"].T + own["0.bias"]
            normal = (z - z.mean(0)) / (((z - z.mean(0)) ** 2).mean(0) + 1e-5).sqrt()
            h = torch.relu(normal * own["1.weight"] + own["1.bias"]) + (h if k % 2 else 0)
        return float(cross_entropy(h @ params["head.weight"].T + params["head.bias"], y))

    pair = ls.random_pair(net)
    center = {n: p.detach() for n, p in net.named_parameters()}
    wanted = [[textbook(point(center, pair, float(a), float(b))) for b in GRID.beta] for a in GRID.alpha]
    for batch_size in (60, 59, 20, 7):  # in one pass, and layer by layer
        objective = ls.Objective(net, x, y, bn="recalibrated", batch_size=batch_size, device="cpu")
        assert objective.calibrates_itself == (batch_size == 60)
        found = ls.measure_surface(objective, pair, GRID).loss[0]
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
    given = ls.Objective(net, x, y, bn="recalibrated", calibration=x, device="cpu")
    assert not given.calibrates_itself
    np.testing.assert_allclose(ls.measure_surface(given, pair, GRID).loss[0], wanted, rtol=1e-10)
    single = ls.Objective(copy.deepcopy(net).float(), x, y, bn="recalibrated", device="cpu")
    np.testing.assert_allclose(ls.measure_surface(single, pair, GRID).loss[0], wanted, rtol=1e-4)
    pooled = copy.deepcopy(net).train()
    for block in pooled.blocks:
        block[1].reset_running_stats()
        block[1].momentum = None
    with torch.no_grad():
        for part in x.split(20):
            pooled(part)
        wrong = float(cross_entropy(pooled.eval()(x), y))
    assert abs(wrong / wanted[1][1] - 1) > 1e-3


def test_one_pass_is_enough_where_the_batch_is_the_calibration_set(objective):
    """One more for the check that no layer is used twice; four layers in three batches take 1 + 3 * 4 + 3."""
    for name, layers in (("mlp_bn", 1), ("conv_bn", 2)):
        for batch_size, first, later in ((23, 2, 1), (9, 1 + 3 * layers + 3, 1 + 3 * layers + 3)):
            asked, passes = objective(name, bn="recalibrated", batch_size=batch_size), []
            asked.model.register_forward_pre_hook(lambda *_, passes=passes: passes.append(1))
            with asked.session() as session:
                for wanted in (first, later, later):
                    passes.clear()
                    session.examples()
                    assert len(passes) == wanted


def test_a_calibration_pass_ends_with_the_last_layer(build, data):
    """Once it is known which that is: what follows it changes no statistics. The numbers stay the same to the bit."""
    (x, y), (c, _) = data("conv_bn"), data("conv_bn", n=31, seed=9)
    asked = ls.Objective(build("conv_bn"), x, y, bn="recalibrated", calibration=c, device="cpu")
    sizes = []
    asked.model[-1].register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    with asked.session() as session:
        first, second = session.examples().losses.clone(), session.examples().losses.clone()
    assert sizes == [31, 23, 23]
    assert torch.equal(first, second)


def test_a_layer_that_is_first_used_later_on_is_still_calibrated(data):
    """Which layers a pass uses may depend on the weights: a pass that ended too early would miss the new one."""

    class Turns(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.BatchNorm1d(6), nn.BatchNorm1d(6), nn.Linear(6, 3)

        def forward(self, x):
            layers = (self.a, self.b) if self.head.bias[0] > 0 else (self.b, self.a)
            for layer in layers:
                x = torch.relu(layer(x))
            return self.head(x)

    x, y = data()
    net = Turns().double()
    nn.init.constant_(net.head.bias, 0.5)
    asked = ls.Objective(net, x, y, bn="recalibrated", calibration=x + 1, device="cpu")
    other = {**asked.center, "head.bias": -asked.center["head.bias"]}
    with asked.session() as session:
        session.examples()
        session.load(other)
        found = session.examples().losses.clone()
    assert torch.equal(found, losses(asked, other))


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
    surface = ls.measure_surface(objective, ls.DirectionPair(first, zero), grid, evaluator="sequential")
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
