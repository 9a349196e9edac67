"""Probing while training: the run does not notice, the trace is what single probes give, and a killed one goes on."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from landscape import models
from landscape.datasets.options import DataOptions
from landscape.errors import ResumeError, UsageError
from landscape.models import base
from landscape.models.layers import initialize
from landscape.smoothness import internal_covariate_shift, line_search_probe, probe_training
from landscape.storage import load
from landscape.training import TrainConfig, keeping, train, trainer
from landscape.training.observing import Moment

ETAS = (0.005, 0.01, 0.02, 0.04)


class Small(nn.Sequential):
    def __init__(self, *, num_classes=10, in_channels=3, seed=0):
        super().__init__(
            nn.Conv2d(in_channels, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
            nn.Linear(196, 12), nn.Dropout(0.25), nn.Linear(12, num_classes),
        )  # fmt: skip
        initialize(self, seed=seed)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A network with dropout and BatchNorm, in a table that is put back."""
    models.names()
    monkeypatch.setattr(base._FAMILIES, "_items", dict(base._FAMILIES._items))
    models.register("small", models.Family(Small, options=("num_classes", "in_channels", "seed")))


@pytest.fixture
def config():
    """117 images, 20 a step: six steps an epoch, of which every fourth is probed."""

    def make(**settings):
        plain = {"epochs": 3, "batch_size": 20, "device": "cpu", "learning_rate": 1e-2,
                 "data": DataOptions("fashion_mnist_mini", limit=130)}  # fmt: skip
        return TrainConfig("small", **(plain | settings))

    return make


def weights(config):
    content = torch.load(config.checkpoint_path("last"), weights_only=True)
    return content["state_dict"], content.get("training", {})


@pytest.mark.parametrize("optimizer", ["adamw", "momentum"])
def test_the_run_is_that_of_nobody_looking(config, tmp_path, optimizer):
    """Losses, weights, BatchNorm buffers bit for bit, so dropout masks too; and the caller's generator."""
    plain, probed = (config(out=tmp_path / name, optimizer=optimizer) for name in ("plain", "probed"))
    alone = train(plain)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run, trace = probe_training(probed, every=1, layers=(1, 2, 3))
    assert torch.equal(torch.get_rng_state(), before)
    assert run.loss.tobytes() == alone.loss.tobytes()
    assert run.val_loss.tobytes() == alone.val_loss.tobytes()
    for (name, a), b in zip(weights(plain)[0].items(), weights(probed)[0].values(), strict=True):
        assert torch.equal(a, b), name
    assert trace.loss.shape == (18, 4)
    assert trace.covariate_shift.shape == (18, 3)


def test_every_generator_is_where_an_unprobed_run_has_it(config, monkeypatch):
    """The state of torch's generator before every update, which the masks are drawn from."""

    def states(look):
        seen = []
        update = trainer.Trainer.learn

        def noted(self, inputs, targets):
            seen.append(torch.get_rng_state())
            return update(self, inputs, targets)

        with monkeypatch.context() as patch:
            patch.setattr(trainer.Trainer, "learn", noted)
            look()
        return torch.stack(seen)

    c = config(epochs=1)
    assert torch.equal(states(lambda: train(c)), states(lambda: probe_training(c, every=2, layers=[2])))


class Collects:
    """An observer that keeps what it is shown, and a copy of the network before and after."""

    def __init__(self):
        self.seen = []

    def begin(self, recipe, steps):
        self.began = recipe["model"], steps

    def wants(self, step):
        return step in {0, 4}

    def observe(self, moment: Moment):
        with torch.random.fork_rng(devices=[]):  # an observer leaves the masks alone
            twin, after = Small().double(), Small().double()
        twin.load_state_dict(moment.model.state_dict())
        inputs, targets = moment.inputs.clone(), moment.targets.clone()
        self.seen.append((moment.step, twin, after, inputs, targets))
        return lambda: after.load_state_dict(moment.model.state_dict())

    def epoch_ended(self):
        self.ended = True


def test_a_trace_is_what_single_probes_of_these_steps_give(config):
    """From copies of the network before and after the update, in float64."""
    c, collects = config(epochs=1), Collects()
    train(c, observers=(collects,))
    assert collects.began == ("small", 0)
    assert collects.ended
    run, trace = probe_training(c, every=4, layers=(2, "1"))
    assert trace.step.tolist() == [0, 4]
    assert trace.layer.tolist() == ["5", "1"]
    assert trace.step_size.tolist() == list(ETAS)
    for row, (step, twin, after, inputs, targets) in enumerate(collects.seen):
        assert step == trace.step[row]
        single = line_search_probe(twin, inputs, targets, step_sizes=ETAS)
        np.testing.assert_allclose(trace.loss[row], single.loss, rtol=1e-5)
        np.testing.assert_allclose(trace.gradient_distance[row], single.gradient_distance, rtol=1e-3)
        np.testing.assert_allclose(trace.gradient_norm[row], single.gradient_norm, rtol=1e-4)
        np.testing.assert_allclose(trace.start_loss[row], single.start_loss, rtol=1e-5)
        moved = internal_covariate_shift(after, dict(twin.named_parameters()), inputs, targets, layers=(2, "1"))
        np.testing.assert_allclose(trace.covariate_shift[row], moved.norm, rtol=1e-3)
        np.testing.assert_allclose(trace.covariate_cosine[row], moved.cosine, rtol=1e-3)
        assert 0 <= trace.accuracy[row] <= 1
    assert abs(trace.start_loss[0] - run.loss[0]) > 1e-3, "dropout is off while probing, and on while training"


