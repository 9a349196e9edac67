"""Bare weights that fit several networks: every command that reads them asks which, and takes the answer."""

import json
from pathlib import Path

import pytest
import torch

from landscape import load, models
from landscape.datasets.options import DataOptions

IMAGES = ("--dataset", "fashion_mnist_mini", "--channels", 1, "--limit", 20)
COMMANDS = {"surface": ("--points", 1, "--pairs", 1), "evaluate": (), "check": ("--pairs", 1)}


@pytest.fixture(params=["lenet", "lenet5"])
def network(request, place):
    """One of two networks of equal tensors; its weights, and nothing else, are in a file."""
    model = models.build(request.param, seed=3).eval()
    torch.save(model.state_dict(), place / "bare.pth")
    return request.param, model


@pytest.mark.parametrize("command", COMMANDS)
def test_they_are_refused_with_the_candidates(refused, network, place, command):
    says = ["bare.pth", "different functions", "lenet5 (in_channels=1); lenet (in_channels=1). Say which with --model"]
    refused(1, command, "--ckpt", "bare.pth", *IMAGES, *COMMANDS[command], says=says)
    assert [path.name for path in place.iterdir()] == ["bare.pth"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_name_settles_it(landscape, network, command):
    name, _ = network
    shown = landscape(command, "--ckpt", "bare.pth", "--model", name, *IMAGES, *COMMANDS[command])
    assert "does not name its network" not in shown.stderr
    if command == "check":  # it writes nothing
        assert shown.stdout.startswith(f"{name}, BN mode frozen")
    else:
        (record,) = Path("results").rglob("bare.h5")
        assert load(record).recipe["model"] == name


def test_it_is_the_named_network_that_is_evaluated(landscape, network):
    """Either name is taken, also the wrong one: only the user can know."""
    name, model = network
    data = DataOptions("fashion_mnist_mini", limit=20, channels=1).load("test")
    with torch.inference_mode():
        loss = float(torch.nn.functional.cross_entropy(model(data.inputs), data.targets))
    for asked in ("lenet", "lenet5"):
        shown = landscape("evaluate", "--ckpt", "bare.pth", "--model", asked, *IMAGES, "--json", "--out", f"{asked}.h5")
        assert (json.loads(shown.stdout)["loss"] == pytest.approx(loss, rel=1e-5)) is (asked == name)
