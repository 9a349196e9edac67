"""Interrupted, killed or finished: the same call ends with what an uninterrupted one gives, and pays nothing twice."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from landscape.datasets.options import DataOptions
from landscape.errors import LandscapeError, ResumeError, StorageError
from landscape.storage import load
from landscape.training import TrainConfig, keeping, train


class Stop:
    """Raise at a step, as Ctrl-C would."""

    def __init__(self, at):
        self.at = at

    def __call__(self, progress):
        if progress.done == self.at:
            raise KeyboardInterrupt


def interrupt(config, at, data=None):
    with pytest.raises(KeyboardInterrupt):
        train(config, progress=Stop(at), data=data)


@pytest.fixture
def compare(assert_same_run, assert_same_weights):
    """Record, files and checkpoints of two configurations are equal bit for bit."""

    def check(one, other):
        assert_same_run(load(one.run_path), load(other.run_path))
        for which in ("best", "last"):
            assert_same_weights(one.checkpoint_path(which), other.checkpoint_path(which))

    return check


@pytest.mark.parametrize("optimizer", ["adamw", "momentum"])
@pytest.mark.parametrize("stops", [[3], [6], [7], [9, 15], [12, 12, 13]])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    config, tmp_path, steps, *, compare, assert_same_run, stops, optimizer
):
    """Six steps an epoch; dropout, BatchNorm and an optimiser with a state."""
    whole = config(out=tmp_path / "whole", optimizer=optimizer, learning_rate=1e-2)
    expected = train(whole)
    steps.clear()
    broken = dataclasses.replace(whole, out=tmp_path / "broken")
    torch.manual_seed(5)
    for at in stops:
        interrupt(broken, at)
    found = train(broken)
    assert_same_run(found, expected)
    compare(broken, whole)
    assert len(steps) == 18 + sum((at - 1) % 6 + 1 for at in stops)  # only what was made of the epoch at hand


OPTIONS = [
    {"scheduler": "onecycle"},
    {"scheduler": "onecycle", "optimizer": "momentum"},
    {"scheduler": "plateau", "scheduler_options": {"patience": 0, "threshold": 0.9}},
    {"scheduler": "step", "scheduler_options": {"step_size": 1}},
    {"scheduler": "cosine", "optimizer": "momentum"},
    {"augment": ("flip", "crop", "noise:0.1")},
    {"augment": ("autoaugment",)},
    {"val_every": 4, "grad_clip": "norm:1"},
    {"early_stop": 1, "learning_rate": 0.3},
    {"loss": "label_smoothing:0.1", "grad_clip": "value:0.01"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_survives_an_interruption(config, tmp_path, data, *, compare, assert_same_run, options):
    """Stopped in the second epoch and in the third: schedule, draws, patience and the best network are as if not."""
    whole = config(out=tmp_path / "whole", **({"learning_rate": 1e-2} | options))
    expected = train(whole, data=data)
    broken = dataclasses.replace(whole, out=tmp_path / "broken")
    for at in (9, 15):
        if at <= len(expected.loss):
            interrupt(broken, at, data)
    found = train(broken, data=data)
    assert_same_run(found, expected)
    for name in ("learning_rate", "train_accuracy", "val_step", "val_step_loss", "val_step_accuracy"):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes(), name
    compare(broken, whole)


def test_a_run_that_an_earlier_release_began_is_continued(config, tmp_path, assert_same_run):
    """Its checkpoint and its record lack what is recorded now; the recipe is the same."""
    whole = config(out=tmp_path / "whole", learning_rate=1e-2)
    expected = train(whole)
    c = dataclasses.replace(whole, out=tmp_path / "old")
    interrupt(c, 8)
    path = c.checkpoint_path("last")
    content = torch.load(path, weights_only=True)
    for name in ("train_accuracy", "learning_rate", "val_steps", "epoch_steps"):
        del content["training"]["history"][name]
    torch.save(content, path)
    with h5py.File(c.run_path, "r+") as file:
        for name in ("train_accuracy", "learning_rate", "val_step_loss", "val_step_accuracy", "val_step"):
            del file[name]
    old = load(c.run_path)
    assert np.isnan(old.learning_rate).all()
    assert (old.learning_rate.shape, old.train_accuracy.shape, old.val_step.shape) == ((6,), (1,), (0,))
    found = train(c)
    assert_same_run(found, expected)
    assert np.isnan(found.learning_rate[:6]).all()
    assert (found.learning_rate[6:] == 1e-2).all()
    assert np.isnan(found.train_accuracy[0])
    np.testing.assert_array_equal(found.train_accuracy[1:], expected.train_accuracy[1:])


def full(*args, **named):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("ending", ["-best.pth", "-last.pth", ".h5"])
def test_a_disk_that_fills_up_ends_the_run_in_words_and_loses_no_epoch(
    config, tmp_path, steps, monkeypatch, *, compare, ending
):
    """Full from the second epoch on, for one kind of file after the other; then there is room again."""
    whole = config(out=tmp_path / "whole", learning_rate=1e-2)
    train(whole)
    broken = dataclasses.replace(whole, out=tmp_path / "broken")
    write = Path.write_bytes

    def filling(self, data):
        done = len(steps)
        return full() if done > 6 and self.name.removesuffix(".partial").endswith(ending) else write(self, data)

    steps.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", filling)
        with pytest.raises(StorageError, match=rf"cannot write .*{ending}: No space left.*same command again"):
            train(broken)
    assert len(load(broken.run_path).epoch) >= 1, "the finished epoch is there"
    assert not list(broken.out.rglob("*.partial"))
    made = len(steps)
    train(broken)
    kept = 18 - (len(steps) - made)
    assert kept >= 6, "the finished epoch is not trained again"
    compare(broken, whole)


def test_progress_of_a_continued_run_counts_what_was_done(config, tmp_path):
    c = config(out=tmp_path)
    interrupt(c, 8)
    seen = []
    train(c, progress=seen.append)
    assert [p.done for p in seen] == list(range(7, 19))


def test_a_finished_run_costs_nothing(config, tmp_path, steps, assert_same_run):
    c = config(out=tmp_path)
    first = train(c)
    steps.clear()
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")}
    assert_same_run(train(c), first)
    assert steps == []
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")} == files


def test_a_run_killed_between_its_last_checkpoint_and_its_record_is_finished_without_training(
    config, tmp_path, steps, monkeypatch, compare
):
    whole = config(out=tmp_path / "whole")
    train(whole)
    broken = dataclasses.replace(whole, out=tmp_path / "broken")
    save, calls = keeping.save, []

    def killed(record, path):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(record, path)

    monkeypatch.setattr(keeping, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(broken)
    monkeypatch.setattr(keeping, "save", save)
    assert len(load(broken.run_path).epoch) == 2
    steps.clear()
    train(broken)
    assert steps == []
    compare(broken, whole)


def test_a_run_killed_between_its_best_and_its_last_checkpoint_repeats_that_epoch(
    config, tmp_path, steps, monkeypatch, compare
):
    whole = config(out=tmp_path / "whole", learning_rate=1e-2)
    train(whole)
    broken = dataclasses.replace(whole, out=tmp_path / "broken")
    save = keeping.save_checkpoint

    def killed(path, *args, **named):
        if "last" in path.name and named["meta"]["epoch"] == 2:
            raise KeyboardInterrupt
        save(path, *args, **named)

    monkeypatch.setattr(keeping, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(broken)
    monkeypatch.setattr(keeping, "save_checkpoint", save)
    steps.clear()
    train(broken)
    assert len(steps) == 12
    compare(broken, whole)


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from landscape.datasets.options import DataOptions
from landscape.training import TrainConfig, train

torch.set_num_threads(1)
at = int(sys.argv[2])

def kill(progress):
    if progress.done == at:
        os.kill(os.getpid(), signal.SIGKILL)

train(TrainConfig("vgg_light_bn", epochs=2, batch_size=32, device="cpu", out=Path(sys.argv[1]),
                  data=DataOptions("fashion_mnist_mini", limit=130)), progress=kill)
"""


