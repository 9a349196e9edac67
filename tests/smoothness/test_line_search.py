"""Loss and gradient along the gradient: against closed forms, and leaving no trace in the network."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import LayoutError, ObjectiveError, UsageError
from landscape.smoothness import line_search_probe
from landscape.smoothness.line_search import walk
from landscape.smoothness.mini_batch import compare, lent

ETAS = (0.05, 0.1, 0.2, 0.4)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def test_a_quadratic_is_measured_exactly(quadratic, as_loss):
    """L(w - eta g) = L - eta |g|^2 + eta^2/2 g^T H g, |dg| = eta |H g|, beta = |H g| / |g| at every eta."""
    net, hessian, g = quadratic
    x = torch.zeros(3, 1, dtype=torch.float64)
    trace = line_search_probe(net, x, x, step_sizes=ETAS, loss=as_loss)
    eta, bent = np.array(ETAS), hessian @ g
    start = net(x)[0].item()
    norm, change = float(g.norm()), float(bent.norm())
    np.testing.assert_allclose(trace.start_loss, start, rtol=1e-12)
    np.testing.assert_allclose(trace.gradient_norm, norm, rtol=1e-12)
    np.testing.assert_allclose(trace.loss, start - eta * norm**2 + eta**2 / 2 * float(g @ bent), rtol=1e-9)
    np.testing.assert_allclose(trace.gradient_distance, eta * change, rtol=1e-9)
    np.testing.assert_allclose(trace.gradient_distance / (eta * norm), change / norm, rtol=1e-9)
    cosine = [float(nn.functional.cosine_similarity(g, g - e * bent, dim=0)) for e in ETAS]
    np.testing.assert_allclose(trace.cosine, cosine, rtol=1e-9)
    np.testing.assert_allclose(trace.beta_smoothness, change / norm, rtol=1e-9)
    assert trace.beta_smoothness <= float(torch.linalg.eigvalsh(hessian)[-1])
    assert not trace.saturated


def test_a_gradient_that_vanishes_saturates_at_one_over_the_smallest_step(as_loss):
    """L = 3 max(0, w): one step to the left of zero, and the gradient is gone."""

    class Ramp(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([0.01], dtype=torch.float64))

        def forward(self, x):
            return 3 * self.w.relu().expand(len(x))

    trace = line_search_probe(Ramp(), torch.zeros(2, 1), torch.zeros(2, 1), step_sizes=ETAS, loss=as_loss)
    assert trace.gradient_norm == 3
    np.testing.assert_array_equal(trace.gradient_distance, 3.0)
    assert np.isnan(trace.cosine).all()
    np.testing.assert_allclose(trace.beta_smoothness, 1 / 0.05, rtol=1e-12)
    assert trace.saturated


def test_smoothness_of_logistic_regression_is_bounded(draw):
    """The gradient's Lipschitz constant is lambda_max(X^T X) / (4 n); near zero, along its eigenvector, it is that."""
    n, p = 40, 5
    x, y = draw(n, p), (draw(n, 1, seed=1) > 0).double()
    values, vectors = torch.linalg.eigh(x.T @ x)
    bound = float(values[-1]) / (4 * n)
    net = nn.Linear(p, 1, bias=False).double()
    for seed in range(50):
        net.weight.data = 3 * draw(1, p, seed=seed)
        trace = line_search_probe(net, x, y, step_sizes=(1e-3, 0.1, 1.0, 30.0), loss="bce")
        assert trace.beta_smoothness <= bound * (1 + 1e-9)
    net.weight.data.zero_()
    along = x @ vectors[:, -1:]
    slope = (along / along.norm() * 1e-3).double()  # targets 1/2 + slope: the gradient lies along the eigenvector
    trace = line_search_probe(net, x, 0.5 + slope, step_sizes=(1e-3,), loss="bce")
    assert trace.beta_smoothness == pytest.approx(bound, rel=1e-6)


def test_gradients_of_logistic_regression_are_lipschitz(draw):
    """A thousand pairs of points, through the gradients that the probe compares."""
    n, p = 40, 5
    x, y = draw(n, p), (draw(n, 1, seed=1) > 0).double()
    bound = float(torch.linalg.eigvalsh(x.T @ x)[-1]) / (4 * n)
    net = nn.Linear(p, 1, bias=False).double()
    points = draw(2000, 1, p, seed=3) * torch.logspace(-3, 1, 2000, dtype=torch.float64)[:, None, None]
    with lent(net, x, y, loss="bce") as lending:
        found = []
        for point in points:
            lending.move({"weight": point})
            found.append(lending.gradient(lending.loss()[0]))
    for u, v, a, b in zip(points[::2], points[1::2], found[::2], found[1::2], strict=True):
        assert float(compare(a, b)[0]) <= bound * float((u - v).norm()) * (1 + 1e-9)


