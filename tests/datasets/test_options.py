"""One value that carries every argument of ``load``."""

from __future__ import annotations

import dataclasses
import inspect

import torch

from landscape.datasets import load, options
from landscape.datasets.options import DataOptions

OTHERS = {
    "dataset": "fashion_mnist_mini",
    "root": "somewhere",
    "limit": 7,
    "seed": 3,
    "normalization": "half",
    "image_size": 24,
    "channels": 1,
    "download": True,
}


def test_every_argument_of_load_has_its_option_and_its_default():
    taken = {n: p.default for n, p in inspect.signature(load).parameters.items() if n not in {"name", "split"}}
    given = {f.name: f.default for f in dataclasses.fields(DataOptions) if f.name != "dataset"}
    assert given == taken
    assert set(OTHERS) == {*given, "dataset"}


def test_every_option_reaches_load(monkeypatch):
    calls = []
    monkeypatch.setattr(options, "load", lambda *args, **named: calls.append((args, named)))
    DataOptions(**OTHERS).load("test")
    DataOptions().load()
    assert calls[0] == ((OTHERS["dataset"],), {k: v for k, v in OTHERS.items() if k != "dataset"} | {"split": "test"})
    assert calls[1][0] == ("cifar10",)
    assert calls[1][1]["split"] == "train"


def test_images_equal_those_of_load():
    mine = DataOptions("fashion_mnist_mini", limit=20, seed=1, normalization="half", channels=1).load("test")
    theirs = load("fashion_mnist_mini", split="test", limit=20, seed=1, normalization="half", channels=1)
    assert mine.describe() == theirs.describe()
    assert torch.equal(mine.inputs, theirs.inputs)


def test_options_can_be_compared_and_used_as_a_key():
    assert DataOptions("mnist", limit=1) == DataOptions("mnist", limit=1)
    assert len({DataOptions("mnist"), DataOptions("mnist"), DataOptions("mnist", seed=1)}) == 2
