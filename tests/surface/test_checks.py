"""The geometry checks pass what is right and report each thing that is off."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.space import parameters_of, random_pair
from landscape.surface.checks import filter_norm_error, fingerprint, plane_checks


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ["mlp_dropout_bn", "conv_bn", "tied"])
def test_a_sound_plane_passes(objective, name, dtype):
    asked = objective(name, dtype=dtype)
    found = ls.check_geometry(asked, ls.random_pairs(asked.model, 3))
    rounding = 1e-12 if dtype == torch.float64 else 1e-6
    assert found["filter_norm_error"] < rounding
    assert found["cosine"] < rounding
    assert found["center_error"] == 0
    assert found["single_element_filters"] == 0
    assert found["restored"] is True
    assert found["ok"] is True


def altered(pair, change):
    """A copy of the pair whose directions were changed after their recipe was written."""
    sides = [{n: d.clone() for n, d in side.items()} for side in (pair.first, pair.second)]
    change(*sides)
    return ls.DirectionPair(*sides, pair.recipe)


def test_norms_that_are_off_are_measured_and_judged(objective):
    asked = objective("conv")
    pair = ls.random_pair(asked.model)

    def scaled(first, second):
        second["2.weight"][1] *= 1.01

    def biased(first, second):
        first["0.bias"][2] = -0.25

    for change, error in ((scaled, 0.01), (biased, 0.25)):
        found = ls.check_geometry(asked, [pair, altered(pair, change)])
        assert found["filter_norm_error"] == pytest.approx(error, rel=1e-9)
        assert found["ok"] is False
        assert found["restored"] is True


def test_a_missing_filter_and_a_moved_zero_filter_are_errors():
    center = {"w": torch.tensor([[3.0, 4.0], [0.0, 0.0]])}
    assert filter_norm_error({"w": torch.tensor([[0.0, -5.0], [0.0, 0.0]])}, center) == 0
    assert filter_norm_error({"w": torch.zeros(2, 2)}, center) == 1
    assert filter_norm_error({"w": torch.tensor([[0.0, 5.0], [0.0, 0.5]])}, center) == 0.5
    single = {"w": torch.tensor([[2.0], [3.0]])}
    assert filter_norm_error({"w": torch.tensor([[0.0], [-3.0]])}, single) == 0
    assert filter_norm_error({"w": torch.tensor([[0.0], [-6.0]])}, single) == 1


@pytest.mark.parametrize("name", ["w", "b"])
def test_a_direction_that_is_not_a_number_is_an_error(name):
    center = {"w": torch.ones(2, 2), "b": torch.ones(2)}
    direction = {"w": torch.ones(2, 2), "b": torch.zeros(2)}
    assert filter_norm_error(direction, center) == 0
    direction[name].flatten()[0] = torch.nan
    assert filter_norm_error(direction, center) == np.inf


def test_directions_that_are_not_orthogonal_are_judged_by_what_was_promised(objective):
    asked = objective()
    pair = ls.random_pair(asked.model)

    def tilt(first, second):
        for n in second:
            second[n].copy_(first[n])

    found = ls.check_geometry(asked, [altered(pair, tilt)])
    assert found["cosine"] == pytest.approx(1, rel=1e-12)
    assert found["ok"] is False
    loose = ls.check_geometry(asked, [ls.random_pair(asked.model, orthogonal=False)])
    assert loose["cosine"] > 1e-5
    assert loose["ok"] is True


def test_pairs_of_ones_own_are_checked_without_a_recipe(objective):
    asked = objective()
    first, second = ({n: torch.ones_like(w) for n, w in asked.center.items()} for _ in range(2))
    found = ls.check_geometry(asked, [ls.DirectionPair(first, second)])
    assert found["cosine"] == pytest.approx(1)
    assert "filter_norm_error" not in found
    assert found["ok"] is True
    drawn = ls.random_pair(asked.model)
    mine = ls.DirectionPair(drawn.first, drawn.second, {"normalize": "filter", "orthogonal": True})
    assert ls.check_geometry(asked, [mine])["ok"] is True


def test_single_element_filters_are_counted(data):
    net = nn.Sequential(
        nn.Linear(6, 2), nn.Linear(2, 3), nn.Unflatten(1, (3, 1)), nn.Conv1d(3, 3, 1, groups=3), nn.Flatten()
    )
    objective = ls.Objective(net.double(), *data(), device="cpu")
    found = ls.check_geometry(objective, ls.random_pairs(net, 2))
    assert found["single_element_filters"] == 3
    assert found["ok"] is True


def test_a_forward_pass_that_writes_into_the_callers_weights_is_found_out(build, data):
    """A weight clamped through a reference kept from before: the copy that is lent out does not protect it."""

    class Clamped(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net, self.kept = net, [net[0].weight.data]

        def forward(self, x):
            self.kept[0].mul_(0.999)
            return self.net(x)

    net = Clamped(build("mlp"))
    objective = ls.Objective(net, *data(), device="cpu")
    found = ls.check_geometry(objective, [ls.random_pair(net)])
    assert found["restored"] is False
    assert found["ok"] is False


def test_a_counter_that_escapes_the_loan_is_found_out(build, data):
    """No value depends on it, so the center is right: the network is still not the one that was handed in."""

    class Counts(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net
            self.register_buffer("seen", torch.zeros(()))
            self.kept = [self.seen]

        def forward(self, x):
            self.kept[0].add_(len(x))
            return self.net(x)

    net = Counts(build("mlp"))
    objective = ls.Objective(net, *data(), device="cpu")
    found = ls.check_geometry(objective, [ls.random_pair(net)])
    assert found["center_error"] == 0
    assert found["restored"] is False
    assert found["ok"] is False


def test_a_network_with_a_hidden_state_fails_at_the_center(build, data):
    class Ages(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net, self.age = net, 0

        def forward(self, x):
            self.age += 1
            return self.net(x) * (1 + 1e-9 * self.age)

    net = Ages(build("mlp"))
    objective = ls.Objective(net, *data(), device="cpu")
    found = ls.check_geometry(objective, ls.random_pairs(net, 2))
    assert 0 < found["center_error"] < 1e-6
    assert found["restored"] is True
    assert found["ok"] is False


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_center_that_diverged_is_equal_to_itself(objective, value):
    asked = objective(loss=lambda outputs, targets: outputs[:, 0] * 0 + value)
    found = ls.check_geometry(asked, ls.random_pairs(asked.model, 2))
    assert found["center_error"] == 0
    assert found["ok"] is True


def test_checks_are_stored_with_the_surface(objective, tmp_path):
    asked = objective("conv_bn")
    pairs = ls.random_pairs(asked.model, 2)
    ls.measure_surface(asked, pairs, ls.Grid.square(1, 3), path=tmp_path / "s.h5", evaluator="sequential")
    assert ls.load(tmp_path / "s.h5").checks == ls.check_geometry(asked, pairs)
    ls.measure_surface(asked, pairs, ls.Grid.square(1, 3), path=tmp_path / "f.h5", evaluator="folded")
    error = ls.load(tmp_path / "f.h5").checks["evaluator_error"]
    assert 0 <= error < 1e-12  # float64: folding rounds otherwise, a little
    assert ls.load(tmp_path / "f.h5").checks == ls.check_geometry(asked, pairs) | {"evaluator_error": error}
    plain = plane_checks(pairs, asked.center)
    assert plain["filter_norm_error"] == ls.check_geometry(asked, pairs)["filter_norm_error"]


def test_a_line_has_no_angle(objective):
    asked = objective()
    first = random_pair(asked.model).first
    line = ls.DirectionPair(first, {n: torch.zeros_like(d) for n, d in first.items()})
    found = ls.check_geometry(asked, [line])
    assert found["cosine"] == 0
    assert found["ok"] is True


def _gradient(net):
    net[0].weight.grad = torch.zeros_like(net[0].weight)


def _weight(net):
    net[0].weight.data[0, 0] = net[0].weight.data[0, 0].nextafter(torch.tensor(9.0))


DISTURBANCES = {
    "parameter": _weight,
    "buffer": lambda net: net[1].running_var.data.mul_(1.5),
    "counter": lambda net: net[1].num_batches_tracked.add_(1),
    "gradient": _gradient,
    "gradient value": lambda net: net[0].bias.grad.add_(1e-6),
    "train flag": lambda net: net[1].train(not net[1].training),
    "momentum": lambda net: setattr(net[1], "momentum", 0.2),
    "requires_grad": lambda net: net[0].weight.requires_grad_(False),
    "torch's generator": lambda net: torch.rand(1),
    "NumPy's generator": lambda net: np.random.random_sample(),  # noqa: NPY002 - a caller's global generator
    "Python's generator": lambda net: random.random(),
}


@pytest.mark.parametrize("what", DISTURBANCES)
def test_every_disturbance_changes_the_fingerprint(build, what):
    net = build("mlp_bn", dtype=torch.float32)
    net[0].bias.grad = torch.zeros_like(net[0].bias)
    np.random.seed(0)  # noqa: NPY002
    np.random.random_sample(3)  # noqa: NPY002 - in the middle of a block of numbers, where draws only move a position
    before = fingerprint(net)
    assert fingerprint(net) == before
    DISTURBANCES[what](net)
    assert fingerprint(net) != before
    assert parameters_of(net)  # still a network
