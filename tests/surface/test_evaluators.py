"""Every evaluator, in every BN mode and precision, gives the numbers of the textbook."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import landscape as ls
from landscape.errors import UnknownNameError
from landscape.surface import evaluators
from landscape.surface.evaluators import Planes, batched, graphed, mover
from landscape.surface.evaluators.sequential import narrow_parameters

EVALUATORS = ("sequential", "folded", "batched", "graphed")
MODES = ("frozen", "batch", "recalibrated")
ODD = ls.Grid([-0.6, -0.1, 0.0, 0.4, 0.7], [-0.5, 0.0, 0.3])


def every(pairs, grid, *, seed=None):
    """All cells; with a seed in an order that mixes pairs, rows and columns."""
    cells = [(k, i, j) for k in range(pairs) for j in range(grid.shape[1]) for i in range(grid.shape[0])]
    return cells if seed is None else [cells[k] for k in np.random.default_rng(seed).permutation(len(cells))]


def measured(evaluator, objective, pairs, grid=ODD, *, at_once=4, seed=0):
    """Loss, its error, the paired error and accuracy, shape (pairs, n_alpha, n_beta, 4); cells in a mixed order."""
    cells = every(len(pairs), grid, seed=seed)
    with evaluators.get(evaluator).open(objective, Planes(pairs, grid), at_once) as measure:
        rows = measure(tuple(cells)).numpy()
    assert rows.dtype == np.float64
    found = np.full((len(pairs), *grid.shape, 4), np.nan)
    for cell, row in zip(cells, rows, strict=True):
        found[cell] = row
    return found


def layer_by_layer(net, params, batches, bn):
    """Run an nn.Sequential with BatchNorm written out; one tensor per batch comes back."""
    for index, layer in enumerate(net):
        own = {n.partition(".")[2]: p for n, p in params.items() if n.startswith(f"{index}.")}
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm):
            batches = [torch.func.functional_call(layer, own, (b,)) for b in batches]
            continue
        flat = [b.transpose(0, 1).flatten(1) for b in batches]
        if bn == "frozen":
            statistics = [(layer.running_mean, layer.running_var)] * len(batches)
        elif bn == "batch":
            statistics = [(f.mean(1), ((f - f.mean(1, keepdim=True)) ** 2).mean(1)) for f in flat]
        else:
            whole = torch.cat(flat, dim=1)
            statistics = [(whole.mean(1), ((whole - whole.mean(1, keepdim=True)) ** 2).mean(1))] * len(batches)
        shape = (1, -1, *[1] * (batches[0].ndim - 2))
        batches = [
            (b - mean.view(shape)) / (variance.view(shape) + layer.eps).sqrt() * own["weight"].view(shape)
            + own["bias"].view(shape)
            for b, (mean, variance) in zip(batches, statistics, strict=True)
        ]
    return batches


@pytest.fixture
def textbook(build, data, point):
    """What `measured` must give: plain torch in float64, one cell at a time."""

    @functools.cache
    def compute(name, bn, sizes):
        net, (x, y) = build(name).eval(), data(name)
        center = {n: p.detach() for n, p in net.named_parameters()}

        @torch.no_grad()
        def outputs(params):
            if name == "tied":
                return torch.func.functional_call(net, params, (x,), tie_weights=True)
            return torch.cat(layer_by_layer(net, params, list(x.split(list(sizes))), bn))

        base = cross_entropy(outputs(center), y, reduction="none")
        found = np.empty((2, *ODD.shape, 4))
        for k, i, j in every(2, ODD):
            alpha, beta = float(ODD.alpha[i]), float(ODD.beta[j])
            out = outputs(point(center, ls.random_pairs(net, 2, seed=1)[k], alpha, beta))
            each, root = cross_entropy(out, y, reduction="none"), len(y) ** 0.5
            hits = (out.argmax(1) == y).double().mean()
            found[k, i, j] = [each.mean(), each.std() / root, (each - base).std() / root, hits]
        return found

    return compute


SIZES = {512: (23,), 10: (7, 8, 8), 3: (2, 3, 3, 3, 3, 3, 3, 3)}  # near-equal, the smaller first
CASES = [
    *(("mlp_bn", bn, b) for bn in MODES for b in SIZES),
    *(("conv_bn", bn, b) for bn in MODES for b in (512, 10)),
    *((name, "frozen", 10) for name in ("mlp", "conv", "tied")),
]


@pytest.mark.parametrize(("name", "bn", "batch_size"), CASES)
def test_every_evaluator_gives_the_textbooks_numbers(objective, textbook, name, bn, batch_size):
    """float64: a few roundings. Unequal batches: in frozen and recalibrated the number does not depend on the split."""
    asked = objective(name, bn=bn, batch_size=batch_size)
    pairs = ls.random_pairs(asked.model, 2, seed=1)
    wanted = textbook(name, bn, SIZES[batch_size])
    assert np.abs(np.diff(wanted[..., 0].ravel())).min() > 0, "no two cells alike"
    for evaluator in EVALUATORS:
        if evaluator == "batched" and bn == "recalibrated" and batch_size < 23:
            assert "cell by cell" in evaluators.get("batched").refusal(asked, Planes(pairs, ODD))
            continue
        found = measured(evaluator, asked, pairs)
        np.testing.assert_allclose(found[..., :2], wanted[..., :2], rtol=1e-11, err_msg=evaluator)
        np.testing.assert_allclose(found[..., 2], wanted[..., 2], rtol=1e-9, atol=1e-14, err_msg=evaluator)
        np.testing.assert_array_equal(found[..., 3], wanted[..., 3], err_msg=evaluator)
        if evaluator == "sequential":
            direct = asked(asked.center)
            assert (found[:, 2, 1, 0] == direct.loss).all()
            assert (found[:, 2, 1, 2] == 0).all()
    if bn != "batch":
        np.testing.assert_allclose(wanted, textbook(name, bn, (23,)), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("moves_norms", [False, True])
@pytest.mark.parametrize("batch_size", [512, 10])
def test_folding_recalibrated_statistics_anew_in_every_cell_changes_nothing(build, data, batch_size, moves_norms):
    """Also of layers whose own weights move, and after a cell that diverged; the network comes back bit for bit."""
    x, y = data("conv_bn")
    net = build("conv_bn")
    before = {n: t.clone() for n, t in net.state_dict().items()}
    options = {"bn": "recalibrated", "calibration": 2 * x.flip(0), "batch_size": batch_size, "device": "cpu"}
    asked = ls.Objective(net, x, y, **options)
    pair = ls.random_pair(net, seed=1)
    if moves_norms:
        generator, both = torch.Generator().manual_seed(0), (pair.first, pair.second)
        pair = ls.DirectionPair(
            *({n: d[n] + 0.1 * torch.randn(d[n].shape, generator=generator) for n in d} for d in both)
        )
    far = ls.Grid([-1e308, -0.6, 0.0, 0.4], [-0.5, 0.0, 0.3])
    wanted = measured("sequential", asked, [pair], far, seed=3)
    found = measured("folded", asked, [pair], far, seed=3)
    assert np.isfinite(wanted[0, 1:]).all()
    np.testing.assert_allclose(found[..., :2], wanted[..., :2], rtol=1e-11)
    with evaluators.get("folded").open(asked, Planes([pair], far), 1):
        assert not any(isinstance(m, nn.Identity) for m in net.modules())
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    surface = ls.measure_surface(asked, pair, ODD)
    assert surface.execution["evaluator"] == "folded"
    assert surface.checks["evaluator_error"] < 1e-12


@pytest.mark.parametrize(("precision", "rtol"), [("fp32", 1e-6), ("bf16", 5e-3)])
@pytest.mark.parametrize(
    ("name", "bn"), [*((n, bn) for n in ("mlp_bn", "conv_bn") for bn in MODES), ("mlp", "frozen"), ("conv", "frozen")]
)
def test_every_evaluator_is_close_to_it_in_single_precision(objective, textbook, *, name, bn, precision, rtol):
    batch_size = 23 if bn == "recalibrated" else 10
    asked = objective(name, bn=bn, batch_size=batch_size, dtype=torch.float32, precision=precision)
    pairs = ls.random_pairs(asked.model, 2, seed=1)
    wanted = textbook(name, bn, SIZES[512] if bn == "recalibrated" else SIZES[10])
    for evaluator in EVALUATORS:
        found = measured(evaluator, asked, pairs)
        np.testing.assert_allclose(found[..., 0], wanted[..., 0], rtol=rtol, err_msg=evaluator)
        np.testing.assert_allclose(found[..., 1], wanted[..., 1], rtol=4 * rtol, err_msg=evaluator)


@pytest.mark.parametrize("bn", MODES)
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_a_quadratic_surface_is_exact(evaluator, bn):
    """Linear + mse: L(w + v) = L + g.v + v.H v / 2 with H = 2/(n k) I (x) X^T X; nine examples as 9, 4 + 5, 3 x 3."""
    generator = torch.Generator().manual_seed(0)
    n, p, k = 9, 4, 3
    x, y = (torch.randn(n, d, generator=generator, dtype=torch.float64) for d in (p, k))
    net = nn.Linear(p, k, bias=False).double()
    with torch.no_grad():
        net.weight.copy_(torch.randn(k, p, generator=generator, dtype=torch.float64))
    pair, grid = ls.random_pair(net, seed=2), ls.Grid(np.linspace(-1, 1, 6), np.linspace(-2, 2, 5))
    w, d, e = (t.detach().numpy() for t in (net.weight, pair.first["weight"], pair.second["weight"]))
    a, b = np.meshgrid(grid.alpha, grid.beta, indexing="ij")
    v = a[..., None, None] * d + b[..., None, None] * e
    residual = x.numpy() @ w.T - y.numpy()
    gradient, hessian = 2 / (n * k) * residual.T @ x.numpy(), 2 / (n * k) * x.numpy().T @ x.numpy()
    wanted = (residual**2).mean() + (gradient * v).sum((-1, -2))
    wanted += np.einsum("...ap,pq,...aq", v, hessian, v) / 2
    for batch_size in (9, 5, 4):
        objective = ls.Objective(net, x, y, loss="mse", bn=bn, batch_size=batch_size, device="cpu")
        np.testing.assert_allclose(measured(evaluator, objective, [pair], grid)[0, ..., 0], wanted, rtol=1e-12)
    single = ls.Objective(nn.Linear(p, k, bias=False), x, y, loss="mse", bn=bn, device="cpu")
    single.model.load_state_dict(net.state_dict())
    np.testing.assert_allclose(measured(evaluator, single, [pair], grid)[0, ..., 0], wanted, rtol=1e-5)


class _Scalars(nn.Module):
    """L = a + 10 b, out of two layers of one parameter each."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)

    def forward(self, x):
        return self.a(x) + 10 * self.b(x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("evaluator", EVALUATORS)
@pytest.mark.parametrize("bn", MODES)
def test_axes_are_alpha_then_beta(evaluator, bn, dtype):
    net = _Scalars().to(dtype)
    nn.init.zeros_(net.a.weight)
    nn.init.zeros_(net.b.weight)
    one, zero = torch.ones(1, 1, dtype=dtype), torch.zeros(1, 1, dtype=dtype)
    pair = ls.DirectionPair({"a.weight": one, "b.weight": zero}, {"a.weight": zero, "b.weight": one})
    other = ls.DirectionPair(pair.second, pair.first)
    objective = ls.Objective(net, one, zero[0], loss=lambda outputs, targets: outputs[:, 0], bn=bn, device="cpu")
    grid = ls.Grid(np.arange(-2.0, 3.0), np.arange(-3.0, 4.0))
    found = measured(evaluator, objective, [pair, other], grid)[..., 0]
    a, b = np.meshgrid(grid.alpha, grid.beta, indexing="ij")
    np.testing.assert_array_equal(found, [a + 10 * b, b + 10 * a])  # small integers: exact


@pytest.mark.parametrize("evaluator", EVALUATORS)
@pytest.mark.parametrize("bn", MODES)
def test_no_cell_depends_on_the_cells_before(objective, evaluator, bn):
    """In another order, alone, or twice: one at a time they are the same bits; several at once within rounding."""
    asked = objective("conv_bn", bn=bn, dtype=torch.float32)
    pairs = ls.random_pairs(asked.model, 2)
    wanted = measured(evaluator, asked, pairs, seed=None)
    rtol = 1e-6 if evaluator == "batched" else 0
    for seed in (1, 2):
        np.testing.assert_allclose(measured(evaluator, asked, pairs, seed=seed), wanted, rtol=rtol, atol=rtol)
    with evaluators.get(evaluator).open(asked, Planes(pairs, ODD), 4) as measure:
        for cell in [(1, 4, 2), (0, 0, 0), (0, 0, 0), (1, 0, 2), (1, 2, 1)]:
            np.testing.assert_allclose(measure((cell,)).numpy()[0], wanted[cell], rtol=rtol, atol=rtol)


@pytest.mark.parametrize("at_once", [1, 2, 7, 64])
def test_several_at_once_are_as_many_as_asked_for(objective, at_once, monkeypatch):
    asked = objective("mlp_bn")
    pairs, sizes = ls.random_pairs(asked.model, 2), []
    at = batched._Points.at

    def noted(self, pair, multipliers):
        sizes.append(len(multipliers))
        return at(self, pair, multipliers)

    monkeypatch.setattr(batched._Points, "at", noted)
    found = measured("batched", asked, pairs, at_once=at_once)
    assert max(sizes) == min(at_once, 15)
    assert sum(sizes) == 30
    np.testing.assert_allclose(found, measured("sequential", asked, pairs), rtol=1e-9, atol=1e-14)


def test_a_block_longer_than_the_tape_is_played_in_pieces(objective, monkeypatch):
    asked = objective("mlp_bn")
    pairs = ls.random_pairs(asked.model, 2)
    wanted = measured("graphed", asked, pairs)
    monkeypatch.setattr(graphed, "_LONGEST", 4)
    np.testing.assert_array_equal(measured("graphed", asked, pairs, seed=None), wanted)


def test_a_graph_is_for_cuda_and_nothing_that_moves_is_no_reason_for_one(objective):
    asked = objective("mlp_bn")
    pair = ls.random_pair(asked.model)
    assert "CUDA" in evaluators.get("graphed").refusal(asked, Planes([pair], ODD))
    still = ls.DirectionPair(*({n: torch.zeros_like(d) for n, d in pair.first.items()} for _ in range(2)))
    assert Planes([pair], ODD).moving == [n for n in asked.center if asked.center[n].ndim > 1]
    assert Planes([still, pair], ODD).moving == Planes([pair], ODD).moving
    assert Planes([still], ODD).moving == []
    assert evaluators.get("batched").refusal(asked, Planes([still], ODD)) == "nothing moves"
    surface = ls.measure_surface(asked, still, ODD)
    np.testing.assert_allclose(surface.loss, asked(asked.center).loss, rtol=1e-12)


@pytest.mark.parametrize("evaluator", EVALUATORS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_directions_may_move_biases_and_batchnorm(objective, point, evaluator, precision):
    """A pair of one's own: biases move where layers are folded, and layers that move are not folded."""
    asked = objective("conv_bn", dtype=torch.float32, precision=precision)
    exact = objective("conv_bn")
    center = exact.center
    generator = torch.Generator().manual_seed(0)
    first, second = (
        {n: 0.2 * torch.randn(w.shape, generator=generator, dtype=w.dtype) for n, w in center.items()} for _ in "ab"
    )
    norms = {"1.weight", "1.bias", "4.weight", "4.bias"}
    for still in (norms, norms - {"4.weight"}, set()):  # both layers can be folded, the first, none
        sides = ({n: torch.zeros_like(d) if n in still else d for n, d in s.items()} for s in (first, second))
        pair = ls.DirectionPair(*sides)
        found = measured(evaluator, asked, [pair])[0, ..., 0]
        for i, j in [(0, 0), (2, 1), (4, 2), (1, 2)]:
            wanted = exact(point(center, pair, float(ODD.alpha[i]), float(ODD.beta[j]))).loss
            assert found[i, j] == pytest.approx(wanted, rel=2e-6 if precision == "fp32" else 2e-2)


@pytest.mark.parametrize("name", ["mlp", "mlp_dropout", "conv", "tied"])
@pytest.mark.parametrize("evaluator", EVALUATORS)
@pytest.mark.parametrize("batch_size", [512, 9])
def test_without_batchnorm_the_modes_agree_in_every_evaluator(objective, name, evaluator, batch_size):
    """Bit for bit: there is nothing that a mode could change."""
    frozen, *others = (objective(name, bn=bn, batch_size=batch_size) for bn in MODES)
    pairs = ls.random_pairs(frozen.model, 2)
    wanted = measured(evaluator, frozen, pairs)
    for other in others:
        if not evaluators.get(evaluator).refusal(other, Planes(pairs, ODD)).startswith("recalibrated"):
            np.testing.assert_array_equal(measured(evaluator, other, pairs), wanted)


@pytest.mark.parametrize("name", ["mlp_bn", "conv_bn"])
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_recalibrated_on_its_own_batch_is_the_batch_mode_in_every_evaluator(objective, evaluator, name):
    batch, recalibrated = (objective(name, bn=bn) for bn in ("batch", "recalibrated"))
    pairs, before = ls.random_pairs(batch.model, 2), {n: b.clone() for n, b in recalibrated.model.named_buffers()}
    found = measured(evaluator, recalibrated, pairs)
    np.testing.assert_allclose(found, measured(evaluator, batch, pairs), rtol=1e-10, atol=1e-14)
    for buffer, tensor in recalibrated.model.named_buffers():
        assert torch.equal(tensor, before[buffer]), buffer


class _TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(6, 3), nn.BatchNorm1d(3), nn.Linear(2, 3)

    def forward(self, x, z):
        return self.norm(self.a(x)) - 2 * self.b(z)


@pytest.mark.parametrize("kind", [tuple, list, dict])
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_inputs_of_several_tensors(data, evaluator, kind):
    x, y = data()
    z, net = x[:, :2].flip(0), _TwoInputs().double()
    inputs = {"z": z, "x": x} if kind is dict else kind((x, z))
    objective = ls.Objective(net, inputs, y, batch_size=10, device="cpu")
    pairs = [ls.random_pair(net)]
    found = measured(evaluator, objective, pairs)
    np.testing.assert_allclose(found, measured("sequential", objective, pairs), rtol=1e-9, atol=1e-14)
    with torch.no_grad():
        assert found[0, 2, 1, 0] == pytest.approx(float(cross_entropy(net.eval()(x, z), y)), rel=1e-12)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_targets_without_classes_have_no_accuracy_and_one_example_no_error(build, data, evaluator):
    x, _ = data()
    net = build("mlp_bn")
    values = ls.Objective(net, x, torch.zeros(23, 3), loss="mse", batch_size=10, device="cpu")
    found = measured(evaluator, values, [ls.random_pair(net)])
    assert np.isnan(found[..., 3]).all()
    assert np.isfinite(found[..., :3]).all()
    one = ls.Objective(net, x[:1], torch.tensor([1]), device="cpu")
    found = measured(evaluator, one, [ls.random_pair(net)])
    assert np.isnan(found[..., 1:3]).all()
    assert np.isfinite(found[..., 0]).all()


def kinds(values):
    return np.select([np.isnan(values), np.isposinf(values), np.isneginf(values)], [1, 2, 3], default=0)


@pytest.mark.parametrize("bn", MODES)
def test_what_is_not_finite_is_the_same_kind_in_every_evaluator(bn):
    """log of the output: minus infinity at zero, NaN below; 1e308 overflows to both infinities."""
    net = nn.Sequential(nn.Linear(1, 2, bias=False), nn.BatchNorm1d(2), nn.Linear(2, 1, bias=False)).double()
    nn.init.uniform_(net[1].running_mean, 0.5, 1)
    nn.init.zeros_(net[2].weight)
    first = {n: torch.zeros_like(p) for n, p in net.named_parameters()}
    second = {n: d.clone() for n, d in first.items()}
    first["2.weight"][0, 0] = 1.0
    second["0.weight"].fill_(1e308)
    pair = ls.DirectionPair(first, second)
    grid = ls.Grid([-1.0, 0.0, 1.0], [-10.0, 0.0, 1.0])
    x, y = torch.linspace(1, 2, 5).double()[:, None], torch.zeros(5)
    losses = (lambda o, t: torch.log(o[:, 0]), lambda o, t: o[:, 0])
    for loss in losses:
        objective = ls.Objective(net, x, y, loss=loss, bn=bn, device="cpu")
        wanted = measured("sequential", objective, [pair], grid)
        assert len(set(kinds(wanted[..., 0]).ravel())) > 1
        for evaluator in EVALUATORS[1:]:
            found = measured(evaluator, objective, [pair], grid)
            np.testing.assert_array_equal(kinds(found[..., 0]), kinds(wanted[..., 0]), err_msg=evaluator)


@pytest.mark.parametrize("name", ["mlp", "conv"])
@pytest.mark.parametrize("chunk", [1 << 17, 7])
def test_weights_kept_rounded_are_what_autocast_rounds_bit_for_bit(objective, point, monkeypatch, name, chunk):
    """Without BatchNorm nothing else is rewritten; the cells are also those of a direct evaluation at the point."""
    monkeypatch.setattr(mover, "_CHUNK", chunk)
    asked = objective(name, dtype=torch.float32, precision="bf16")
    pairs = ls.random_pairs(asked.model, 2)
    plain = measured("sequential", asked, pairs)
    np.testing.assert_array_equal(measured("folded", asked, pairs), plain)
    np.testing.assert_allclose(measured("graphed", asked, pairs)[..., 0], plain[..., 0], rtol=5e-3)
    for k, i, j in [(0, 0, 0), (1, 4, 2), (0, 3, 1), (1, 2, 1)]:
        at = point(asked.center, pairs[k], float(ODD.alpha[i]), float(ODD.beta[j]))
        assert plain[k, i, j, 0] == asked(at).loss
    double = objective(name)
    exact = measured("sequential", double, ls.random_pairs(double.model, 2))
    assert np.abs(plain[..., 0] / exact[..., 0] - 1).max() > 1e-5


def test_what_else_reads_a_weight_keeps_it_from_being_rounded():
    """A weight that an embedding shares, biases, a convolution of another type, a float64 weight stay as they are."""

    class Other(nn.Conv2d):
        pass

    layers = nn.Embedding(5, 4), nn.Linear(4, 5), nn.Conv2d(2, 3, 3), Other(2, 3, 3), nn.Linear(2, 2).double()
    net = nn.Sequential(*layers)
    assert narrow_parameters(net) == ["1.weight", "2.weight"]
    net[1].weight = net[0].weight
    assert narrow_parameters(net) == ["2.weight"]


def test_an_unknown_evaluator_is_answered_with_the_closest():
    with pytest.raises(UnknownNameError, match=r"no evaluator named 'folde'\. Did you mean 'folded'\?"):
        evaluators.get("folde")