def test_kill_9_and_the_same_call_again(tmp_path, steps, compare):
    """Four steps an epoch; killed at the second step of the second epoch."""
    data = DataOptions("fashion_mnist_mini", limit=130)
    whole = TrainConfig("vgg_light_bn", epochs=2, batch_size=32, device="cpu", out=tmp_path / "whole", data=data)
    broken = dataclasses.replace(whole, out=tmp_path / "broken")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(broken.out), "6"], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    train(broken)
    assert len(steps) == 4
    train(whole)
    compare(broken, whole)


@pytest.mark.parametrize(
    ("change", "key", "old", "new"),
    [
        ({"batch_size": 30}, "batch_size", "20", "30"),
        ({"epochs": 5}, "epochs", "3", "5"),
        ({"weight_decay": 0.5}, "weight_decay", "0.0001", "0.5"),
        ({"optimizer": "sgd"}, "optimizer", "'adamw'", "'sgd'"),
        ({"precision": "bf16"}, "precision", "'fp32'", "'bf16'"),
        ({"loss": "mse"}, "loss", "'cross_entropy'", "'mse'"),
        ({"validation": 0.2}, "validation", "0.1", "0.2"),
        ({"model_options": {"widths": (3,)}}, "model_options.widths", "None", "(3,)"),
        ({"data": DataOptions("fashion_mnist_mini", limit=130, seed=1)}, "data.seed", "0", "1"),
        (
            {"data": DataOptions("fashion_mnist_mini", limit=130, normalization="half")},
            "data.normalization",
            "dataset",
            "half",
        ),
    ],
)
def test_other_settings_are_an_error_that_names_them(config, tmp_path, steps, *, change, key, old, new):
    c = config(out=tmp_path)
    before = train(c)
    steps.clear()
    with pytest.raises(ResumeError) as caught:
        train(dataclasses.replace(c, **change))
    message = str(caught.value)
    stored, asked = message.split("this call has")
    assert f"{key}=" in stored
    assert old in stored
    assert f"{key}=" in asked
    assert new in asked
    assert "--out" in asked
    assert steps == []
    assert load(c.run_path).loss.tobytes() == before.loss.tobytes()


