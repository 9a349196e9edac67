"""A network that trains in milliseconds, few images, and a count of what was trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape import devices, models
from landscape.datasets.options import DataOptions
from landscape.models import base
from landscape.models.layers import initialize
from landscape.training import TrainConfig, TrainingData
from landscape.training.trainer import Trainer


class Tiny(nn.Sequential):
    def __init__(self, norm, dropout, *, num_classes=10, in_channels=3, seed=0, widths=(4,)):
        super().__init__(
            nn.Conv2d(in_channels, widths[0], 5, stride=4),
            nn.BatchNorm2d(widths[0]) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.5 if dropout else 0.0),
            nn.Linear(49 * widths[0], num_classes),
        )
        initialize(self, seed=seed)


def family(norm, dropout):
    options = ("num_classes", "in_channels", "seed", "widths")
    return models.Family(lambda **chosen: Tiny(norm, dropout, **chosen), options=options)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Networks ``tiny``, ``tiny_bn`` and ``tiny_dropout_bn`` in a table that is put back; one thread."""
    models.names()
    monkeypatch.setattr(base._FAMILIES, "_items", dict(base._FAMILIES._items))
    models.register("tiny", family(False, False))
    models.register("tiny_bn", family(True, False))
    models.register("tiny_dropout_bn", family(True, True))
    with devices.threads(1):
        yield


@pytest.fixture
def config():
    """117 images for training, 13 for validation: six steps an epoch, the last of 17 images."""

    def make(model="tiny_dropout_bn", **settings):
        plain = {"epochs": 3, "batch_size": 20, "device": "cpu", "data": DataOptions("fashion_mnist_mini", limit=130)}
        return TrainConfig(model=model, **(plain | settings))

    return make


@pytest.fixture
def steps(monkeypatch):
    """The rows of every mini-batch that is trained on, by the name of the run."""
    made: list[tuple[str, torch.Tensor]] = []
    step = Trainer.step

    def counted(self, rows):
        made.append((self.config.name, rows.clone()))
        return step(self, rows)

    monkeypatch.setattr(Trainer, "step", counted)
    return made


@pytest.fixture
def data(config):
    return TrainingData.of(config())


@pytest.fixture
def assert_same_run():
    """Losses, validation and flags bit for bit, and one recipe."""

    def check(a, b):
        for name in ("step", "loss", "epoch", "val_loss", "val_accuracy"):
            assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name
        assert (a.collapsed, a.diverged, a.recipe) == (b.collapsed, b.diverged, b.recipe)

    return check


@pytest.fixture
def assert_same_weights():
    """State dicts of two checkpoint files, bit for bit."""

    def check(a, b):
        one, other = (torch.load(path, weights_only=True)["state_dict"] for path in (a, b))
        assert list(one) == list(other)
        for name, tensor in one.items():
            assert torch.equal(tensor, other[name]), name

    return check
