"""What a recipe cannot name, and what batches are really used."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.errors import ObjectiveError, ResumeError
from landscape.records import Grid
from landscape.space import random_pair
from landscape.surface import Objective, measure_surface

X = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % 4


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 4)).double()


def scaled(factor):
    return lambda outputs, targets: factor * nn.functional.cross_entropy(outputs, targets, reduction="none")


def test_a_loss_that_changed_under_the_same_name_is_not_continued(tmp_path):
    """Two closures of one function have one name; the center's loss tells them apart."""

    def stop(_):
        raise KeyboardInterrupt

    model, grid = net(), Grid.square(1.0, 5)
    pair = random_pair(model)
    with pytest.raises(KeyboardInterrupt):
        measure_surface(Objective(model, X, Y, loss=scaled(1.0)), pair, grid, path=tmp_path / "a.h5", progress=stop)
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(ResumeError, match=r"center's loss is 1\.\d+ now and 1\.\d+ in the file"):
        measure_surface(Objective(model, X, Y, loss=scaled(1.001)), pair, grid, path=tmp_path / "a.h5")
    assert (tmp_path / "a.h5").read_bytes() == before


@pytest.mark.parametrize(("asked", "used"), [(512, 20), (20, 20), (19, 10), (7, 7), (6, 5)])
def test_the_batch_that_statistics_are_of_is_recorded(asked, used):
    """20 examples in near-equal batches of at most ``asked``."""
    assert Objective(net(), X, Y, bn="batch", batch_size=asked).recipe["batch_size"] == used


@pytest.mark.parametrize("mode", ["batch", "recalibrated"])
def test_a_batch_without_variance_is_refused_in_words(mode):
    model = net()
    with pytest.raises(ObjectiveError, match="one value per channel"):
        Objective(model, X[:1], Y[:1], bn=mode)(dict(model.named_parameters()))


@pytest.mark.parametrize(("dtype", "word"), [(torch.float64, "fp64"), (torch.bfloat16, "bf16 parameters")])
def test_precision_names_the_parameters_type(dtype, word):
    assert Objective(net().to(dtype), X, Y).recipe["precision"] == word


def test_gradients_of_a_layer_before_batchnorm_are_those_of_a_scale_free_function():
    """For L(c w_f) = L(w_f): <w_f, grad_f> = 0, grad(2 w) = grad(w) / 2 and w' H w = 0 (float64, eps = 0)."""
    model = net()
    model[1].eps = 1e-14

    def loss(w):
        z = X @ w.T
        normalized = (z - z.mean(dim=0)) / z.var(dim=0, correction=0).sqrt()
        return nn.functional.cross_entropy(model[3](torch.relu(normalized)), Y)

    w = model[0].weight.detach().clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(w), w, create_graph=True)
    assert (w * grad).sum(dim=1).abs().max() < 1e-12
    doubled = (2 * w).detach().requires_grad_()
    torch.testing.assert_close(torch.autograd.grad(loss(doubled), doubled)[0], grad.detach() / 2, rtol=1e-9, atol=1e-12)
    (product,) = torch.autograd.grad((grad * w.detach()).sum(), w)
    assert abs(float((product * w).sum())) < 1e-10
    objective = Objective(nn.Sequential(*model), X, Y, bn="batch")
    params = {n: p.detach().clone() for n, p in model.named_parameters()}
    params["0.bias"].zero_()
    assert objective(params).loss == pytest.approx(float(loss(params["0.weight"])), rel=1e-11)