def by_hand(net, x, y, etas):
    """Loss and gradient at w - eta g, from a copy with BatchNorm in training mode and dropout out."""
    net = copy.deepcopy(net).double().train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    params = list(net.parameters())

    def at():
        loss = nn.functional.cross_entropy(net(x.double().clone()), y)
        return loss.item(), torch.cat([g.flatten() for g in torch.autograd.grad(loss, params)])

    start = [p.detach().clone() for p in params]
    loss, g = at()
    pieces = torch.split(g, [p.numel() for p in params])
    rows = []
    for eta in etas:
        for p, w, piece in zip(params, start, pieces, strict=True):
            p.data = w - eta * piece.view_as(w)
        there, other = at()
        rows.append((there, float((g - other).norm()), float(nn.functional.cosine_similarity(g, other, dim=0))))
    return loss, float(g.norm()), np.array(rows).T


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_it_is_what_a_plain_loop_with_batch_statistics_gives(busy, mode):
    """Independent oracle; unlike the running statistics', and the same in either mode of the network."""
    net, x, y = busy
    getattr(net, mode)()
    start, norm, rows = by_hand(net, x, y, ETAS)
    exact = line_search_probe(copy.deepcopy(net).double(), x, y, step_sizes=ETAS[::-1])
    np.testing.assert_allclose([exact.start_loss, exact.gradient_norm], [start, norm], rtol=1e-10)
    np.testing.assert_allclose([exact.loss, exact.gradient_distance, exact.cosine], rows, rtol=1e-9)
    assert exact.step_size.tolist() == list(ETAS)
    single = line_search_probe(net, x, y, step_sizes=ETAS)
    np.testing.assert_allclose(single.loss, rows[0], rtol=1e-4)
    np.testing.assert_allclose(single.gradient_distance, rows[1], rtol=1e-3)
    frozen = nn.functional.cross_entropy(copy.deepcopy(net).eval()(x.clone()), y).item()
    assert abs(single.start_loss - frozen) > 1e-2


def test_a_probe_leaves_no_trace(busy, state_of):
    net, x, y = busy
    net[4].eval()
    net[8].bias.requires_grad_(False)
    x[0, 0, 0, 0] = -1.0
    images, before = x.clone(), state_of(net)
    with torch.inference_mode():
        line_search_probe(net, x, y, step_sizes=ETAS)
    state_of.check(net, before)
    assert torch.equal(x, images)


def test_a_probe_that_fails_leaves_no_trace_either(busy, state_of):
    net, x, y = busy
    before = state_of(net)

    def broken(outputs, targets):
        return outputs.mean()

    with pytest.raises(ObjectiveError, match="one number per example"):
        line_search_probe(net, x, y, step_sizes=ETAS, loss=broken)
    state_of.check(net, before)


def test_a_network_that_writes_into_its_input_sees_the_same_batch_at_every_step():
    """An in-place ReLU comes first: were the batch shared, adding before it would add up."""

    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2).double()

        def forward(self, x):
            return self.linear(x.add_(1))

    net, x, y = Adds(), torch.zeros(4, 3), torch.tensor([0, 1, 0, 1])
    trace = line_search_probe(net, x, y, step_sizes=(1e-12,))
    assert trace.loss[0] == pytest.approx(trace.start_loss, rel=1e-9)
    assert not x.any()


def test_frozen_parameters_are_neither_moved_nor_counted(busy):
    net, x, y = busy
    whole = line_search_probe(net, x, y, step_sizes=ETAS)
    for p in net[0].parameters():
        p.requires_grad_(False)
    part = line_search_probe(net, x, y, step_sizes=ETAS)
    assert 0 < part.gradient_norm < whole.gradient_norm
    for p in net.parameters():
        p.requires_grad_(False)
    with pytest.raises(ObjectiveError, match="no parameter of the network requires a gradient"):
        line_search_probe(net, x, y, step_sizes=ETAS)


def test_a_parameter_that_the_loss_does_not_use_has_a_zero_gradient(draw):
    class Idle(nn.Linear):
        def __init__(self):
            super().__init__(3, 2)
            self.idle = nn.Parameter(torch.ones(2))

    net, x, y = Idle().double(), draw(4, 3), torch.tensor([0, 1, 0, 1])
    with_idle = line_search_probe(net, x, y, step_sizes=ETAS)
    net.idle.requires_grad_(False)
    without = line_search_probe(net, x, y, step_sizes=ETAS)
    np.testing.assert_allclose(with_idle.gradient_distance, without.gradient_distance, rtol=1e-12)


def test_several_inputs_are_arguments(draw):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2).double()

        def forward(self, a, b):
            return self.linear(a - b)

    a, b, y, net = draw(4, 3), draw(4, 3, seed=1), torch.tensor([0, 1, 0, 1]), Two()
    by_name = line_search_probe(net, {"b": b, "a": a}, y, step_sizes=ETAS)
    in_order = line_search_probe(net, (a, b), y, step_sizes=ETAS)
    direct = line_search_probe(net.linear, a - b, y, step_sizes=ETAS)
    np.testing.assert_array_equal(by_name.loss, in_order.loss)
    np.testing.assert_array_equal(by_name.loss, direct.loss)


