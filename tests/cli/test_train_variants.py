"""`landscape train-variants`, as it is typed: files, what is paid twice, stopping and continuing."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape import load, load_checkpoint
from landscape.training.trainer import Trainer

RUNS = [f"{variant}-lr{rate}-seed0" for variant in ("vgg_light", "vgg_light_bn") for rate in ("0.001", "0.003")]
ONE = ("--variants", "vgg_light", "--lrs", "1e-3", "--epochs", 1, "--dataset", "fashion_mnist_mini", "--limit", 60)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def copy(trained, place):
    """A copy of `trained`, to be changed."""
    return shutil.copytree(trained, place / "out")


def expected(runs, variants):
    names = {f"runs/{run}.h5" for run in runs} | {f"{variant}.pth" for variant in variants}
    names |= {f"checkpoints/{run}-{which}.pth" for run in runs for which in ("best", "last")}
    return names | {"bands.h5", "bands.html", "bands.png", "plotly.min.js"}


def assert_same_outcome(a, b):
    """Bands and final weights of two folders are equal bit for bit."""
    first, second = load(a / "bands.h5"), load(b / "bands.h5")
    for name in ("variant", "seed", "learning_rate", "step", "epoch", "loss", "val_loss", "val_accuracy"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    np.testing.assert_array_equal(first.collapsed, second.collapsed)
    assert first.recipe == second.recipe
    for path in sorted(a.rglob("*.pth")):
        state, other = (load_checkpoint(p).state_dict for p in (path, b / path.relative_to(a)))
        assert state.keys() == other.keys()
        assert all(torch.equal(state[name], other[name]) for name in state), path.name


def test_exactly_these_files_are_written(trained):
    assert files(trained) == expected(RUNS, ("vgg_light", "vgg_light_bn"))


def test_what_the_records_hold(trained):
    bands = load(trained / "bands.h5")
    assert bands.variant.tolist() == ["vgg_light", "vgg_light_bn"]
    assert bands.learning_rate.tolist() == [1e-3, 3e-3]
    assert bands.loss.shape == (2, 1, 2, 6)  # 90 images in batches of 32: three steps an epoch
    assert bands.epoch.tolist() == [1, 2]
    assert np.isfinite(bands.loss).all()
    assert bands.provenance["command"].startswith("landscape train-variants --variants=vgg_light,vgg_light_bn")
    for k, rate in enumerate((1e-3, 3e-3)):
        run = load(trained / "runs" / f"vgg_light_bn-lr{rate:g}-seed0.h5")
        assert run.recipe["learning_rate"] == rate
        np.testing.assert_array_equal(run.loss, bands.loss[1, 0, k])


def test_the_network_kept_is_the_best_on_validation_images(trained):
    for row, variant in enumerate(("vgg_light", "vgg_light_bn")):
        kept = load_checkpoint(trained / f"{variant}.pth")
        assert kept.model_name == variant
        assert kept.meta["val_accuracy"] == load(trained / "bands.h5").val_accuracy[row].max()


def test_the_same_command_trains_nothing_and_draws_equal_bands(landscape, trained, variants, copy, counted_steps):
    out = copy
    before = {name: (out / name).read_bytes() for name in files(out) if name.startswith(("runs/", "checkpoints/"))}
    (out / "bands.h5").unlink()
    (out / "bands.png").unlink()
    result = landscape("train-variants", *variants, "--out", out)
    assert not counted_steps
    assert files(out) == files(trained)
    assert_same_outcome(out, trained)
    assert all((out / name).read_bytes() == content for name, content in before.items())
    assert result.stdout.splitlines()[-1] == str(out / "bands.html")


def test_another_learning_rate_trains_the_new_runs_only(landscape, trained, variants, copy, counted_steps):
    out = copy
    landscape("train-variants", *variants, "--lrs", "1e-3,2e-3,3e-3", "--out", out)
    assert counted_steps == {"vgg_light-lr0.002-seed0": 6, "vgg_light_bn-lr0.002-seed0": 6}
    bands = load(out / "bands.h5")
    assert bands.learning_rate.tolist() == [1e-3, 2e-3, 3e-3]
    np.testing.assert_array_equal(bands.loss[:, :, [0, 2]], load(trained / "bands.h5").loss)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--batch-size=16", ["batch_size=32", "batch_size=16"]),
        ("--weight-decay=0", ["weight_decay=0.0001", "weight_decay=0.0"]),
        ("--optimizer=sgd", ["optimizer='adamw'", "optimizer='sgd'"]),
        ("--epochs=3", ["epochs=2", "epochs=3"]),
        ("--limit=80", ["data.limit=100", "data.limit=80"]),
    ],
)
def test_another_setting_is_refused_and_nothing_is_touched(refused, copy, variants, option, says):
    says = ["runs/vgg_light-lr0.001-seed0.h5", *says, "--out"]
    refused(1, "train-variants", *variants, option, "--out", copy, says=says)


def test_another_setting_of_the_network_is_refused(refused, copy, variants):
    says = ["model_options.init='he'", "model_options.init='xavier'"]
    refused(1, "train-variants", *variants, "--init", "xavier", "--out", copy, says=says)


def test_stopped_with_ctrl_c_and_continued(refused, landscape, trained, variants, monkeypatch):
    step, made = Trainer.step, []

    def stopping(self, rows):
        if self.config.out is not None:
            made.append(self.config.name)
            if len(made) == 11:  # in the second epoch of the second run
                raise KeyboardInterrupt
        return step(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping)
        message = refused(130, "train-variants", *variants, "--out", "out")
    assert "the same command again to continue" in message
    made.clear()
    monkeypatch.setattr(Trainer, "step", lambda self, rows: (made.append(self.config.out), step(self, rows))[1])
    result = landscape("train-variants", *variants, "--out", "out")
    steps = [out for out in made if out is not None]
    assert len(steps) == 24 - 9, "nine steps were finished epochs; the interrupted epoch is trained again"
    assert "15 steps to go, 9 done before" in result.stderr
    assert_same_outcome(Path("out"), trained)
    assert files(Path("out")) == files(trained)


def test_progress_on_standard_error_and_results_on_standard_output(landscape, place, estimate):
    result = landscape("train-variants", *ONE)
    assert len(estimate(result.stderr, "step")) <= 2, "one line a minute and one at the end"
    names = ("vgg_light.pth", "bands.h5", "bands.png", "bands.html")
    finding, *paths = result.stdout.splitlines()
    assert "vgg_light" in finding
    assert paths == [f"results/variants/{name}" for name in names]
    assert files(place / "results/variants") == expected(["vgg_light-lr0.001-seed0"], ["vgg_light"])


def test_quiet_prints_the_files_only(landscape):
    result = landscape("train-variants", *ONE, "--quiet")
    assert result.stderr == ""
    names = ("vgg_light.pth", "bands.h5", "bands.png", "bands.html")
    assert result.stdout.splitlines() == [f"results/variants/{name}" for name in names]


def test_options_of_the_network_and_the_run_arrive(landscape):
    words = ("--variants", "vgg_light_bn", "--seeds", "3,1", "--bn-placement", "conv+fc", "--no-conv-bias", "--init")
    landscape("train-variants", *ONE, *words, "xavier", "--optimizer", "momentum", "--weight-decay", 0, "--out", "o")
    bands = load("o/bands.h5")
    assert bands.seed.tolist() == [3, 1]
    run = load("o/runs/vgg_light_bn-lr0.001-seed3.h5")
    wanted = {"bn_placement": "conv+fc", "conv_bias": False, "init": "xavier"}
    assert wanted.items() <= run.recipe["model_options"].items()
    assert (run.recipe["optimizer"], run.recipe["weight_decay"], run.recipe["seed"]) == ("momentum", 0.0, 3)


def test_a_limit_that_fits_an_hour_is_advised_without_a_limit_too(landscape, monkeypatch):
    from landscape.training import variants

    monkeypatch.setattr(variants, "seconds_per_step", lambda config, data: 720.0)
    words = ("train-variants", "--variants", "vgg_light", "--lrs", "1e-3", "--epochs", 1, "--batch-size", 500)
    result = landscape(*words, "--dataset", "fashion_mnist_mini")
    assert "9 steps to go: about 1 h 48 min. --limit 2777 would fit an hour." in result.stderr  # 5000 / 1.8


def test_a_network_of_ones_own(landscape, refused, place):
    """A factory that takes no option gets none, unless it was asked for."""
    (place / "own_network.py").write_text(
        "from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n"
    )
    landscape("train-variants", *ONE, "--variants", "own_network:net", "--out", "own")
    run = load("own/runs/own_network.net-lr0.001-seed0.h5")
    assert (run.recipe["model"], run.recipe["model_options"]) == ("own_network:net", {})
    ckpt = "own/checkpoints/own_network.net-lr0.001-seed0-best.pth"
    words = ("--ckpt", ckpt, "--points", 1, "--pairs", 1, "--limit", 20, "--out", "own.h5")
    refused(1, "surface", *words, says=["not trusted to name code", "--model own_network:net"])
    landscape("surface", *words, "--model", "own_network:net")
    assert load("own.h5").recipe["model"] == "own_network:net"


def test_an_option_that_a_network_does_not_have_is_refused(refused, place):
    (place / "plain_network.py").write_text("from torch import nn\n\n\ndef net():\n    return nn.Linear(3072, 10)\n")
    refused(2, "train-variants", *ONE, "--variants", "plain_network:net", "--init", "xavier", says=["init"])


def test_a_diverged_run_is_kept_and_flagged(landscape):
    words = ("--variants", "vgg_light,vgg_light_bn", "--lrs", "1e-3,1e30", "--epochs", 2)
    landscape("train-variants", *ONE, *words, "--out", "div")
    bands = load("div/bands.h5")
    assert bands.diverged[0, 0].tolist() == [False, True]
    assert np.isnan(bands.loss[0, 0, 1]).any()
    assert np.isfinite(bands.loss[:, :, 0]).all()
    kept = load_checkpoint("div/vgg_light.pth")
    assert kept.meta["run"] == "vgg_light-lr0.001-seed0"


def test_two_seeds(landscape):
    landscape("train-variants", *ONE, "--seeds", "0,1", "--out", "seeds")
    bands = load("seeds/bands.h5")
    assert bands.loss.shape[:3] == (1, 2, 1)
    assert not np.array_equal(bands.loss[0, 0], bands.loss[0, 1])


def test_an_unknown_engine_is_refused_before_anything_is_trained(refused, place):
    refused(2, "train-variants", *ONE, "--engine", "seral", "--out", "out", says=["Did you mean 'serial'?"])
    assert not (place / "out").exists()


def test_every_run_is_logged_where_tensorboard_was_asked_for(landscape, refused):
    pytest.importorskip("tensorboard")
    words = [*ONE, "--lrs", "1e-3,1e-2", "--out", "o"]
    landscape("train-variants", *words, "--tensorboard", "logs")
    found = {path.parent.name for path in Path("logs").rglob("*tfevents*")}
    assert found == {"vgg_light-lr0.001-seed0", "vgg_light-lr0.01-seed0"}
    Path("file").write_text("no folder")
    refused(1, "train-variants", *ONE, "--tensorboard", "file/log", says=["file/log", "is a file"])
