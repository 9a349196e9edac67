"""A working directory of its own, and an untrained checkpoint that says where it comes from."""

from __future__ import annotations

import socket

import pytest
import torch

from landscape import datasets, devices, models
from landscape.storage import save_checkpoint
from landscape.tasks.data import DataChoice
from landscape.tasks.surface import SurfaceOptions

NUMBERS = {"mean": [0.25, 0.5, 0.75], "std": [0.5, 0.25, 0.125]}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Work in an empty folder, without archives and without a network."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LANDSCAPE_DATA", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with devices.threads(1):  # tiny batches gain nothing from more
        yield tmp_path


@pytest.fixture
def data_facts():
    """What a checkpoint of ours says of its images."""
    described = datasets.load("fashion_mnist_mini", limit=20).describe()
    return described | NUMBERS


@pytest.fixture
def make_ckpt(place):
    """Write a checkpoint; ``data`` is what it says of its images."""

    def write(name="vgg_light_bn", data=None, **options):
        path = place / "net.pth"
        meta = {"data": data} if data else {}
        save_checkpoint(path, models.build(name, **options), model_name=name, model_options=options, meta=meta)
        return path

    return write


@pytest.fixture
def own(make_ckpt, data_facts):
    """A checkpoint of ours."""
    return make_ckpt(data=data_facts)


@pytest.fixture
def trained_with(place, data_facts):
    """Write a checkpoint that says with which loss it was trained."""

    def write(loss):
        path = place / "net.pth"
        meta = {"data": data_facts, "recipe": {"loss": loss}}
        save_checkpoint(path, models.build("vgg_light"), model_name="vgg_light", meta=meta)
        return path

    return write


@pytest.fixture
def bare(place):
    """A bare state dict."""
    torch.save(models.build("vgg_light_bn").state_dict(), place / "bare.pth")
    return place / "bare.pth"


@pytest.fixture
def small():
    """Settings of a surface of nine cells on twenty images."""

    def settings(**changes):
        data = DataChoice(dataset="fashion_mnist_mini", limit=changes.pop("limit", 20), **changes.pop("data", {}))
        return SurfaceOptions(**{"pairs": 1, "points": 3, "data": data} | changes)

    return settings
