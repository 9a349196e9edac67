"""Cells of a plane: closed forms, one independent evaluation per cell, axes that cannot be swapped."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import landscape as ls
from landscape.errors import LayoutError, UsageError
from landscape.surface.evaluators import Mover

ODD = ls.Grid([-0.7, -0.1, 0.0, 0.4, 1.1], [-1.0, 0.0, 0.3])  # neither square nor even nor symmetric


class _Scalars(nn.Module):
    """L = a + 10 b, out of two layers of one parameter each."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)

    def forward(self, x):
        return self.a(x) + 10 * self.b(x)


def test_axes_are_alpha_then_beta():
    """L = a + 10 b on 5 x 7 cells, from directions made by hand: transposed, shifted or snaked cells cannot pass."""
    net = _Scalars().double()
    nn.init.zeros_(net.a.weight)
    nn.init.zeros_(net.b.weight)
    one, zero = torch.ones(1, 1).double(), torch.zeros(1, 1).double()
    pair = ls.DirectionPair({"a.weight": one, "b.weight": zero}, {"a.weight": zero, "b.weight": one})
    other = ls.DirectionPair(pair.second, pair.first)
    objective = ls.Objective(net, one, zero[0], loss=lambda outputs, targets: outputs[:, 0], device="cpu")
    grid = ls.Grid(np.arange(-2.0, 3.0), np.arange(-3.0, 4.0))
    surface = ls.measure_surface(objective, [pair, other], grid)
    assert surface.loss.shape == (2, 5, 7)
    a, b = np.meshgrid(grid.alpha, grid.beta, indexing="ij")
    np.testing.assert_array_equal(surface.loss[0], a + 10 * b)  # small integers: exact
    np.testing.assert_array_equal(surface.loss[1], b + 10 * a)
    assert surface.done.all()
    assert surface.measured.all()


@pytest.mark.parametrize("name", ["mlp", "mlp_bn", "conv", "conv_bn", "tied"])
def test_every_cell_equals_an_independent_evaluation(build, data, objective, point, name):
    """By `functional_call` in plain torch. rtol: the layouts of the weights differ, a few roundings in float64."""
    asked = objective(name, batch_size=10)
    pairs = ls.random_pairs(asked.model, 2, seed=1)
    surface = ls.measure_surface(asked, pairs, ODD)
    net, (x, y) = build(name).eval(), data(name)
    center = {n: p.detach() for n, p in net.named_parameters()}
    with torch.no_grad():
        base = cross_entropy(net(x), y, reduction="none")
    for k, pair in enumerate(pairs):
        for i, alpha in enumerate(ODD.alpha):
            for j, beta in enumerate(ODD.beta):
                params = point(center, pair, float(alpha), float(beta))
                with torch.no_grad():
                    outputs = torch.func.functional_call(net, params, (x,), tie_weights=True)
                    losses = cross_entropy(outputs, y, reduction="none")
                cell = [getattr(surface, v)[k, i, j] for v in ("loss", "loss_sem", "delta_sem", "accuracy")]
                n = len(x)
                wanted = [
                    losses.mean(),
                    losses.numpy().std(ddof=1) / n**0.5,
                    (losses - base).numpy().std(ddof=1) / n**0.5,
                    (outputs.argmax(1) == y).double().mean(),
                ]
                np.testing.assert_allclose(cell, wanted, rtol=1e-11, atol=1e-14)
    assert surface.center.loss == pytest.approx(float(base.mean()), rel=1e-13)


def test_quadratic_surface_is_exact():
    """Linear + mse (mean over classes and examples): L(w + v) = L + g.v + v.H v / 2 with H = 2/(n k) I (x) X^T X."""
    generator = torch.Generator().manual_seed(0)
    n, p, k = 9, 4, 3
    x, y = (torch.randn(n, d, generator=generator, dtype=torch.float64) for d in (p, k))
    net = nn.Linear(p, k, bias=False).double()
    with torch.no_grad():
        net.weight.copy_(torch.randn(k, p, generator=generator, dtype=torch.float64))
    pair = ls.random_pair(net, seed=2)
    grid = ls.Grid(np.linspace(-1, 1, 6), np.linspace(-2, 2, 5))
    surface = ls.measure_surface(ls.Objective(net, x, y, loss="mse", batch_size=4, device="cpu"), pair, grid)
    w, d, e = (t.detach().numpy() for t in (net.weight, pair.first["weight"], pair.second["weight"]))
    x, y = x.numpy(), y.numpy()
    residual = x @ w.T - y
    gradient = 2 / (n * k) * residual.T @ x
    hessian = 2 / (n * k) * x.T @ x
    for i, alpha in enumerate(grid.alpha):
        for j, beta in enumerate(grid.beta):
            v = alpha * d + beta * e
            wanted = (residual**2).mean() + (gradient * v).sum() + np.einsum("ap,pq,aq", v, hessian, v) / 2
            assert surface.loss[0, i, j] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("bn", ["frozen", "batch", "recalibrated"])
@pytest.mark.parametrize("name", ["mlp_bn", "conv_bn", "conv", "tied"])
def test_the_center_cell_is_a_direct_evaluation_bit_for_bit(objective, name, bn, dtype):
    asked = objective(name, bn=bn, batch_size=10, dtype=dtype)
    direct = asked(asked.center)
    surface = ls.measure_surface(asked, ls.random_pairs(asked.model, 2), ODD, evaluator="sequential")
    for k in range(2):
        assert surface.loss[k, 2, 1] == direct.loss == surface.center.loss
        assert surface.loss_sem[k, 2, 1] == direct.loss_sem
        assert surface.accuracy[k, 2, 1] == direct.accuracy
        assert surface.delta_sem[k, 2, 1] == 0  # the same examples, the same losses
    assert surface.checks["ok"]
    assert direct.examples == surface.center.examples == 23


