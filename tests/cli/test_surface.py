"""`landscape surface`, as it is typed."""

import shutil

import numpy as np
import pytest
import torch

from landscape import load
from landscape.datasets import SOURCES, RawSplit, Source
from landscape.surface import evaluators

SMALL = ("--points", 3, "--pairs", 1)
ONE = ("--points", 1, "--pairs", 1, "--limit", 20)


def arrays(surface):
    fields = ("loss", "loss_sem", "delta_sem", "accuracy", "done", "measured")
    return {name: getattr(surface, name) for name in fields}


def assert_equal(a, b):
    for name, values in arrays(a).items():
        np.testing.assert_array_equal(values, getattr(b, name), err_msg=name)


def test_a_checkpoint_of_ours_needs_no_other_option(landscape, ckpt, place, estimate):
    result = landscape("surface", "--ckpt", ckpt, *SMALL)
    files = ["net.h5", "net.html", "net.png", "plotly.min.js"]
    assert sorted(path.name for path in (place / "results" / "surfaces").iterdir()) == files
    surface = load("results/surfaces/net.h5")
    assert surface.loss.shape == (1, 3, 3)
    assert surface.finished
    assert surface.loss[0, 1, 1] == pytest.approx(surface.center.loss, rel=1e-6)  # BatchNorm is folded away
    assert surface.execution["evaluator"] == "folded"
    wanted = {
        "model": "vgg_light_bn",
        "dataset": "fashion_mnist_mini",
        "split": "train",
        "limit": 512,
        "examples": 512,
        "image_size": 32,
        "channels": 3,
        "classes": 10,
        "loss": "cross_entropy",
        "bn": "frozen",
        "has_batchnorm": True,
        "precision": "fp32",
        "seed": 0,
        "normalize": "filter",
        "orthogonal": True,
    }
    assert {key: surface.recipe[key] for key in wanted} == wanted
    assert surface.recipe["normalization"]
    assert surface.checks["ok"]
    assert surface.provenance["command"] == f"landscape surface --ckpt {ckpt} --points 3 --pairs 1"
    assert surface.provenance["checkpoint"] == "net.pth"
    assert surface.provenance["assumed"] == []
    assert surface.provenance["trained"]["run"].startswith("vgg_light_bn-lr0.00")
    assert "Assumed" not in result.stderr
    assert any("9 of 9 cells" in line for line in estimate(result.stderr, "cell"))
    assert "the grid is too small to estimate cells" in result.stderr
    finding, *paths = result.stdout.splitlines()
    assert finding.startswith("The loss at the center is")
    assert paths == ["results/surfaces/net.h5", "results/surfaces/net.png", "results/surfaces/net.html"]


def test_the_sequential_evaluator_is_exact_and_an_evaluator_that_cannot_is_refused(landscape, refused, ckpt):
    landscape("surface", "--ckpt", ckpt, *ONE, "--evaluator", "sequential", "--out", "exact.h5")
    surface = load("exact.h5")
    assert surface.execution["evaluator"] == "sequential"
    assert surface.loss[0, 0, 0] == surface.center.loss
    refused(2, "surface", "--ckpt", ckpt, *ONE, "--evaluator", "foldet", says=["'foldet'", "'folded'"])
    words = ("--bn", "recalibrated", "--evaluator", "folded", "--out", "b.h5")
    refused(2, "surface", "--ckpt", ckpt, *ONE, *words, says=["'folded'", "no BatchNorm layer with fixed statistics"])


def test_the_loss_is_that_of_the_training(landscape, ckpt):
    content = torch.load(ckpt, weights_only=True)
    assert content["landscape"]["recipe"]["loss"] == "cross_entropy"
    content["landscape"]["recipe"]["loss"] = "mse"
    torch.save(content, ckpt)
    landscape("surface", "--ckpt", ckpt, *ONE)
    assert load("results/surfaces/net.h5").recipe["loss"] == "mse"


def test_images_are_normalized_as_they_were_for_training(landscape, ckpt):
    landscape("surface", "--ckpt", ckpt, "--points", 1, "--pairs", 1, "--out", "own.h5")
    landscape("surface", "--ckpt", ckpt, "--points", 1, "--pairs", 1, "--normalization", "half", "--out", "half.h5")
    own, half = load("own.h5").recipe, load("half.h5").recipe
    assert own["mean"] == torch.load(ckpt, weights_only=True)["landscape"]["data"]["mean"]
    assert half["mean"] == [0.5] * 3
    assert own["data_hash"] != half["data_hash"]


