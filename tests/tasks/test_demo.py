"""`demo`: the whole main job in small."""

import dataclasses
import functools
import shutil
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

from landscape import devices, load, save
from landscape.cli import main
from landscape.surface.evaluators import Mover
from landscape.tasks import demo as task
from landscape.training.trainer import Trainer

SMALL = {"epochs": 1, "points": 3, "pairs": 1, "limit": 100}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A reduced demo and its folder."""
    out = tmp_path_factory.mktemp("demo")
    with devices.threads(1):
        return out, task.demo(out, **SMALL, command="landscape demo")


def test_the_page_shows_bands_and_surfaces_of_both_networks(shown):
    out, written = shown
    assert written.page == out / "demo.html"
    page = written.page.read_text()
    for text in ("vgg_light_bn", "recalibrated", "frozen", "Fashion-MNIST", "Loss band", "Loss around"):
        assert text in page
    assert (out / "plotly.min.js").exists()
    assert "https://cdn" not in page


def test_it_can_be_looked_at_piece_by_piece(shown):
    out, _ = shown
    names = {path.name for path in out.iterdir()}
    surfaces = [f"{network}-{mode}" for network, mode in task.MODES]
    assert {"runs", "checkpoints", "bands.h5", "bands.html", "bands.png", "vgg_light.pth", "vgg_light_bn.pth"} <= names
    assert {f"{name}.{ending}" for name in surfaces for ending in ("h5", "html", "png")} <= names


def test_everything_comes_from_the_embedded_images(shown):
    _, written = shown
    assert written.bands.bands.learning_rate.tolist() == [1e-4, 5e-4, 1e-3, 3e-3]
    assert {run.recipe["data"]["dataset"] for run in written.bands.runs} == {"fashion_mnist_mini"}
    assert {run.recipe["data"]["limit"] for run in written.bands.runs} == {100}
    for surface, (network, mode) in zip(written.surfaces, task.MODES, strict=True):
        assert surface.recipe["dataset"] == "fashion_mnist_mini"
        assert (surface.recipe["model"], surface.recipe["bn"]) == (network, mode)
        assert surface.finished


def test_the_two_modes_of_one_network_are_on_the_same_planes(shown):
    _, written = shown
    assert written.surfaces[1].recipe["directions"] == written.surfaces[2].recipe["directions"]
    assert written.surfaces[1].recipe["model_hash"] == written.surfaces[2].recipe["model_hash"]


def test_the_command_again_pays_nothing_and_ends_with_the_page(shown, monkeypatch):
    out, written = shown
    paid = Counter()

    def count(cls, name):
        before = getattr(cls, name)

        def counting(self, *args):
            paid[name] += 1
            return before(self, *args)

        monkeypatch.setattr(cls, name, counting)

    count(Trainer, "step")
    count(Mover, "move")
    monkeypatch.setattr(task, "demo", functools.partial(task.demo, **SMALL))
    result = CliRunner().invoke(main, ["demo", "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert not paid
    *_, before_last, last = result.stdout.splitlines()
    assert last == str(out / "demo.html")
    assert before_last.startswith("Open this page")
    np.testing.assert_array_equal(load(out / "bands.h5").loss, written.bands.bands.loss)
    quiet = CliRunner().invoke(main, ["demo", "--out", str(out), "--quiet"])
    assert (quiet.stdout, quiet.stderr) == (f"{out / 'demo.html'}\n", "")


def test_unfinished_surfaces_are_taken_up(shown, monkeypatch, tmp_path):
    """A demo stopped while it measures continues there; nothing is trained again."""
    out = shutil.copytree(shown[0], tmp_path / "copy")
    whole = load(out / "vgg_light-frozen.h5")
    done = whole.done.copy()
    done[0, 2, 2] = False
    loss = np.where(done, whole.loss, np.nan)
    save(dataclasses.replace(whole, done=done, measured=done.copy(), loss=loss), out / "vgg_light-frozen.h5")
    monkeypatch.setattr(Trainer, "step", None)
    task.demo(out, **SMALL)
    np.testing.assert_array_equal(load(out / "vgg_light-frozen.h5").loss, whole.loss)
