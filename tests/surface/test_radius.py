"""The range of a grid that looks for a budget: closed forms, symmetries, and what may go wrong on the way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import ObjectiveError, UsageError
from landscape.surface.radius import AutoRange, auto_range, cover

TWO_DIGITS = sorted(float(f"{m}e{k}") for m in range(10, 100) for k in range(-8, 4))
SIDES = ("alpha_low", "alpha_high", "beta_low", "beta_high")


def first_at(loss, budget):
    """The first readable number at which a rising function is at the budget: what a side must be."""
    return next(r for r in TWO_DIGITS if not loss(r) < budget)


def plane(shape, *, center=0.0):
    """An objective whose loss is `shape(alpha, beta)` of a plane that this spans, and the plane."""
    net = nn.Linear(2, 2, bias=False).double()
    nn.init.constant_(net.weight, center)
    first, second = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    first[0, 0] = second[1, 1] = 1.0

    def loss(outputs, targets):
        return shape(outputs[:, 0] - center, outputs[:, 1] - center).expand(len(targets))

    x = torch.eye(2, dtype=torch.float64).sum(dim=0, keepdim=True)
    x = x / (2 if center else 1)  # both weights of a row carry the center
    objective = ls.Objective(net, x, torch.zeros(1), loss=loss, device="cpu")
    return objective, ls.DirectionPair({"weight": first / x[0, 0]}, {"weight": second / x[0, 0]})


def sides(found):
    return [getattr(found, name) for name in SIDES]


@pytest.mark.parametrize("scale", [1.0, 10.0, 1e-3, 300.0])
def test_a_quadratic_ends_where_its_closed_form_meets_the_budget(scale):
    """L = (a^2 + (scale b)^2) / 2 through torch's own mse; its center has loss 0, so the budget is 1."""
    net = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[3.0, 4.0]]))
    objective = ls.Objective(net, torch.eye(2).double(), torch.tensor([[3.0], [4.0]]), loss="mse", device="cpu")
    pair = ls.DirectionPair({"weight": torch.tensor([[1.0, 0.0]])}, {"weight": torch.tensor([[0.0, scale]])})
    found = auto_range(objective, pair)
    alpha = first_at(lambda a: a**2 / 2, 1.0)
    beta = first_at(lambda b: (scale * b) ** 2 / 2, 1.0)
    assert alpha == 1.5  # sqrt(2), outward
    assert sides(found) == [-alpha, alpha, -beta, beta]
    assert found.budget == 1.0
    assert found.crossings == ((alpha, alpha, beta, beta),)
    assert found.notes == ()
    assert found.evaluations <= 50


def test_sides_of_an_asymmetric_function_differ_and_the_grid_keeps_the_center():
    def shape(a, b):
        return torch.exp(a) + torch.exp(-4 * a) + b**2

    objective, pair = plane(shape)
    found = auto_range(objective, pair, budget=10)
    high = first_at(lambda t: math.exp(t) + math.exp(-4 * t), 10)
    low = first_at(lambda t: math.exp(-t) + math.exp(4 * t), 10)
    beta = first_at(lambda t: 2 + t**2, 10)
    assert (low, high) == (0.57, 2.4)
    assert sides(found) == [-low, high, -beta, beta]
    grid = found.grid(41)
    assert grid.shape == (41, 41)
    assert grid.alpha[grid.center[0]] == 0.0
    np.testing.assert_allclose(np.diff(grid.alpha), np.diff(grid.alpha)[0], rtol=1e-12)
    np.testing.assert_array_equal(grid.beta, ls.Grid.square(beta, 41).beta)


@pytest.mark.parametrize("points", [3, 4, 5, 25, 40, 41, 101])
@pytest.mark.parametrize("ends", [(-1.0, 1.0), (-0.31, 0.28), (-0.01, 3.9), (-4.0, 0.001), (-1.1, 1.0)])
def test_grids_hold_their_sides_in_equal_steps_and_the_center(points, ends):
    low, high = ends
    axis = AutoRange(low, high, 0.0, 0.0, 1.0, 1, ()).grid(points).alpha
    assert len(axis) == points
    step = (axis[-1] - axis[0]) / (points - 1)
    np.testing.assert_allclose(np.diff(axis), step, rtol=1e-12)
    assert axis[0] <= low * (1 - 1e-15)
    assert axis[-1] >= high * (1 - 1e-15)
    assert min(low - axis[0], axis[-1] - high) == pytest.approx(0, abs=1e-15)  # no wider than zero on the grid asks
    if points % 2 or low != -high:
        assert (axis == 0.0).sum() == 1
    else:
        np.testing.assert_array_equal(axis, ls.Grid.square(high, points).alpha)