@pytest.fixture
def noise(monkeypatch):
    """Stand-in for cifar10, the data set that is assumed: random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 3, 32, 32), dtype=np.uint8)
    raw = RawSplit.of(torch.from_numpy(pixels), torch.arange(200) % 10, tuple("0123456789"))
    monkeypatch.setitem(SOURCES._items, "cifar10", Source(lambda request: raw))


@pytest.mark.usefixtures("noise")
def test_a_foreign_file_is_recognized_and_what_is_assumed_is_said(landscape, foreign, place):
    result = landscape("surface", "--ckpt", foreign, *SMALL)
    assumed = load("results/surfaces/foreign.h5").provenance["assumed"]
    told = " ".join(assumed)
    assert "vgg_light_bn" in told
    assert "assumed cifar10" in told
    assert "own statistics" in told
    page = (place / "results/surfaces/foreign.html").read_text()
    for text in assumed:
        assert text in result.stderr
        assert text[:40] in page
    assert "Warning: the accuracy at the center" in result.stderr, "random pixels: no better than guessing"
    assert "the accuracy at the center" in page


def test_what_the_user_says_of_a_foreign_file_is_not_assumed(landscape, foreign):
    words = ("--dataset", "fashion_mnist_mini", "--normalization", "half", "--model", "vgg_light_bn", "--limit", 20)
    landscape("surface", "--ckpt", foreign, "--points", 1, "--pairs", 1, *words)
    told = " ".join(load("results/surfaces/foreign.h5").provenance["assumed"])
    assert "data set" not in told
    assert "normalized" not in told


def test_no_warning_where_the_network_has_learned(landscape, ckpt):
    result = landscape("surface", "--ckpt", ckpt, "--points", 1, "--pairs", 1)
    assert load("results/surfaces/net.h5").center.accuracy > 0.2
    assert "Warning" not in result.stderr


def test_all_modes_give_three_files_and_one_page(landscape, ckpt, place):
    result = landscape("surface", "--ckpt", ckpt, *SMALL, "--limit", 20, "--bn", "all", "--out", "three.h5")
    modes = ("frozen", "batch", "recalibrated")
    names = {*(f"three.{mode}.h5" for mode in modes), "three.all.html", "three.all.png", "plotly.min.js", "net.pth"}
    assert {path.name for path in place.iterdir()} == names
    surfaces = {mode: load(f"three.{mode}.h5") for mode in modes}
    assert [surfaces[mode].recipe["bn"] for mode in modes] == list(modes)
    assert len({tuple(s.recipe["directions"]) for s in surfaces.values()}) == 1
    assert not np.array_equal(surfaces["frozen"].loss, surfaces["batch"].loss)
    assert result.stdout.splitlines()[-1] == "three.all.html"
    assert all(f"three.{mode}.h5" in result.stdout for mode in modes)
    page = (place / "three.all.html").read_text()
    assert all(mode in page for mode in modes)
    assert "BN modes batch and recalibrated are the same function then" in page


def test_all_modes_of_a_network_without_batchnorm_are_one(landscape, trained):
    landscape(
        "surface", "--ckpt", trained / "vgg_light.pth", "--points", 1, "--pairs", 1, "--bn", "all", "--out", "a.h5"
    )
    assert load("a.frozen.h5").recipe["has_batchnorm"] is False


def test_an_even_number_of_points_says_that_the_center_is_no_cell(landscape, ckpt):
    result = landscape("surface", "--ckpt", ckpt, "--points", 2, "--pairs", 1, "--limit", 20)
    assert "even: no cell lies on the center" in result.stderr
    surface = load("results/surfaces/net.h5")
    assert surface.loss.shape == (1, 2, 2)
    assert 0.0 not in surface.grid.alpha
    assert np.isfinite(surface.center.loss)
    odd = landscape("surface", "--ckpt", ckpt, *ONE, "--out", "odd.h5")
    assert "even" not in odd.stderr


def test_the_test_split(landscape, ckpt):
    landscape("surface", "--ckpt", ckpt, "--points", 1, "--pairs", 1, "--split", "test", "--limit", 30)
    assert load("results/surfaces/net.h5").recipe["split"] == "test"


def test_quiet_prints_the_files_only(landscape, ckpt):
    result = landscape("surface", "--ckpt", ckpt, "--points", 2, "--pairs", 1, "--limit", 20, "--quiet")
    assert result.stderr == ""
    assert result.stdout.splitlines() == [f"results/surfaces/net.{ending}" for ending in ("h5", "png", "html")]


def test_standalone_needs_no_script_beside_it(landscape, ckpt, place):
    landscape("surface", "--ckpt", ckpt, *ONE, "--standalone", "--out", "s/alone.h5")
    assert {path.name for path in (place / "s").iterdir()} == {"alone.h5", "alone.html", "alone.png"}


def test_an_output_with_dots_but_without_an_ending_keeps_its_name(landscape, ckpt, place):
    landscape("surface", "--ckpt", ckpt, *ONE, "--out", "net-lr0.001")
    assert {"net-lr0.001.h5", "net-lr0.001.html", "net-lr0.001.png"} <= {path.name for path in place.iterdir()}


def test_the_same_command_measures_nothing_again(landscape, ckpt, counted_cells, place):
    words = ("surface", "--ckpt", ckpt, *SMALL, "--limit", 20)
    landscape(*words)
    assert len(counted_cells) == len(set(counted_cells)) == 9
    before = (place / "results/surfaces/net.h5").read_bytes()
    landscape(*words)
    assert len(counted_cells) == 9
    assert (place / "results/surfaces/net.h5").read_bytes() == before


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory):
    """A folder for the results of `measured`, made once."""
    return tmp_path_factory.mktemp("surfaces")


@pytest.fixture
def measured(landscape, ckpt, place, surfaces):
    """A command whose surface is there already."""
    words = ("surface", "--ckpt", ckpt, "--points", 3, "--pairs", 1, "--limit", 20)
    if not list(surfaces.iterdir()):
        landscape(*words, "--out", surfaces / "net.h5")
    shutil.copytree(surfaces, place / "results" / "surfaces")
    return words


@pytest.mark.parametrize(
    ("words", "stored", "asked"),
    [
        (("--seed", 1), "seed=0", "seed=1"),
        (("--bn", "batch"), "bn='frozen'", "bn='batch'"),
        (("--normalize", "unit"), "normalize='filter'", "normalize='unit'"),
        (("--loss", "mse"), "loss='cross_entropy'", "loss='mse'"),
        (("--precision", "bf16"), "precision='fp32'", "precision='bf16'"),
        (("--radius", "0.5"), "radius=1.0", "radius=0.5"),
        (("--limit", "16"), "limit=", "limit=16"),
    ],
)
def test_a_file_of_another_recipe_is_refused_and_untouched(refused, measured, words, stored, asked):
    refused(1, *measured, *words, says=["results/surfaces/net.h5", stored, asked, "--out"])


def test_other_weights_under_the_same_name_are_refused(landscape, refused, ckpt, trained):
    words = ("surface", "--ckpt", ckpt, *ONE)
    landscape(*words)
    ckpt.write_bytes((trained / "checkpoints" / "vgg_light_bn-lr0.003-seed0-last.pth").read_bytes())
    refused(1, *words, says=["net.h5", "model_hash"])


@pytest.mark.usefixtures("short_blocks")
def test_stopped_with_ctrl_c_and_continued(refused, landscape, ckpt, monkeypatch, counted_cells):
    words = ("surface", "--ckpt", ckpt, "--points", 5, "--pairs", 1, "--limit", 20)
    landscape(*words, "--out", "whole.h5")
    counted_cells.clear()
    move = evaluators.Mover.move

    def stopping(self, *where):
        if len(counted_cells) == 12:
            raise KeyboardInterrupt
        move(self, *where)

    monkeypatch.setattr(evaluators.Mover, "move", stopping)
    message = refused(130, *words, "--out", "stopped.h5")
    assert "the same command again to continue" in message
    half = load("stopped.h5")
    assert 0 < half.done.sum() < 25
    first, done = list(counted_cells), int(half.done.sum())
    counted_cells.clear()
    monkeypatch.setattr(evaluators.Mover, "move", move)
    result = landscape(*words, "--out", "stopped.h5")
    assert f"{done} done before" in result.stderr
    assert len(counted_cells) == 25 - done
    assert len(set(counted_cells) & set(first)) <= 1, "no more than the block that was interrupted is measured again"
    assert_equal(load("stopped.h5"), load("whole.h5"))


def test_losses_that_are_not_finite_are_gaps_not_errors(landscape, ckpt):
    result = landscape("surface", "--ckpt", ckpt, "--points", 3, "--pairs", 1, "--limit", 20, "--radius", "1e30")
    surface = load("results/surfaces/net.h5")
    assert surface.done.all()
    assert np.isfinite(surface.loss).sum() == 1, "the center"
    assert "8 cells of 9 are gaps" in result.stdout


def test_the_terminal_says_what_a_value_depends_on_and_what_was_given_up(landscape, ckpt):
    """As the page does: the batch of BN mode batch, and a sampling that measured every cell."""
    result = landscape("surface", "--ckpt", ckpt, *SMALL, "--limit", 20, "--bn", "batch")
    assert "BN mode batch: the loss depends on the batch size" in result.stderr
    assert "Sampling, pair 1: the grid is too small to estimate cells" in result.stderr
    quiet = landscape("surface", "--ckpt", ckpt, *SMALL, "--limit", 20, "--bn", "batch", "--quiet", "--out", "q.h5")
    assert "BN mode" not in quiet.stderr
