"""What an objective takes and gives: inputs, losses, errors, accuracy, batches, precision, recipe."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import landscape as ls
from landscape.errors import LandscapeError, LayoutError, ObjectiveError, ShapeError, UnknownNameError, UsageError


def absolute(outputs, targets):
    return (outputs - targets).abs().mean(dim=1)


def squared(outputs, targets):
    return (outputs - targets).square().mean(dim=1)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 3), nn.Linear(2, 3)

    def forward(self, x, *, z=None, y=None):
        return self.a(x) - 2 * self.b(y if z is None else z)


class TwoPositions(TwoInputs):
    def forward(self, x, z):
        return super().forward(x, z=z)


@pytest.mark.parametrize("batch_size", [512, 7, 1])
def test_measurement_is_that_of_numpy(build, data, batch_size):
    x, y = data()
    objective = ls.Objective(build("mlp"), x, y, batch_size=batch_size, device="cpu")
    found = objective(objective.center)
    with torch.no_grad():
        outputs = build("mlp").eval()(x)
    each = cross_entropy(outputs, y, reduction="none").numpy()
    assert found.loss == pytest.approx(each.mean(), rel=1e-14)
    assert found.loss_sem == pytest.approx(each.std(ddof=1) / np.sqrt(23), rel=1e-13)
    assert found.accuracy == (outputs.argmax(1) == y).double().mean()
    assert found.examples == 23


def test_one_example_has_no_error():
    net = nn.Linear(2, 3).double()
    objective = ls.Objective(net, torch.ones(1, 2), torch.tensor([1]), device="cpu")
    found = objective(objective.center)
    assert np.isfinite(found.loss)
    assert np.isnan(found.loss_sem)


@pytest.mark.parametrize(
    ("n", "batch_size", "wanted"), [(23, 10, {7, 8}), (24, 10, {8}), (23, 23, {23}), (5, 2, {1, 2})]
)
def test_batches_are_near_equal_and_keep_the_order(build, data, n, batch_size, wanted):
    x, y = data(n=n)
    seen = []
    net = build("mlp")
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    objective = ls.Objective(net, x, y, batch_size=batch_size, device="cpu")
    objective(objective.center)
    assert {len(s) for s in seen} == wanted
    assert len(seen) == -(-n // batch_size)
    assert torch.equal(torch.cat(seen), x)


def test_parameters_given_are_the_ones_measured(build, data):
    objective = ls.Objective(build("mlp"), *data(), device="cpu")
    other = build("mlp", seed=5)
    wanted = ls.Objective(other, *data(), device="cpu")
    assert objective(dict(other.named_parameters())).loss == wanted(wanted.center).loss
    assert objective(objective.center).loss != wanted(wanted.center).loss
    with pytest.raises(LayoutError, match=r"the point has no tensor '0.weight'"):
        objective({})
    with pytest.raises(LayoutError, match=r"the point has shape \(3,\) at '0.bias'"):
        objective(objective.center | {"0.bias": torch.zeros(3)})


@pytest.mark.parametrize("kind", ["tuple", "list", "dict"])
def test_tuples_go_in_by_position_and_mappings_by_name(data, kind):
    x, y = data()
    z = x[:, :2].flip(0)
    net = (TwoInputs() if kind == "dict" else TwoPositions()).double()
    inputs = {"tuple": (x, z), "list": [x, z], "dict": {"x": x, "z": z}}[kind]
    objective = ls.Objective(net, inputs, y, batch_size=10, device="cpu")
    with torch.no_grad():
        wanted = cross_entropy(net.a(x) - 2 * net.b(z), y)
    assert objective(objective.center).loss == pytest.approx(float(wanted), rel=1e-13)
    if kind == "dict":  # by name, not by position
        other = ls.Objective(net, {"x": x, "y": z}, y, device="cpu")
        assert other(other.center).loss == pytest.approx(float(wanted), rel=1e-13)
        assert other.recipe["data_hash"] != objective.recipe["data_hash"]
    surface = ls.measure_surface(objective, ls.random_pair(net), ls.Grid.square(1, 3), evaluator="sequential")
    assert surface.loss[0, 1, 1] == surface.center.loss == objective(objective.center).loss


def test_integer_inputs_stay_integers():
    net = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 3)).double()
    tokens = torch.randint(0, 5, (9, 2), generator=torch.Generator().manual_seed(0))
    y = torch.zeros(9, dtype=torch.int64)
    objective = ls.Objective(net, tokens, y, device="cpu")
    with torch.no_grad():
        assert objective(objective.center).loss == pytest.approx(float(cross_entropy(net(tokens), y)), rel=1e-14)


def test_accuracy_is_for_int64_classes_only(build, data):
    x, y = data()
    hot = nn.functional.one_hot(y, 3).double()
    for targets, loss in (
        (hot, "mse"),
        (hot, "bce"),
        (hot, "cross_entropy"),
        (y.double()[:, None].expand(-1, 3), squared),
    ):
        objective = ls.Objective(build("mlp"), x, targets, loss=loss, device="cpu")
        assert np.isnan(objective(objective.center).accuracy), loss
        surface = ls.measure_surface(objective, ls.random_pair(objective.model), ls.Grid.square(1, 3))
        assert np.isnan(surface.accuracy).all()
        assert np.isfinite(surface.loss).all()
    for loss in ("mse", "bce", "cross_entropy"):
        objective = ls.Objective(build("mlp"), x, y, loss=loss, device="cpu")
        with torch.no_grad():
            wanted = (build("mlp")(x).argmax(1) == y).double().mean()
        assert objective(objective.center).accuracy == wanted
    # soft targets that are one-hot, and classes, are the same loss
    soft, hard = (ls.Objective(build("mlp"), x, t, device="cpu") for t in (hot, y))
    assert soft(soft.center).loss == pytest.approx(hard(hard.center).loss, rel=1e-14)


def test_an_example_with_nan_outputs_is_not_correct(build, data):
    x, y = data()
    x[3:6] = torch.nan
    y[3:6] = torch.arange(3)  # whatever class argmax makes of NaN, one target is it
    objective = ls.Objective(build("mlp"), x, y, device="cpu")
    found = objective(objective.center)
    assert np.isnan(found.loss)
    keep = [i for i in range(23) if i not in {3, 4, 5}]
    with torch.no_grad():
        hits = (build("mlp")(x[keep]).argmax(1) == y[keep]).sum()
    assert found.accuracy == pytest.approx(float(hits) / 23)


def test_callable_losses_are_recorded_by_name_and_get_the_outputs_as_they_are(build, data):
    x, _ = data(dtype=torch.float32)
    net, targets, seen = build("mlp", dtype=torch.float32), torch.zeros(23, 3), []

    def loss(outputs, wanted):
        seen.append((outputs.dtype, wanted.dtype))
        return absolute(outputs, wanted)

    objective = ls.Objective(net, x, targets, loss=loss, device="cpu")
    with torch.no_grad():
        assert objective(objective.center).loss == pytest.approx(float(net(x).abs().mean()), rel=1e-6)
    assert seen == [(torch.float32, torch.float32)]
    assert objective.recipe["loss"].endswith("as_they_are.<locals>.loss")
    assert ls.Objective(net, x, targets, loss=absolute, device="cpu").recipe["loss"] == f"{__name__}:absolute"
    assert ls.Objective(net, x, targets, loss="mse", device="cpu").recipe["loss"] == "mse"


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (cross_entropy, r"shape \(\)"),
        (lambda o, t: o, r"shape \(23, 3\)"),
        (lambda o, t: o[:, :1], r"shape \(23, 1\)"),
        (lambda o, t: o[1:, 0], r"shape \(22,\)"),
        (lambda o, t: float(cross_entropy(o, t)), "a float"),
        (lambda o, t: o[:, 0].tolist(), "a list"),
    ],
)
def test_a_loss_that_is_not_one_number_per_example_is_refused(build, data, loss, found):
    objective = ls.Objective(build("mlp"), *data(), loss=loss, device="cpu")
    with pytest.raises(ObjectiveError, match=rf"{found} for 23 examples.*reduction='none'"):
        objective(objective.center)


def test_named_losses_keep_tiny_losses_of_single_precision():
    """A confident network: in float32 log-softmax rounds 1e-9 to zero; the loss is computed in float64."""
    net = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[20.0], [0.0]]))
    objective = ls.Objective(net, torch.ones(4, 1), torch.zeros(4, dtype=torch.int64), device="cpu")
    assert objective(objective.center).loss == pytest.approx(np.log1p(np.exp(-20.0)), rel=1e-6)


def test_a_double_network_stays_double_and_inputs_follow_it(build, data):
    x, y = data(dtype=torch.float32)
    objective = ls.Objective(build("mlp"), x, y, precision="bf16", device="cpu")
    assert objective.recipe["precision"] == "fp64"
    with torch.no_grad():
        wanted = cross_entropy(build("mlp")(x.double()), y)
    assert objective(objective.center).loss == pytest.approx(float(wanted), rel=1e-13)
    assert next(objective.model.parameters()).dtype == torch.float64


def test_precision_is_a_choice_that_shows(build, data):
    x, y = data(dtype=torch.float32)
    values, recipes = [], []
    for precision in ("fp32", "bf16"):
        objective = ls.Objective(build("mlp", dtype=torch.float32), x, y, precision=precision, device="cpu")
        with torch.autocast("cpu", dtype=torch.bfloat16):  # the caller's own must not matter
            values.append(objective(objective.center).loss)
        recipes.append(objective.recipe["precision"])
    double = ls.Objective(build("mlp", dtype=torch.float32).double(), x, y, device="cpu")
    exact = double(double.center).loss
    assert abs(values[0] / exact - 1) < 1e-6
    assert 1e-6 < abs(values[1] / exact - 1) < 0.05  # eight bits of mantissa
    assert recipes == ["fp32", "bf16"]


def test_not_finite_losses_are_measurements(build, data):
    """sqrt of a negative number is NaN, log of zero infinite: kept as they are, and done."""
    net = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(net.weight)
    one = torch.ones(1, 1).double()
    pair = ls.DirectionPair({"weight": one}, {"weight": 0 * one})
    grid = ls.Grid([-1.0, 0.0, 1.0], [0.0])
    x, y = torch.ones(3, 1), torch.zeros(3)
    for loss, wanted in (
        (lambda o, t: torch.log(o[:, 0]), [np.nan, -np.inf, 0]),
        (lambda o, t: 1 / o[:, 0], [-1, np.inf, 1]),
    ):
        surface = ls.measure_surface(ls.Objective(net, x, y, loss=loss, device="cpu"), pair, grid)
        np.testing.assert_array_equal(surface.loss[0, :, 0], wanted)
        assert surface.done.all()
        assert surface.measured.all()
        assert np.isnan(surface.delta_sem).all()  # the difference from an infinite center is not a number


def test_the_recipe_names_what_a_value_depends_on(build, data):
    x, y = data()

    def recipe(name="mlp_bn", *, seed=0, inputs=x, targets=y, **options):
        return ls.Objective(build(name, seed=seed), inputs, targets, device="cpu", **options).recipe

    base = recipe()
    assert recipe() == base
    assert recipe(batch_size=5) == base  # frozen: a batch size changes roundings only
    moved = build("mlp_bn")
    moved[1].running_mean.add_(1e-9)
    other = {
        "weights": recipe(seed=1),
        "buffers": ls.Objective(moved, x, y, device="cpu").recipe,
        "inputs": recipe(inputs=x.flip(0)),
        "targets": recipe(targets=y.flip(0)),
        "loss": recipe(loss="mse"),
        "bn": recipe(bn="batch"),
        "batches": recipe(bn="batch", batch_size=5),
        "calibration": recipe(bn="recalibrated"),
        "calibration set": recipe(bn="recalibrated", calibration=x.flip(0)),
    }
    everything = [base, *other.values()]
    assert all(a != b for i, a in enumerate(everything) for b in everything[:i])


def test_what_cannot_be_measured_is_refused_at_once(build, data):
    x, y = data()
    net = build("mlp")
    refusals = [
        ({"loss": "cross_entropi"}, UnknownNameError, "Did you mean 'cross_entropy'"),
        ({"bn": "eval"}, UsageError, "'eval'"),
        ({"precision": "fp8"}, UsageError, "'fp8'"),
        ({"batch_size": 0}, UsageError, "batch_size=0"),
        ({"device": "tpu"}, UsageError, "'tpu'"),
    ]
    for options, error, message in refusals:
        with pytest.raises(error, match=message):
            ls.Objective(net, x, y, **({"device": "cpu"} | options))
    for inputs, targets, message in (
        (x, y[:-1], "23 inputs and 22 targets"),
        (x[:0], y[:0], "0 inputs"),
        ((x, x[:3]), y, r"one length; got \[3, 23\]"),
        ((), y, "got nothing"),
    ):
        with pytest.raises(LayoutError, match=message):
            ls.Objective(net, inputs, targets, device="cpu")
    assert issubclass(UnknownNameError, LandscapeError)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ((6, 3, 32), "float32 of shape (6, 3, 32)"),
        ((6, 1, 32, 32), "float32 of shape (6, 1, 32, 32)"),
        ((6, 3, 40, 40), "float32 of shape (6, 3, 40, 40)"),
        ((6, 3, 8, 8), "float32 of shape (6, 3, 8, 8)"),
    ],
)
def test_inputs_that_the_network_cannot_take_are_told_with_their_shape(inputs, says):
    net = nn.Sequential(nn.Conv2d(3, 2, 9), nn.Flatten(), nn.Linear(2 * 24 * 24, 4))
    asked = ls.Objective(net, torch.zeros(inputs), torch.zeros(6, dtype=torch.int64), device="cpu")
    with pytest.raises(ShapeError, match="Sequential cannot take inputs of " + re.escape(says)):
        asked(asked.center)


def test_an_error_of_the_network_itself_is_left_as_it_is():
    class Broken(nn.Linear):
        def forward(self, x):
            raise RuntimeError("the valve is shut")

    asked = ls.Objective(Broken(3, 2), torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64), device="cpu")
    with pytest.raises(RuntimeError, match=r"^the valve is shut$"):
        asked(asked.center)


@pytest.mark.parametrize(
    ("name", "bn", "on_a_gpu"),
    [("mlp_bn", "frozen", 4096), ("mlp_bn", "recalibrated", 4096), ("mlp_bn", "batch", 512), ("mlp", "batch", 4096)],
)
def test_a_batch_that_nobody_asked_for_depends_on_the_device_where_no_value_depends_on_it(
    objective, monkeypatch, name, bn, on_a_gpu
):
    here, asked = objective(name, bn=bn), objective(name, bn=bn, batch_size=9)
    monkeypatch.setattr("landscape.surface.objective.devices.resolve", lambda device: torch.device("cuda:0"))
    monkeypatch.setattr(ls.Objective, "_place", lambda self, tree: tree)  # there is no GPU to copy to
    there = objective(name, bn=bn)
    assert (here.batch_size, there.batch_size, asked.batch_size) == (512, on_a_gpu, 9)
    assert here.recipe == there.recipe == objective(name, bn=bn, batch_size=512).recipe
    assert objective(name, bn=bn, batch_size=9).batch_size == 9