def test_a_flat_direction_ends_at_the_limit_and_says_so():
    objective, pair = plane(lambda a, b: torch.tanh(a) ** 2 + 30 * b**2)
    found = auto_range(objective, pair)
    assert sides(found)[:2] == [-4.0, 4.0]
    assert found.beta_high == first_at(lambda b: 30 * b**2, 1)
    assert np.isnan(found.crossings[0][:2]).all()
    assert found.notes == ("2 of 4 sides: the loss stays below the budget of 1 as far as it was followed, to 4",)


def test_a_pair_that_is_flat_does_not_widen_the_others():
    objective, pair = plane(lambda a, b: a**2 + 1 - torch.exp(-(b**2)))
    other = ls.DirectionPair(pair.second, pair.first)
    found = auto_range(objective, [pair, other])
    assert sides(found) == [-1.0, 1.0, -1.0, 1.0]
    assert found.notes[0].startswith("4 of 8 sides")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_side_ends_before_the_loss_stops_being_finite(value):
    objective, pair = plane(lambda a, b: torch.where(a > 0.295, value, a**2) + b**2)
    found = auto_range(objective, pair)
    assert sides(found) == [-1.0, 0.29, -1.0, 1.0]
    assert found.notes == ("1 of 4 sides: the loss is not finite beyond about 0.29",)


def test_the_smallest_step_is_an_end():
    objective, pair = plane(lambda a, b: 1e9 * a**2 + b**2)
    found = auto_range(objective, pair)
    assert sides(found) == [-0.001, 0.001, -1.0, 1.0]
    assert "already at 0.001" in found.notes[0]


def test_a_narrow_basin_is_searched_inward():
    objective, pair = plane(lambda a, b: (a / 0.0123) ** 2 + b**2)
    assert auto_range(objective, pair).alpha_high == 0.013


def test_a_loss_that_rises_and_falls_again_ends_at_the_first_crossing():
    def ridge(a):
        return 10 * math.exp(-(((abs(a) - 0.4) / 0.15) ** 2))

    objective, pair = plane(lambda a, b: 10 * torch.exp(-(((a.abs() - 0.4) / 0.15) ** 2)) + 9 * (a.abs() > 2) + b**2)
    found = auto_range(objective, pair)
    assert found.alpha_high == first_at(ridge, found.budget) < 0.4


def test_the_scale_of_a_direction_only_scales_the_range():
    """Powers of two, so that the search meets the same numbers: a direction is as good as its double."""
    objective, pair = plane(lambda a, b: a**2 + 3 * b**2, center=0.5)
    plain = auto_range(objective, pair)
    longer = ls.DirectionPair({"weight": 1024 * pair.first["weight"]}, pair.second)
    found = auto_range(objective, longer)
    assert found.alpha_high == pytest.approx(plain.alpha_high / 1024, rel=0.1)  # two digits
    assert found.beta_high == plain.beta_high


def test_a_zero_second_direction_makes_a_line():
    objective, pair = plane(lambda a, b: a**2 + b**2)
    found = auto_range(objective, ls.DirectionPair(pair.first, {"weight": torch.zeros(2, 2)}))
    assert sides(found) == [-1.0, 1.0, 0.0, 0.0]
    assert not any(math.copysign(1, x) < 0 for x in sides(found)[1:])
    assert found.grid(5).shape == (5, 1)
    assert found.evaluations <= 25


def test_random_pairs_share_one_length_that_holds_every_budget_contour(objective):
    asked = objective("conv_bn")
    pairs = ls.random_pairs(asked.model, 3)
    found = auto_range(asked, pairs, budget=1.3)
    radius = found.alpha_high
    assert np.isfinite(found.crossings).mean() > 0.5  # an untrained network also falls along some sides
    assert sides(found) == [-radius, radius, -radius, radius]
    assert radius == np.nanmax(found.crossings)
    np.testing.assert_array_equal(found.grid(9).alpha, ls.Grid.square(radius, 9).alpha)
    swapped = [ls.DirectionPair(p.second, p.first, p.recipe) for p in reversed(pairs)]
    assert sides(auto_range(asked, swapped, budget=1.3)) == sides(found)


@pytest.mark.parametrize(("name", "bn"), [("mlp", "frozen"), ("conv_bn", "batch"), ("mlp_bn", "recalibrated")])
def test_the_loss_is_below_the_budget_just_inside_and_not_at_the_end(objective, point, name, bn):
    """Against direct evaluations, which share no code with the search."""
    asked = objective(name, bn=bn)
    center = asked.center
    pair = ls.random_pair(asked.model, seed=2)
    found = auto_range(asked, pair, budget=1.2 * asked(center).loss)
    assert found.budget == 1.2 * asked(center).loss
    for end, (alpha, beta) in zip(found.crossings[0], [(-1, 0), (1, 0), (0, -1), (0, 1)], strict=True):
        inside = 4.0 if np.isnan(end) else TWO_DIGITS[TWO_DIGITS.index(end) - 1]
        assert asked(point(center, pair, alpha * inside, beta * inside)).loss < found.budget
        assert np.isnan(end) or asked(point(center, pair, alpha * end, beta * end)).loss >= found.budget
    assert np.isfinite(found.crossings).sum() >= 2


