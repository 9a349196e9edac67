"""`landscape train`: what each option reaches, what is written, and how it continues."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape import load, load_checkpoint
from landscape.datasets.sources.fashion_mnist_mini import EMBEDDED
from landscape.models import Family, base
from landscape.training.trainer import Trainer

NAME = "vgg_light-lr0.001-seed0"
BASE = ("train", "--dataset", "fashion_mnist_mini", "--limit", 100, "--batch-size", 30, "--model")
ONE = (*BASE, "vgg_light", "--epochs", 2)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_record_checkpoints_page_and_picture(landscape, place, estimate):
    result = landscape(*ONE)
    out = place / "results/train"
    names = [
        f"checkpoints/{NAME}-best.pth",
        f"checkpoints/{NAME}-last.pth",
        "plotly.min.js",
        f"runs/{NAME}.h5",
        f"{NAME}.png",
        f"{NAME}.html",
    ]
    assert files(out) == sorted(names)
    run = load(out / f"runs/{NAME}.h5")
    assert (len(run.loss), len(run.epoch)) == (6, 2)
    (line,) = estimate(result.stderr, "step")
    assert line.startswith("6 of 6 steps, ")
    assert "steps/s; vgg_light-lr0.001-seed0, loss " in line
    finding, *paths = result.stdout.splitlines()
    assert finding.startswith("After 2 epochs: validation accuracy ")
    assert paths == [f"results/train/{name}" for name in names if not name.startswith("plotly")]
    assert "landscape train --dataset fashion_mnist_mini" in (out / f"{NAME}.html").read_text()


def test_every_option_arrives(landscape, place, monkeypatch):
    pytest.importorskip("tensorboard")
    base.names()
    monkeypatch.setattr(base._FAMILIES, "_items", dict(base._FAMILIES._items))

    def small(activation="relu", width=4, num_classes=10, pretrained=""):
        assert pretrained in ("", "w.pth")  # the second in the training alone: the checkpoint has weights
        kinds = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}
        first = torch.nn.Linear(3072, width)
        return torch.nn.Sequential(torch.nn.Flatten(), first, kinds[activation](), torch.nn.Linear(width, num_classes))

    base.register("small", Family(small, options=("activation", "width", "num_classes", "pretrained")))
    words = ("--loss", "label_smoothing:0.2", "--optimizer", "momentum", "--lr", "0.05", "--scheduler", "step")
    words += ("--scheduler-option", "step_size=1", "--scheduler-option", "gamma=0.5", "--weight-decay", "0.01")
    words += ("--grad-clip", "norm:1", "--early-stop", 3, "--augment", "flip,crop,noise:0.1", "--val-every", 2)
    words += (
        "--seed",
        3,
        "--activation",
        "tanh",
        "--model-option",
        "width=6",
        "--pretrained",
        "w.pth",
        "--tensorboard",
        "log",
        "--out",
        "o",
    )
    landscape(*BASE, "small", "--epochs", 2, *words, "--precision", "bf16")
    run = load("o/runs/small-lr0.05-seed3.h5")
    wanted = {
        "loss": "label_smoothing:0.2",
        "optimizer": "momentum",
        "scheduler": "step",
        "scheduler_options": {"step_size": 1, "gamma": 0.5},
        "weight_decay": 0.01,
        "grad_clip": "norm:1",
        "early_stop": 3,
        "augment": "flip,crop,noise:0.1",
        "val_every": 2,
        "seed": 3,
        "precision": "bf16",
        "model_options": {"activation": "tanh", "width": 6, "num_classes": 10, "pretrained": "w.pth"},
    }
    assert {key: run.recipe[key] for key in wanted} == wanted
    np.testing.assert_array_equal(run.learning_rate, [0.05] * 3 + [0.025] * 3)
    assert run.val_step.tolist() == [2, 4, 6]
    assert len(list(Path("log/small-lr0.05-seed3").glob("*tfevents*"))) == 1
    built = load_checkpoint("o/checkpoints/small-lr0.05-seed3-best.pth").build()
    assert isinstance(built[2], torch.nn.Tanh)
    assert "learning rate" in Path("o/small-lr0.05-seed3.html").read_text()


def test_stopped_with_ctrl_c_and_continued(refused, landscape, monkeypatch):
    landscape(*ONE, "--out", "whole")
    step, made = Trainer.step, []

    def stopping(self, rows):
        if self.config.out is not None:
            made.append(1)
            if len(made) == 5:
                raise KeyboardInterrupt
        return step(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping)
        message = refused(130, *ONE, "--out", "out")
    assert "the same command again to continue" in message
    result = landscape(*ONE, "--out", "out")
    assert "3 steps to go, 3 done before" in result.stderr
    one, other = (load(f"{out}/runs/{NAME}.h5") for out in ("whole", "out"))
    assert one.loss.tobytes() == other.loss.tobytes()
    assert files(Path("whole")) == files(Path("out"))


def test_a_finished_run_is_not_trained_again_unless_it_is_asked_for(landscape, counted_steps):
    landscape(*ONE, "--out", "out")
    assert counted_steps.total() == 6
    result = landscape(*ONE, "--out", "out")
    assert counted_steps.total() == 6
    assert "were done before" in result.stderr
    before = load(f"out/runs/{NAME}.h5")
    landscape(*ONE, "--out", "out", "--no-resume")
    assert counted_steps.total() == 12
    assert load(f"out/runs/{NAME}.h5").loss.tobytes() == before.loss.tobytes()


def test_to_begin_anew_other_settings_may_replace_a_run(landscape, refused):
    landscape(*ONE, "--out", "out")
    refused(1, *ONE, "--optimizer", "sgd", "--out", "out", says=["optimizer='adamw'", "optimizer='sgd'", "--out"])
    landscape(*ONE, "--optimizer", "sgd", "--out", "out", "--no-resume")
    assert load(f"out/runs/{NAME}.h5").recipe["optimizer"] == "sgd"


def test_an_early_stop_is_said_and_kept(landscape, monkeypatch, counted_steps):
    from landscape.records import Measurement
    from landscape.training import trainer

    losses = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(trainer, "evaluate", lambda *args, **named: Measurement(next(losses), 0.1, 0.5, 10))
    words = (*BASE, "vgg_light", "--epochs", 8, "--early-stop", 1, "--out", "out")
    result = landscape(*words)
    assert "Stopped before 8 epochs: the validation loss did not fall for 1 epoch." in result.stdout
    assert result.stderr.splitlines()[-1].startswith("6 of 6 steps")
    assert result.stderr.splitlines()[-1].endswith("ended early")
    assert counted_steps.total() == 6
    again = landscape(*words)
    assert counted_steps.total() == 6
    assert "Stopped before 8 epochs" in again.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--lr", "0"), "'--lr'"),
        (("--loss", "crossentropy"), "Did you mean 'cross_entropy'?"),
        (("--loss", "label_smoothing:x"), "label_smoothing:0.1"),
        (("--optimizer", "lion"), "'lion' is not one of"),
        (("--scheduler", "linear"), "'linear' is not one of 'none', 'onecycle'"),
        (("--scheduler", "step", "--scheduler-option", "size=5"), "Did you mean 'step_size'?"),
        (("--scheduler-option", "gamma=0.5"), "'none' has no options; got gamma=0.5. Choose one that has, with --s"),
        (("--grad-clip", "0.1"), "value:BOUND or norm:BOUND"),
        (("--augment", "flip,mirror"), "no augmentation named 'mirror'"),
        (("--augment", "noise:-1"), "a number above zero"),
        (("--early-stop", "0"), "'--early-stop': 0"),
        (("--val-every", "0"), "'--val-every': 0"),
        (("--model", "vgg_lite"), "Did you mean 'vgg_light'?"),
        (("--model-option", "widths=3"), "option"),
        (("--activation", "tanh"), "activation"),
    ],
)
def test_an_option_without_meaning(refused, place, words, says):
    refused(2, *ONE, *words, says=[says])
    assert not list(place.iterdir())


def test_a_network_has_to_be_named(refused):
    refused(2, "train", "--dataset", "fashion_mnist_mini", says=["--model"])


def test_combinations_that_cannot_be(refused, place, npz, counted_steps):
    images = ("--dataset", npz(side=28), "--limit", 60)
    refused(1, *ONE, *images, "--image-size", 28, says=["28 x 28", "--image-size"])
    words = ("--loss", "mse", "--model-option", "num_classes=12")
    refused(1, *ONE, *words, says=["12 outputs", "10 classes", "unknown", "num_classes=10"])
    refused(1, *ONE, "--model-option", "num_classes=5", says=["5 outputs", "10 classes"])
    short = ("--scheduler", "onecycle", "--scheduler-option", "pct_start=0.5", "--batch-size", 100)
    refused(2, *ONE, *short, says=["2 epochs of 1 steps are too few", "change pct_start"])
    refused(2, *BASE, "net_bn", "--batch-size", 1, says=["batches of one image", "--batch-size 2"])
    assert not counted_steps
    assert files(place) == ["own.npz"]


def test_images_of_28_pixels_are_refused_by_a_network_for_32_with_the_option_that_helps(
    refused, landscape, place, counted_steps
):
    """The embedded images as they are stored; under their own name they are padded."""
    words = ("train", "--dataset", f"npz:{EMBEDDED}", "--limit", 40, "--epochs", 1, "--model")
    way = "Prepare them with --image-size 32 --channels 1 (image_size=, channels= in Python)."
    message = refused(1, *words, "vgg", says=["vgg takes 1 x 32 x 32 images; got 1 x 28 x 28.", way])
    assert message.endswith(way), "other channels would not help"
    assert not counted_steps
    assert files(place) == []
    landscape(*words, "vgg_light", "--image-size", 32, "--channels", 1)
    assert load(f"results/train/runs/{NAME}.h5").recipe["data"]["image_size"] == 32


def test_a_network_of_ones_own_is_trained_by_its_path(landscape, refused, place):
    (place / "own_networks.py").write_text(
        "from torch import nn\n\n\ndef small(width=4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, width), nn.ReLU(), nn.Linear(width, 10))\n"
    )
    words = (*BASE, "own_networks:small", "--epochs", 1, "--out", "o", "--model-option")
    says = ["cannot build own_networks:small with width='wide': ", "Check the values of these options"]
    refused(2, *words, "width=wide", says=says)
    landscape(*words, "width=5")
    (file,) = (place / "o/checkpoints").glob("*-last.pth")
    checkpoint = load_checkpoint(file, "own_networks:small")
    assert checkpoint.build()[1].out_features == 5
    (run,) = (place / "o/runs").iterdir()
    assert load(run).recipe["model"] == "own_networks:small"
    assert len(load(run).loss) == 3
    evaluated = ("evaluate", "--ckpt", file, "--limit", 20, "--out", "e.h5")
    refused(1, *evaluated, says=["not trusted to name code", "--model own_networks:small"])
    landscape(*evaluated, "--model", "own_networks:small")  # what it says to type


def test_places_that_cannot_be_written_are_found_out_before_training(refused, place, counted_steps, monkeypatch):
    (place / "file").write_text("in the way")
    refused(1, *ONE, "--out", "file/deeper", says=["file/deeper", "is a file", "--out"])
    refused(1, *ONE, "--tensorboard", "file/log", says=["file/log", "is a file"])
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    refused(1, *ONE, "--tensorboard", "log", says=["pip install 'landscape-lab[tensorboard]'"])
    assert not counted_steps