def test_weights_laid_out_otherwise_have_an_exact_center_too(data):
    """A transposed weight keeps its strides while it moves: another layout could be another rounding."""

    class Transposed(nn.Module):
        def __init__(self):
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.w = nn.Parameter(torch.randn(6, 33, generator=generator).t())
            self.v = nn.Parameter(torch.randn(3, 33, 2, 3, generator=generator).permute(1, 3, 2, 0))

        def forward(self, x):
            return torch.einsum("nh,hijc->nc", torch.tanh(x @ self.w.t()), self.v)

    net = Transposed()
    x, y = data(dtype=torch.float32)
    objective = ls.Objective(net, x, y, device="cpu")
    pair = ls.random_pair(net)
    surface = ls.measure_surface(objective, pair, ODD, evaluator="sequential")
    assert surface.loss[0, 2, 1] == objective(objective.center).loss
    center = objective.center
    for lean in (True, False):
        with objective.session() as session:
            Mover(session, center, [pair], list(center), lean=lean).move(0, 0.5, -1.0)
            assert [p.stride() for p in session.model.parameters()] == [p.stride() for p in net.parameters()]
            for name, p in session.model.named_parameters():
                wanted = center[name] - pair.second[name] + 0.5 * pair.first[name]
                torch.testing.assert_close(p, wanted, rtol=1e-5, atol=1e-6)
        assert net.w.stride() == (1, 33)


def test_a_line_has_one_beta_and_a_zero_second_direction(objective):
    asked = objective("conv")
    plane = ls.random_pair(asked.model)
    line = ls.DirectionPair(plane.first, {n: torch.zeros_like(d) for n, d in plane.second.items()})
    axis = np.linspace(-1, 1, 7)
    measure = functools.partial(ls.measure_surface, evaluator="sequential")
    along = measure(asked, line, ls.Grid(axis, [0.0]))
    assert along.loss.shape == (1, 7, 1)
    assert along.checks["ok"]
    across = measure(asked, line, ls.Grid(axis, [-1.0, 0.0, 2.0]))
    for j in range(3):
        np.testing.assert_array_equal(across.loss[0, :, j], along.loss[0, :, 0])
    # on the plane, the row beta = 0 is the same line
    np.testing.assert_array_equal(measure(asked, plane, ls.Grid(axis, [0.0])).loss, along.loss)


def test_an_even_number_of_points_has_no_center_cell(objective):
    asked = objective()
    grid = ls.Grid.square(0.5, 4)
    assert grid.center is None
    surface = ls.measure_surface(asked, ls.random_pair(asked.model), grid)
    assert surface.center.loss == asked(asked.center).loss
    assert surface.checks["center_error"] == 0
    assert surface.done.all()
    assert not (surface.loss == surface.center.loss).any()


def test_mirrored_directions_mirror_the_surface(objective):
    """L(a, b) of (d, e) is L(-a, b) of (-d, e): the sign of a product rounds alike, so bit for bit."""
    asked = objective("mlp")
    pair = ls.random_pair(asked.model)
    mirrored = ls.DirectionPair({n: -d for n, d in pair.first.items()}, pair.second)
    grid = ls.Grid.square(1, 5)
    one, other = (ls.measure_surface(asked, p, grid, evaluator="sequential") for p in (pair, mirrored))
    np.testing.assert_array_equal(one.loss, other.loss[:, ::-1])
    assert not np.array_equal(one.loss, other.loss)


def test_one_pair_is_a_list_of_one(objective):
    asked = objective()
    pair = ls.random_pair(asked.model)
    grid = ls.Grid.square(1, 3)
    np.testing.assert_array_equal(
        ls.measure_surface(asked, pair, grid).loss, ls.measure_surface(asked, [pair], grid).loss
    )


def test_directions_of_another_precision_are_cast(objective):
    asked = objective(dtype=torch.float32)
    pair = ls.random_pair(asked.model)
    double = ls.DirectionPair(*({n: d.double() for n, d in side.items()} for side in (pair.first, pair.second)))
    grid = ls.Grid.square(1, 3)
    np.testing.assert_array_equal(
        ls.measure_surface(asked, pair, grid).loss, ls.measure_surface(asked, double, grid).loss
    )


def test_planes_that_cannot_be_are_refused_before_a_pass(objective):
    asked = objective()
    asked.model.forward = lambda x: pytest.fail("a pass before the check")
    grid, pair = ls.Grid.square(1, 3), ls.random_pair(asked.model)
    with pytest.raises(UsageError, match="at least one direction pair"):
        ls.measure_surface(asked, [], grid)
    with pytest.raises(LayoutError, match=r"'0.weight'"):
        ls.measure_surface(asked, ls.random_pair(nn.Sequential(nn.Linear(2, 2))), grid)
    with pytest.raises(UsageError, match="'sparse'"):
        ls.measure_surface(asked, pair, grid, sampling="sparse")
    with pytest.raises(UsageError, match=r"'seril'.*'serial'"):
        ls.measure_surface(asked, pair, grid, engine="seril")