def test_values_that_are_not_finite_are_kept(quadratic, as_loss):
    net, _, _ = quadratic
    x = torch.zeros(2, 1, dtype=torch.float64)
    trace = line_search_probe(net, x, x, step_sizes=(0.1, 1e200), loss=as_loss)
    assert np.isinf(trace.loss[1])
    assert np.isinf(trace.gradient_distance[1])
    assert np.isfinite([trace.loss[0], trace.gradient_distance[0]]).all()
    assert np.isnan(trace.beta_smoothness)
    assert not trace.saturated


def test_the_recipe_says_what_the_values_depend_on(busy):
    net, x, y = busy
    trace = line_search_probe(net, x, y, step_sizes=ETAS)
    recipe = dict(trace.recipe)
    assert (recipe["bn"], recipe["dropout"], recipe["examples"]) == ("batch", "off", 12)
    assert (recipe["loss"], recipe["precision"], recipe["network"]) == ("cross_entropy", "fp32", "Sequential")
    other = line_search_probe(net, x + 1, y, step_sizes=ETAS).recipe
    assert other["data_hash"] != recipe["data_hash"]
    assert other["model_hash"] == recipe["model_hash"]
    net[1].running_mean.add_(1)  # nothing depends on it
    assert line_search_probe(net, x, y, step_sizes=ETAS).recipe["model_hash"] == recipe["model_hash"]
    net[1].bias.data.add_(1)
    assert line_search_probe(net, x, y, step_sizes=ETAS).recipe["model_hash"] != recipe["model_hash"]


def test_bf16_is_rounded_and_near(busy):
    net, x, y = busy
    exact = line_search_probe(net, x, y, step_sizes=ETAS)
    rounded = line_search_probe(net, x, y, step_sizes=ETAS, precision="bf16")
    assert rounded.recipe["precision"] == "bf16"
    np.testing.assert_allclose(rounded.loss, exact.loss, rtol=0.05)
    assert not np.array_equal(rounded.loss, exact.loss)


@pytest.mark.parametrize(
    ("dtype", "asked", "used"),
    [
        (torch.float32, "fp32", "fp32"),
        (torch.float32, "tf32", "tf32"),
        (torch.float32, "bf16", "bf16"),
        (torch.bfloat16, "fp32", "bf16"),
        (torch.bfloat16, "bf16", "bf16"),
        (torch.float64, "fp32", "fp64"),
        (torch.float64, "bf16", "fp64"),
    ],
)
def test_the_recipe_names_the_arithmetic_that_was_used(draw, dtype, asked, used):
    net = nn.Linear(3, 2).to(dtype)
    trace = line_search_probe(net, draw(4, 3), torch.tensor([0, 1, 0, 1]), step_sizes=ETAS, precision=asked)
    assert trace.recipe["precision"] == used


def test_networks_of_mixed_weights_are_recorded_so(draw):
    class Mixed(nn.Sequential):
        def forward(self, x):
            return self[1](self[0](x).float())

    net = Mixed(nn.Linear(3, 3).bfloat16(), nn.Linear(3, 2))
    trace = line_search_probe(net, draw(4, 3), torch.tensor([0, 1, 0, 1]), step_sizes=ETAS)
    assert trace.recipe["precision"] == "bf16+fp32"


@pytest.mark.parametrize("etas", [(), (0.0,), (-0.1, 0.1), (0.1, 0.1), (float("inf"),), (float("nan"),)])
def test_step_sizes_without_meaning_are_refused(busy, etas):
    net, x, y = busy
    with pytest.raises(UsageError, match="step sizes are numbers above zero"):
        line_search_probe(net, x, y, step_sizes=etas)


def test_a_batch_that_does_not_fit_is_refused(busy):
    net, x, y = busy
    with pytest.raises(LayoutError, match="12 inputs and 11 targets"):
        line_search_probe(net, x, y[:-1], step_sizes=ETAS)
    with pytest.raises(ObjectiveError, match="one value per channel"):
        line_search_probe(net, x[:1], y[:1], step_sizes=ETAS)


def test_public_names():
    assert ls.line_search_probe is line_search_probe
    assert "line_search_probe" in dir(ls)


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_it_is_what_the_cpu_gives(busy):
    net, x, y = busy
    here = line_search_probe(net, x, y, step_sizes=ETAS)
    there = line_search_probe(copy.deepcopy(net).cuda(), x, y, step_sizes=ETAS)
    np.testing.assert_allclose(there.loss, here.loss, rtol=1e-3)
    np.testing.assert_allclose(there.gradient_distance, here.gradient_distance, rtol=1e-2)


@pytest.mark.gpu
@needs_gpu
def test_nothing_waits_for_the_gpu_between_step_sizes(busy):
    net, x, y = busy
    net, x, y = net.cuda(), x.cuda(), y.cuda()
    with lent(net, x, y) as lending:
        walk(lending, ETAS)
        torch.cuda.set_sync_debug_mode("error")
        try:
            walk(lending, ETAS)
        finally:
            torch.cuda.set_sync_debug_mode("default")