@pytest.mark.parametrize("c", [10.0, 1e-3])
def test_rescaled_layers_have_the_same_range(build, data, c):
    """W1 -> c W1, W2 -> W2 / c is the same function, and its surface the same under filter normalization."""
    found = []
    for factor in (1.0, c):
        net = build("mlp")
        with torch.no_grad():
            net[0].weight.mul_(factor)
            net[0].bias.mul_(factor)
            net[2].weight.div_(factor)
        found.append(auto_range(ls.Objective(net, *data(), device="cpu"), ls.random_pairs(net, 2), budget=1.6))
    assert np.isfinite(found[0].crossings).mean() > 0.5
    assert found[0].crossings == found[1].crossings
    assert sides(found[0]) == sides(found[1])


def test_networks_compared_get_one_rule_and_may_share_a_grid(objective):
    """The rule is in terms of each center; a budget in nats is the same number for all."""
    by_rule, by_number = [], []
    for name in ("mlp", "mlp_bn"):
        asked = objective(name)
        pair = ls.random_pair(asked.model)
        by_rule.append(auto_range(asked, pair))
        assert by_rule[-1].budget == 5 * asked(asked.center).loss + 1
        by_number.append(auto_range(asked, pair, budget=4.0))
    assert [r.budget for r in by_number] == [4.0, 4.0]
    both = cover(by_rule)
    assert sides(both) == [(min if i % 2 == 0 else max)(sides(r)[i] for r in by_rule) for i in range(4)]
    assert both.crossings == by_rule[0].crossings + by_rule[1].crossings
    assert both.evaluations == sum(r.evaluations for r in by_rule)


def test_single_precision_finds_the_range_of_double(objective):
    """Readable ends: what another machine rounds differently does not show."""
    double, single = (objective("conv", dtype=dtype) for dtype in (torch.float64, torch.float32))
    found = [auto_range(asked, ls.random_pairs(asked.model, 2), budget=1.6) for asked in (double, single)]
    assert np.isfinite(found[0].crossings).mean() > 0.5
    assert found[0].crossings == found[1].crossings


def test_the_network_is_left_as_it_was(build, data, everything):
    net = build("conv_bn").train()
    before = everything(net)
    calls = 0

    def loss(outputs, targets):
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    objective = ls.Objective(net, *data("conv_bn"), loss=loss, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        auto_range(objective, ls.random_pair(net))
    assert everything(net) == before
    auto_range(objective, ls.random_pair(net))
    assert everything(net) == before


def test_progress_begins_with_an_estimate_and_says_what_each_side_gave(objective):
    asked, seen = objective("mlp"), []
    auto_range(asked, ls.random_pairs(asked.model, 2), progress=seen.append)
    assert [p.done for p in seen] == list(range(9))
    assert {p.total for p in seen} == {8}
    assert [p.estimate for p in seen] == [True] + 8 * [False]
    assert seen[-1].seconds_left == 0
    objective, pair = plane(lambda a, b: torch.where(a > 0, a**2, 0.0))
    auto_range(objective, ls.DirectionPair(pair.first, {"weight": torch.zeros(2, 2)}), progress=seen.append)
    told = [p.detail for p in seen[-4:]]
    assert told == ["loss below 1 to 4", "loss 1 at 1", *2 * ["a line has no such side"]]


def test_the_range_is_measured_as_any_surface(objective):
    asked = objective("mlp")
    pairs = ls.random_pairs(asked.model, 2)
    found = auto_range(asked, pairs, budget=1.6)
    surface = ls.measure_surface(asked, pairs, found.grid(5))
    rim = surface.loss[:, [0, -1, 2, 2], [2, 2, 0, -1]]
    assert rim[np.array(found.crossings) == found.alpha_high].min() >= found.budget  # the pair that set the range
    assert surface.loss[0, 2, 2] == surface.center.loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_center_that_is_not_finite_is_refused(value):
    objective, pair = plane(lambda a, b: a + b + value)
    with pytest.raises(ObjectiveError, match="the center's loss is"):
        auto_range(objective, pair)


@pytest.mark.parametrize(("offset", "budget"), [(2.0, 2.0), (2.0, 1.0), (2.0, math.nan), (2.0, math.inf), (-7.0, None)])
def test_a_budget_must_be_above_the_center(offset, budget):
    """A loss may be negative (a density); then the rule has no meaning and asks for a number."""
    objective, pair = plane(lambda a, b: a**2 + b**2 + offset)
    with pytest.raises(UsageError, match="not above the center's loss"):
        auto_range(objective, pair, budget=budget)
    assert auto_range(objective, pair, budget=offset + 0.25).alpha_high == 0.5


def test_no_pair_is_refused(objective):
    with pytest.raises(UsageError, match="at least one"):
        auto_range(objective("mlp"), [])
