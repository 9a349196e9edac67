"""An objective that changes from call to call is refused with the reason, before a cell is measured."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, dropout

import landscape as ls
from landscape.errors import ObjectiveError

GRID = ls.Grid.square(1, 3)


class _Changed(nn.Module):
    """The plain network with something done to its hidden layer."""

    def __init__(self, net, change):
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x):
        return self.net[2](self.change(torch.relu(self.net[0](x))))


class _Counter:
    """State outside parameters and buffers that no generator explains."""

    calls = 0

    def __call__(self, h):
        self.calls += 1
        return h + 1e-3 * self.calls


CHANGES = {
    "functional dropout": lambda h: dropout(h, 0.5),
    "noise": lambda h: h + 0.1 * torch.randn_like(h),
    "tiny noise": lambda h: h + 1e-14 * torch.randn_like(h),
    "NumPy noise": lambda h: h + 0.1 * float(np.random.standard_normal()),  # noqa: NPY002 - the mistake under test
    "Python noise": lambda h: h * random.random(),
    "state": _Counter(),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_forward_pass_that_changes_is_refused(build, data, everything, tmp_path, how):
    net = _Changed(build("mlp"), CHANGES[how]).eval()
    before = everything(net)
    objective = ls.Objective(net, *data(), device="cpu")
    with pytest.raises(ObjectiveError, match=r"changes from call to call") as caught:
        ls.measure_surface(objective, ls.random_pair(net), GRID, path=tmp_path / "s.h5")
    assert ("draws random numbers" in str(caught.value)) == (
        "NumPy" not in how and "Python" not in how and how != "state"
    )
    assert everything(net) == before
    assert not (tmp_path / "s.h5").exists()


@pytest.mark.parametrize(
    "noise",
    [lambda: torch.rand(()), np.random.standard_normal, random.random],
)
def test_noise_in_the_loss_is_refused(build, data, noise):
    def loss(outputs, targets):
        return cross_entropy(outputs, targets, reduction="none") * float(noise())

    objective = ls.Objective(build("mlp"), *data(), loss=loss, device="cpu")
    with pytest.raises(ObjectiveError, match="changes from call to call"):
        ls.measure_surface(objective, ls.random_pair(objective.model), GRID)


def test_a_loss_that_is_only_sometimes_finite_is_refused(build, data):
    calls = []

    def loss(outputs, targets):
        calls.append(1)
        return outputs[:, 0] * (torch.nan if len(calls) % 2 else 1.0)

    objective = ls.Objective(build("mlp"), *data(), loss=loss, device="cpu")
    with pytest.raises(ObjectiveError, match="changes from call to call"):
        ls.measure_surface(objective, ls.random_pair(objective.model), GRID)


def test_dropout_modules_and_a_diverged_center_are_no_reason_to_refuse(objective):
    asked = objective("mlp_dropout")
    asked.model.train()
    assert ls.measure_surface(asked, ls.random_pair(asked.model), GRID).done.all()
    with torch.no_grad():
        asked.model[0].weight.fill_(torch.nan)
    surface = ls.measure_surface(asked, ls.random_pair(asked.model), GRID)
    assert np.isnan(surface.loss).all()
    assert np.isnan(surface.center.loss)
    assert surface.done.all()


def test_functional_dropout_that_follows_the_flag_is_off(build, data):
    class Follows(_Changed):
        def forward(self, x):
            return self.net[2](dropout(torch.relu(self.net[0](x)), 0.5, training=self.training))

    net = Follows(build("mlp"), None).train()
    objective = ls.Objective(net, *data(), device="cpu")
    plain = ls.Objective(build("mlp"), *data(), device="cpu")
    assert objective(objective.center).loss == plain(plain.center).loss
    assert ls.measure_surface(objective, ls.random_pair(net), GRID).done.all()


@pytest.mark.parametrize("batch_size", [512, 8])
def test_a_batchnorm_layer_used_twice_has_no_recalibrated_statistics(data, batch_size):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.bn, self.b = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)

        def forward(self, x):
            return self.b(self.bn(self.a(torch.relu(self.bn(self.a(x))))))

    net = Twice().double()
    objective = ls.Objective(net, *data(), bn="recalibrated", batch_size=batch_size, device="cpu")
    with pytest.raises(ObjectiveError, match="'bn' is used more than once"):
        ls.measure_surface(objective, ls.random_pair(net), GRID)
    for bn in ("frozen", "batch"):
        other = ls.Objective(net, *data(), bn=bn, batch_size=batch_size, device="cpu")
        assert ls.measure_surface(other, ls.random_pair(net), GRID).done.all()
