"""After any call, also one that fails, the caller's network and generators are as before, to the pointer."""

from __future__ import annotations

import functools
import itertools
import random

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.surface import evaluators

GRID = ls.Grid([-1.0, 0.0, 0.5], [0.0, 1.0])


@pytest.fixture
def lived_in(build, data):
    """A network in the middle of its life: gradients, train mode, one frozen layer, channels_last weights."""

    def make(name):
        net = build(name).to(memory_format=torch.channels_last)
        net.train()
        x, _ = data(name)
        net(x).sum().backward()
        net[-1].eval()
        net[-1].weight.requires_grad_(False)
        net[-1].bias.grad = None
        for layer in net:
            if hasattr(layer, "momentum"):
                layer.momentum = None
        torch.manual_seed(5)
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002 - a caller's global generator
        np.random.standard_normal(3)  # noqa: NPY002 - with a cached half of a pair
        return net

    return make


@pytest.mark.usefixtures("graphed_here")
@pytest.mark.parametrize(
    "case", [*itertools.product(["mlp_dropout_bn", "conv_bn"], ["frozen", "batch", "recalibrated"])]
)
def test_every_call_leaves_the_network(lived_in, data, everything, tmp_path, case):
    name, bn = case
    net = lived_in(name)
    x, y = data(name)
    kept = x.clone(), y.clone()
    before = everything(net)
    objective = ls.Objective(net, x, y, bn=bn, batch_size=9, device="cpu")
    pairs = ls.random_pairs(net, 2)
    calls = {
        "construction": lambda: None,
        "recipe": lambda: objective.recipe,
        "call": lambda: objective(objective.center),
        "surface": lambda: ls.measure_surface(objective, pairs, GRID, path=tmp_path / "s.h5"),
        "sequential": lambda: ls.measure_surface(objective, pairs, GRID, evaluator="sequential"),
        "finished": lambda: ls.measure_surface(objective, pairs, GRID, path=tmp_path / "s.h5"),
        "check": lambda: ls.check_geometry(objective, pairs),
    }
    for evaluator in ("folded", "batched", "graphed"):
        if evaluators.get(evaluator).refusal(objective, evaluators.Planes(pairs, GRID)):
            continue
        calls[evaluator] = functools.partial(ls.measure_surface, objective, pairs, GRID, evaluator=evaluator)
    assert "graphed" in calls
    for call, act in calls.items():
        act()
        after = everything(net)
        for key, value in before.items():
            assert after[key] == value, (call, key)
    assert torch.equal(x, kept[0])
    assert torch.equal(y, kept[1])


@pytest.mark.usefixtures("graphed_here")
@pytest.mark.parametrize(
    ("bn", "evaluator"),
    [
        *itertools.product(["frozen", "recalibrated"], ["folded"]),
        *itertools.product(["frozen", "batch"], ["batched"]),
        *itertools.product(["frozen", "batch", "recalibrated"], ["sequential", "graphed"]),
    ],
)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_loss_that_raises_leaves_the_network(lived_in, data, everything, *, bn, evaluator, error):
    net = lived_in("conv_bn")
    before, pair = everything(net), ls.random_pair(net)
    calls = 0

    def loss(outputs, targets):
        nonlocal calls
        calls += 1
        if calls == stop:
            raise error("stop here")
        return outputs.sum(dim=1)

    x, y = data("conv_bn")
    objective = ls.Objective(net, x, y, loss=loss, bn=bn, batch_size=9, device="cpu")
    stop, begun = None, []
    ls.measure_surface(objective, pair, GRID, evaluator=evaluator, progress=lambda _: begun.append(calls))
    whole = calls
    if evaluator != "batched":  # which evaluates several cells and judges them one by one
        assert whole - begun[0] == 3 * (1 + 6)  # three batches: of the center once more, and of each cell
    # the center, its repetition, the checks, the choice, the opening, the first and the last cell
    for stop in (1, 4, 8, 14, 18, begun[0] - 5, begun[0], begun[0] + 1, begun[0] + 5, whole):
        calls = 0
        with pytest.raises(error, match="stop here"):
            ls.measure_surface(objective, pair, GRID, evaluator=evaluator)
        assert calls == stop
        assert everything(net) == before


def test_a_forward_pass_that_raises_in_mid_calibration_leaves_the_network(lived_in, data, everything):
    net = lived_in("conv_bn")
    x, y = data("conv_bn")

    def fail(module, inputs):
        raise ZeroDivisionError

    handle = net[4].register_forward_pre_hook(fail)
    before = everything(net)
    for batch_size in (512, 9):
        objective = ls.Objective(net, x, y, bn="recalibrated", batch_size=batch_size, device="cpu")
        with pytest.raises(ZeroDivisionError):
            objective(objective.center)
        assert everything(net) == before
    handle.remove()


def test_a_progress_callback_that_raises_leaves_the_network(lived_in, data, everything, tmp_path):
    net = lived_in("mlp_dropout_bn")
    before = everything(net)
    objective = ls.Objective(net, *data(), device="cpu")
    for stop in (0, 1):
        seen = []

        def report(progress, seen=seen, stop=stop):
            if len(seen) == stop:
                raise KeyboardInterrupt
            seen.append(progress)

        with pytest.raises(KeyboardInterrupt):
            ls.measure_surface(objective, ls.random_pair(net), GRID, path=tmp_path / f"{stop}.h5", progress=report)
        assert everything(net) == before
        assert ls.load(tmp_path / f"{stop}.h5").done.all() == bool(stop)  # the block reported on was kept


def test_random_numbers_drawn_inside_do_not_show_outside(build, data, everything):
    """A loss that draws (and is refused for it) puts the generators back."""
    net = build("mlp")
    before = everything(net)

    def loss(outputs, targets):
        torch.rand(3)
        np.random.standard_normal(3)  # noqa: NPY002
        random.random()
        return outputs.sum(dim=1)

    objective = ls.Objective(net, *data(), loss=loss, device="cpu")
    objective(objective.center)
    assert everything(net) == before


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_works_inside_any_gradient_mode(objective, context):
    asked = objective("conv_bn")
    wanted = asked(asked.center).loss
    with context():
        assert asked(asked.center).loss == wanted
        surface = ls.measure_surface(asked, ls.random_pair(asked.model), GRID, evaluator="sequential")
        folded = ls.measure_surface(asked, ls.random_pair(asked.model), GRID, evaluator="folded")
    assert surface.loss[0, 1, 0] == wanted
    assert folded.loss[0, 1, 0] == pytest.approx(wanted, rel=1e-10)
    assert not any(p.is_inference() for p in asked.model.parameters())
    asked.model(torch.zeros(2, 2, 5, 7, dtype=torch.float64)).sum().backward()  # and it can still be trained


def test_the_network_can_be_trained_between_calls(objective):
    """Nothing of the center is cached: the objective sees the weights as they are now."""
    asked = objective("mlp")
    before = asked(asked.center).loss
    recipe = asked.recipe
    with torch.no_grad():
        asked.model[0].weight.mul_(2)
    after = asked(asked.center).loss
    assert after != before
    assert asked.recipe["model_hash"] != recipe["model_hash"]
    fresh = objective("mlp", net=asked.model)
    assert fresh(fresh.center).loss == after
