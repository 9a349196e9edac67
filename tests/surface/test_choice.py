"""How a surface is measured: chosen once, by what agrees and is fast, stored, and kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import LandscapeError, ObjectiveError, UnknownNameError, UsageError
from landscape.surface import preparing, tuning
from landscape.surface.evaluators import Planes

GRID = ls.Grid([-0.6, 0.0, 0.7], [-0.5, 0.0, 0.3])


class _Reads(nn.Module):
    """A convolution, a BatchNorm layer, and a use that folding cannot see."""

    def __init__(self, use):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.use = use

    def forward(self, x):
        return self.head(self.use(self, x).mean(dim=(2, 3)))


def _twice(net, x):
    y = net.conv(x)
    return torch.relu(net.norm(y)) + 0.1 * torch.tanh(y)


def _weight(net, x):
    return net.norm(net.conv(x)) * (1 + 0.1 * net.conv.weight.square().mean())


def _layer(net, x):
    return net.norm(net.conv(x)) + 0.1 * net.norm.running_mean.sum()


def _plain(net, x):
    return torch.relu(net.norm(net.conv(x)))


@pytest.fixture
def reading(data):
    """An objective of a network that does `use` with its layers."""

    def make(use, **options):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = _Reads(use).double()
            nn.init.uniform_(net.norm.running_var, 0.3, 0.6)
            nn.init.normal_(net.norm.running_mean, 0, 0.5)
        return ls.Objective(net, *data("conv"), device="cpu", **options)

    return make


@pytest.mark.parametrize("use", [_twice, _weight, _layer])
def test_a_use_that_folding_cannot_see_is_found_by_the_numbers(reading, everything, use):
    asked = reading(use)
    before, pair = everything(asked.model), ls.random_pair(asked.model)
    wanted = ls.measure_surface(asked, pair, GRID, evaluator="sequential")
    found = ls.measure_surface(asked, pair, GRID)
    assert found.execution["evaluator"] == "sequential"
    assert "evaluator_error" not in found.checks
    (reason,) = (why for name, why in found.execution["tried"].items() if name.startswith("folded"))
    assert "differs from sequential" in reason or "AttributeError" in reason
    np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-12)
    with pytest.raises((ObjectiveError, AttributeError), match=r"differs from the sequential one|running_mean"):
        ls.measure_surface(asked, pair, GRID, evaluator="folded")
    assert everything(asked.model) == before
    agrees = ls.measure_surface(reading(_plain), pair, GRID)
    assert agrees.execution["evaluator"] == "folded"
    assert agrees.checks["evaluator_error"] < 1e-12


def test_a_small_difference_is_no_rounding(data):
    """Relative 1e-5 to 1e-4 in float32, ten times what rounding explains and more: not the same number."""

    def use(net, x):
        y = net.conv(x)
        return torch.relu(net.norm(y)) + 1e-4 * torch.tanh(y)

    torch.manual_seed(0)
    net = _Reads(use)
    nn.init.constant_(net.norm.running_var, 0.4)
    nn.init.constant_(net.norm.running_mean, 0.5)
    asked = ls.Objective(net, *data("conv", dtype=torch.float32), device="cpu")
    found = ls.measure_surface(asked, ls.random_pair(net), GRID)
    (reason,) = (why for name, why in found.execution["tried"].items() if name.startswith("folded"))
    assert 5e-6 < float(reason.rpartition(" ")[2]) < 1e-4
    assert found.execution["evaluator"] == "sequential"


@pytest.mark.parametrize("radius", [1e200, float("1e154")])
def test_a_use_that_folding_cannot_see_is_found_also_where_corners_are_not_finite(data, radius):
    """Cells of all sizes of the multipliers must be compared, the center among them, until some are finite."""

    def use(net, x):
        y = net.conv(x)
        return torch.relu(net.norm(y)) + y.square()

    torch.manual_seed(0)
    net = _Reads(use).double()
    asked = ls.Objective(net, *data("conv"), device="cpu")
    grid = ls.Grid([-radius, -0.5, 0.0, 0.5, radius], [-radius, 0.0, radius])
    pair = ls.random_pair(net)
    found, wanted = (ls.measure_surface(asked, pair, grid, evaluator=e) for e in ("auto", "sequential"))
    assert not np.isfinite(wanted.loss[0, [0, -1]][:, [0, -1]]).any()
    np.testing.assert_allclose(found.loss[0, 1:4, 1], wanted.loss[0, 1:4, 1], rtol=1e-10)


def test_a_difference_in_what_is_finite_is_no_agreement():
    reference = np.array([1.0, np.nan, np.inf, 2.0])
    assert tuning.relative_error(reference, reference) == 0
    assert tuning.relative_error(np.array([1.0, np.inf, np.nan, 2.0]), reference) == 0
    assert tuning.relative_error(np.array([np.nan, np.nan, np.inf, 2.0]), reference) == np.inf
    assert tuning.relative_error(np.array([1.0, 1.0, np.inf, 2.0]), reference) == np.inf
    assert tuning.relative_error(np.array([1.0, np.nan, np.inf, 2.2]), reference) == pytest.approx(0.1)
    assert tuning.relative_error(np.array([np.nan]), np.array([np.nan])) == np.inf  # nothing is compared


@pytest.mark.parametrize(("count", "cells"), [(2, 4), (3, 9), (1, 1)])
def test_probes_are_spread_over_grid_and_pairs(objective, count, cells):
    pairs = ls.random_pairs(objective().model, 3)
    probes = tuning.probes(Planes(pairs, ls.Grid.square(1, 7)), count)
    assert len(probes) == len(set(probes)) == cells
    places = {(i, j) for _, i, j in probes}
    wanted = {1: {0}, 2: {0, 6}, 3: {0, 3, 6}}[count]
    assert places == {(i, j) for i in wanted for j in wanted}
    assert {k for k, _, _ in probes} == set(range(min(3, cells)))
    one = tuning.probes(Planes(pairs, ls.Grid([0.0], [0.0])), count)
    assert one == [(0, 0, 0)]


def test_evaluators_that_cannot_are_refused_with_the_reason(objective):
    grid = ls.Grid.square(1, 3)
    still = ls.random_pair(objective().model)
    refusals = [
        ("folded", objective("mlp"), "no BatchNorm layer with fixed statistics to fold"),
        ("folded", objective("mlp_bn", bn="batch"), "no BatchNorm layer with fixed statistics to fold"),
        ("folded", objective("mlp_bn", bn="recalibrated"), "no BatchNorm layer with fixed statistics to fold"),
        ("batched", objective("mlp_bn", bn="recalibrated", batch_size=9), "cell by cell"),
        ("graphed", objective("mlp"), "CUDA"),
    ]
    for evaluator, asked, reason in refusals:
        with pytest.raises(UsageError, match=rf"'{evaluator}' cannot measure this: .*{reason}.*'auto'"):
            ls.measure_surface(asked, ls.random_pair(asked.model), grid, evaluator=evaluator)
    with pytest.raises(UnknownNameError, match=r"no evaluator named 'sequentail'\. Did you mean 'sequential'\?"):
        ls.measure_surface(objective(), still, grid, evaluator="sequentail")
    assert issubclass(UnknownNameError, LandscapeError)


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("mlp_bn", {}, "folded"),
        ("mlp", {}, "sequential"),
        ("mlp_bn", {"bn": "batch"}, "sequential"),
        ("mlp_bn", {"bn": "recalibrated"}, "sequential"),
        ("mlp", {"precision": "bf16", "dtype": torch.float32}, "folded"),
        ("mlp_bn", {"bn": "batch", "precision": "bf16", "dtype": torch.float32}, "folded"),
        ("mlp_bn", {"precision": "bf16"}, "folded"),
    ],
)
def test_what_is_taken_by_itself_on_a_cpu_for_a_small_surface(objective, name, options, wanted):
    asked = objective(name, **options)
    surface = ls.measure_surface(asked, ls.random_pair(asked.model), GRID)
    assert surface.execution["evaluator"] == wanted
    assert surface.execution["engine"] == "serial"
    assert surface.execution["workers"] == surface.execution["threads"] == surface.execution["cells"] == 1
    assert ("evaluator_error" in surface.checks) == (wanted != "sequential")
    assert isinstance(surface.execution["tried"][f"{wanted}/23"], float)


@pytest.mark.usefixtures("graphed_here")
@pytest.mark.parametrize("evaluator", ["sequential", "folded", "batched", "graphed"])
def test_what_is_asked_for_is_taken_stored_and_kept(objective, measured_parts, same_surface, tmp_path, evaluator):
    asked = objective("mlp_bn", batch_size=9)
    pair = ls.random_pair(asked.model)

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ls.measure_surface(asked, pair, GRID, path=tmp_path / "a.h5", evaluator=evaluator, progress=stop)
    stored = ls.load(tmp_path / "a.h5").execution
    assert stored["evaluator"] == evaluator
    assert stored["batch_size"] == 9
    assert (stored["cells"] > 1) == (evaluator == "batched")
    other = objective("mlp_bn", batch_size=512)
    resumed = ls.measure_surface(other, pair, GRID, path=tmp_path / "a.h5", evaluator="auto")
    assert dict(resumed.execution) == dict(stored)
    same_surface(resumed, ls.measure_surface(asked, pair, GRID, evaluator=evaluator))
    assert measured_parts


@pytest.mark.parametrize("bn", ["frozen", "batch"])
def test_on_a_large_surface_the_batch_is_timed_where_no_value_depends_on_it(objective, monkeypatch, bn):
    """A clock that charges passes by their batch: 23 examples cost 9 + n / 10 each, so one batch of 23 is best."""
    spent = [0.0]
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: spent[0])
    asked = objective("mlp_bn", bn=bn, batch_size=23)
    asked.model.register_forward_pre_hook(lambda m, x: spent.__setitem__(0, spent[0] + 9 + len(x[0]) / 10))
    planes = Planes([ls.random_pair(asked.model)], ls.Grid.square(1, 21))
    small = asked.in_batches_of(4)

    def chosen(*, cells=441, pace=1.0, **options):
        return tuning.choose(small, planes, largest=23, threads=1, cells=cells, pace=pace, **options)

    found = chosen()
    assert found.execution.batch_size == (23 if bn == "frozen" else 4)
    assert len(found.timings) == (4 if bn == "frozen" else 1)  # 4, 8, 16, 23
    wanted = {"frozen": 9 + 2.3, "batch": 6 * 9 + 2.3}[bn]
    assert found.seconds_per_cell == pytest.approx(wanted)
    assert chosen(evaluator="sequential").execution.batch_size == 4  # it is taken as it comes
    assert chosen(cells=399).execution.batch_size == 4  # too few cells to be worth a choice
    assert chosen(pace=0.01).execution.batch_size == 4  # over in a moment
    asked.model._forward_pre_hooks.clear()
    asked.model.register_forward_pre_hook(lambda m, x: spent.__setitem__(0, spent[0] + len(x[0]) ** 2))
    assert chosen().execution.batch_size == 4  # small ones are faster: larger ones are given up
    assert len(chosen().timings) == (2 if bn == "frozen" else 1)


def test_a_larger_batch_is_not_given_up_for_one_slow_moment(objective, monkeypatch):
    asked = objective("mlp_bn", batch_size=23)
    planes = Planes([ls.random_pair(asked.model)], ls.Grid.square(1, 21))
    plain, tried = tuning._Trial._measured, []

    def measured(trial, execution, **options):
        values, _ = plain(trial, execution, **options)
        tried.append(execution.batch_size)
        slow = execution.batch_size > 4 and tried.count(execution.batch_size) == 1
        return values, 100.0 if slow else 1 / execution.batch_size

    monkeypatch.setattr(tuning._Trial, "_measured", measured)
    small = asked.in_batches_of(4)
    found = tuning.choose(small, planes, evaluator="sequential", largest=23, threads=1, cells=441, pace=1.0)
    assert found.execution.batch_size == 4  # a surface that must not depend on timing
    found = tuning.choose(small, planes, largest=23, threads=1, cells=441, pace=1.0)
    assert found.execution.batch_size == 23
    assert tried.count(8) == tried.count(16) == tried.count(23) == 2


@pytest.mark.parametrize(("sampling", "cells"), [("dense", 2 * 441), ("adaptive", 2 * 64)])
def test_the_choice_may_cost_by_what_will_be_measured(objective, monkeypatch, sampling, cells):
    asked, given = objective("mlp_bn", batch_size=23), []
    plain = preparing.choose

    def choose(*args, **options):
        given.append(options["cells"])
        return plain(*args, **options)

    monkeypatch.setattr(preparing, "choose", choose)
    ls.measure_surface(asked, ls.random_pairs(asked.model, 2), ls.Grid.square(1, 21), sampling=sampling)
    assert given == [cells]
