"""The command as a user has it: an empty working directory, no network, and counters of what a call pays for."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from landscape import devices, load_checkpoint
from landscape.cli import main
from landscape.surface import campaign, sampling
from landscape.training.trainer import Trainer

VARIANTS = (
    "--variants=vgg_light,vgg_light_bn",
    "--lrs=1e-3,3e-3",
    "--epochs=2",
    "--batch-size=32",
    "--dataset=fashion_mnist_mini",
    "--limit=100",
)

PROBED = (
    "--models=vgg_light,vgg_light_bn",
    "--lr=0.05",
    "--epochs=2",
    "--every=2",
    "--layers=1,3",
    "--batch-size=32",
    "--dataset=fashion_mnist_mini",
    "--limit=100",
)


class Probed(NamedTuple):
    """A folder that `smoothness` wrote, what was printed, and the options."""

    out: Path
    result: Result
    words: tuple[str, ...]


def invoke(*words):
    """Run the command in this process, as if it had been typed."""
    typed = [str(word) for word in words]
    before, sys.argv = sys.argv, ["landscape", *typed]
    try:
        with devices.threads(1):  # tiny batches gain nothing from more
            return CliRunner().invoke(main, typed, prog_name="landscape")
    finally:
        sys.argv = before


def kill_when(condition, command):
    """Run a command in a process of its own and kill it as soon as ``condition()`` holds."""
    typed, environment = [sys.executable, *map(str, command)], os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(typed, stderr=subprocess.PIPE, text=True, env=environment) as child:
        deadline = time.monotonic() + 120
        while not condition():
            assert child.poll() is None, f"ended by itself: {child.stderr.read()}"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(timeout=30) == -signal.SIGKILL


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Work in an empty folder, without archives and without a network."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("LANDSCAPE_DATA", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tmp_path / "here"


@pytest.fixture
def run_any():
    """Run a command, whatever comes of it."""
    return invoke


@pytest.fixture
def landscape():
    """Run a command that must succeed; gives its result."""

    def run(*words):
        result = invoke(*words)
        assert result.exit_code == 0, f"{result.stderr}\n{result.exception!r}"
        return result

    return run


@pytest.fixture
def refused(place):
    """Run a command that must end with one paragraph of error; gives the message."""

    def run(code, *words, says=()):
        before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
        result = invoke(*words)
        *progress, message = result.stderr.splitlines()
        assert result.exit_code == code, f"{result.stderr}\n{result.exception!r}"
        assert message.startswith("Error: " if code != 130 else "Stopped. ")  # who stops makes no error
        assert not any(line.startswith(("Error", "Traceback", " ")) for line in progress)
        assert not message.startswith("Error: unexpected"), "an error that nobody foresaw"
        assert result.stdout == ""
        for text in says:
            assert str(text) in message
        for path, content in before.items():
            assert path.read_bytes() == content, f"{path} was changed"
        assert not [path for path in place.rglob("*") if path.suffix == ".partial"]
        return message

    return run


@pytest.fixture
def counted_steps(monkeypatch):
    """Count optimiser steps by run; throw-away networks that are timed do not count."""
    steps, step = Counter(), Trainer.step

    def counting(self, rows):
        if self.config.out is not None:
            steps[self.config.name] += 1
        return step(self, rows)

    monkeypatch.setattr(Trainer, "step", counting)
    return steps


@pytest.fixture
def counted_cells(monkeypatch):
    """List the cells that are measured, those of several surfaces alike; checks and choices do not count."""
    cells = []

    class Counting(campaign.SurfaceTask):
        @contextmanager
        def open(self):
            with super().open() as work:

                def counting(part):
                    cells.extend(part[1])
                    return work(part)

                yield counting

    monkeypatch.setattr(campaign, "SurfaceTask", Counting)
    return cells


@pytest.fixture
def short_blocks(monkeypatch):
    """Blocks of one or a few cells, so that a small surface has many."""
    monkeypatch.setitem(sampling.Blocks.__init__.__kwdefaults__, "seconds", 1e-3)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder that `train-variants` with VARIANTS wrote, uninterrupted. To be read only."""
    out = tmp_path_factory.mktemp("trained")
    result = invoke("train-variants", *VARIANTS, "--out", out)
    assert result.exit_code == 0, f"{result.stderr}\n{result.exception!r}"
    return out


@pytest.fixture
def killed_when():
    return kill_when


@pytest.fixture(scope="session")
def probed(tmp_path_factory):
    """A folder that `smoothness` with PROBED wrote, uninterrupted. To be read only."""
    out = tmp_path_factory.mktemp("probed")
    result = invoke("smoothness", *PROBED, "--out", out)
    assert result.exit_code == 0, f"{result.stderr}\n{result.exception!r}"
    return Probed(out, result, PROBED)


@pytest.fixture
def variants():
    """The options of `trained`."""
    return VARIANTS


@pytest.fixture
def ckpt(trained, place):
    """A checkpoint of this package, with BatchNorm, in the working directory."""
    path = place / "net.pth"
    path.write_bytes((trained / "vgg_light_bn.pth").read_bytes())
    return path


@pytest.fixture
def foreign(trained, place):
    """The same weights as anybody saves them: a bare state dict."""
    path = place / "foreign.pth"
    torch.save(dict(load_checkpoint(trained / "vgg_light_bn.pth").state_dict), path)
    return path


@pytest.fixture
def npz(place):
    """Write random images and labels; gives the name that --dataset takes."""

    def write(side=28, classes=10, channels=1, n=120):
        rng = np.random.default_rng(0)
        shape = (n, side, side) if channels == 1 else (n, side, side, channels)
        arrays = {}
        for split in ("train", "test"):
            arrays[f"x_{split}"] = rng.integers(0, 256, shape, dtype=np.uint8)
            arrays[f"y_{split}"] = np.arange(n) % classes
        np.savez(place / "own.npz", **arrays)
        return "npz:own.npz"

    return write


@pytest.fixture
def estimate():
    """Check that what was said on standard error begins with the estimate; gives the other lines."""

    def check(stderr, unit):
        first, *others = stderr.splitlines()
        assert re.fullmatch(rf"[\d,]+ {unit}s? to go(, [\d,]+ done before)?: about .+\.", first)
        return others

    return check