def test_the_recipe_holds_the_run_and_the_probe(config):
    _, trace = probe_training(config(epochs=1), every=3, step_sizes=(0.5, 0.1))
    assert trace.recipe["model"] == "small"
    assert trace.recipe["seed"] == 0
    probe = trace.recipe["probe"]
    assert (probe["every"], probe["step_sizes"], probe["layers"]) == (3, [0.1, 0.5], [])
    assert (probe["bn"], probe["dropout"]) == ("batch", "off")
    assert trace.covariate_shift.shape == (2, 0)
    json.dumps(dict(trace.recipe))


class Stop:
    def __init__(self, at):
        self.at = at

    def __call__(self, progress):
        if progress.done == self.at:
            raise KeyboardInterrupt


SETTINGS = {"every": 4, "layers": (1, 3)}


@pytest.fixture
def whole(config, tmp_path):
    c = config(out=tmp_path / "whole")
    probe_training(c, **SETTINGS)
    return c


def trace_file(config):
    return config.out / "traces" / f"{config.name}.h5"


def same(one, other):
    assert trace_file(one).read_bytes() == trace_file(other).read_bytes()
    for (name, a), b in zip(weights(one)[0].items(), weights(other)[0].values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("stops", [[3], [6], [8, 11], [13, 17]])
def test_an_interrupted_run_ends_with_the_same_file(whole, tmp_path, stops):
    broken = dataclasses.replace(whole, out=tmp_path / "broken")
    for at in stops:
        with pytest.raises(KeyboardInterrupt):
            probe_training(broken, progress=Stop(at), **SETTINGS)
    _, trace = probe_training(broken, **SETTINGS)
    assert trace.step.tolist() == [0, 4, 8, 12, 16]
    same(broken, whole)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_run_killed_between_its_trace_and_its_checkpoint_repeats_the_epoch(whole, tmp_path, monkeypatch, epoch):
    broken = dataclasses.replace(whole, out=tmp_path / "broken")
    kept = keeping.save_checkpoint

    def killed(path, *args, **named):
        if named["meta"]["epoch"] == epoch:
            raise KeyboardInterrupt
        kept(path, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            probe_training(broken, **SETTINGS)
    assert len(load(trace_file(broken)).step) == {1: 2, 2: 3, 3: 5}[epoch]
    probe_training(broken, **SETTINGS)
    same(broken, whole)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from landscape.datasets.options import DataOptions
from landscape.smoothness import probe_training
from landscape.training import TrainConfig

torch.set_num_threads(1)

def kill(progress):
    if progress.done == 6:
        os.kill(os.getpid(), signal.SIGKILL)

probe_training(TrainConfig("vgg_light_bn", epochs=2, batch_size=32, device="cpu", out=Path(sys.argv[1]),
               data=DataOptions("fashion_mnist_mini", limit=130)), every=3, layers=(2,), progress=kill)
"""


def test_kill_9_and_the_same_call_again(tmp_path):
    data = DataOptions("fashion_mnist_mini", limit=130)
    whole = TrainConfig("vgg_light_bn", epochs=2, batch_size=32, device="cpu", out=tmp_path / "whole", data=data)
    broken = dataclasses.replace(whole, out=tmp_path / "broken")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(broken.out)], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    for c in (whole, broken):
        probe_training(c, every=3, layers=(2,))
    same(broken, whole)


def test_a_finished_run_is_read(whole, monkeypatch, assert_same):
    stored = load(trace_file(whole))
    monkeypatch.setattr(trainer.Trainer, "step", None)
    run, trace = probe_training(whole, **SETTINGS)
    assert len(run.loss) == 18
    assert_same(trace, dataclasses.replace(stored, environment=trace.environment))


def test_a_run_without_its_trace_says_what_to_do(whole, tmp_path):
    trace_file(whole).unlink()
    with pytest.raises(ResumeError, match=r"was trained for 18 steps, and .* holds 0 of the 5 probes") as caught:
        probe_training(whole, **SETTINGS)
    assert "remove" in str(caught.value) and "choose another output" in str(caught.value)
    for kind in ("runs", "checkpoints"):
        shutil.rmtree(whole.out / kind)
    probe_training(whole, **SETTINGS)
    assert trace_file(whole).exists()


def test_another_probe_of_the_same_run_is_refused_by_name(whole):
    with pytest.raises(ResumeError, match=r"probe.every=4, this call has probe.every=2"):
        probe_training(whole, every=2, layers=(1, 3))
    with pytest.raises(ResumeError, match=r"probe.layers=\[1, 3\]"):
        probe_training(whole, every=4)
    with pytest.raises(ResumeError, match=r"probe.step_sizes"):
        probe_training(whole, step_sizes=(0.3,), **SETTINGS)


def test_a_diverged_run_keeps_what_it_is(config):
    run, trace = probe_training(config(optimizer="sgd", learning_rate=1e12, epochs=2), every=2)
    assert run.diverged
    assert not np.isfinite(trace.loss).all()
    assert len(trace.step) == 3  # it ended after an epoch


def test_settings_without_meaning_are_refused(config):
    with pytest.raises(UsageError, match="at least one step apart; got every=0"):
        probe_training(config(), every=0)
    with pytest.raises(UsageError, match="step sizes"):
        probe_training(config(), multiples=())
    with pytest.raises(UsageError, match="there is no layer 9"):
        probe_training(config(), layers=(9,))