def test_an_unfinished_run_with_other_settings_is_refused_too(config, tmp_path):
    c = config(out=tmp_path)
    interrupt(c, 8)
    with pytest.raises(ResumeError, match=r"batch_size=20.*batch_size=30"):
        train(dataclasses.replace(c, batch_size=30))


def test_a_run_with_options_that_json_does_not_know_is_found_again(config, tmp_path, steps):
    """JSON makes a list of a tuple."""
    c = config(out=tmp_path, model_options={"widths": (3,)})
    interrupt(c, 8)
    train(c)
    assert len(steps) == 8 + 12
    train(c)
    assert len(steps) == 8 + 12


def test_numbers_of_numpy_give_the_same_run_and_can_be_continued(config, tmp_path, steps, assert_same_run):
    expected = train(config(learning_rate=0.01, seed=2))
    c = config(out=tmp_path, learning_rate=np.float64(0.01), seed=np.int64(2))
    steps.clear()
    interrupt(c, 8)
    assert_same_run(train(c), expected)
    assert len(steps) == 8 + 12


@pytest.mark.parametrize("damage", ["record", "checkpoint"])
def test_a_damaged_file_is_named(config, tmp_path, damage):
    c = config(out=tmp_path)
    interrupt(c, 8)
    path = c.run_path if damage == "record" else c.checkpoint_path("last")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LandscapeError, match=path.name):
        train(c)


def test_without_a_folder_nothing_is_written(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(config(epochs=1))
    assert not list(tmp_path.iterdir())
