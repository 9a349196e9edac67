"""kill -9 in mid-run, then the same command: the outcome is that of an uninterrupted run, and little is paid twice."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape import load, load_checkpoint
from landscape.errors import LandscapeError

# The command, with blocks of a few cells, a note of every cell measured, and a pause after a block to be killed in.
MEASURE = """
import os, sys, time
from landscape.surface import campaign, sampling
sampling.Blocks.__init__.__kwdefaults__["seconds"] = 0.02
log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
take = campaign.Campaign.take
def noted(self, part, *rest, **more):
    os.write(log, b"".join(b"%d %d %d\\n" % cell for cell in part[1]))
    take(self, part, *rest, **more)
    time.sleep(0.15)
campaign.Campaign.take = noted
from landscape.cli import main
main()
"""


def done_cells(path):
    try:
        return int(load(path).done.sum())
    except LandscapeError:  # not there yet
        return 0


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_training_killed_and_continued_equals_an_uninterrupted_one(
    killed_when, landscape, trained, variants, counted_steps
):
    out, second = Path("out"), "vgg_light-lr0.003-seed0"
    last = out / "checkpoints" / f"{second}-last.pth"
    killed_when(last.exists, ["-m", "landscape", "train-variants", *variants, "--out", "out", "--quiet"])
    assert not (out / "bands.h5").exists()
    trained_before = {
        path.name.removesuffix("-last.pth"): load_checkpoint(path).meta["epoch"] for path in out.rglob("*-last.pth")
    }
    assert trained_before["vgg_light-lr0.001-seed0"] == 2
    landscape("train-variants", *variants, "--out", "out")
    assert sum(counted_steps.values()) == 24 - 3 * sum(trained_before.values()), "no finished epoch is trained again"
    assert "vgg_light-lr0.001-seed0" not in counted_steps
    whole, continued = load(trained / "bands.h5"), load(out / "bands.h5")
    for name in ("loss", "val_loss", "val_accuracy", "collapsed", "diverged"):
        np.testing.assert_array_equal(getattr(continued, name), getattr(whole, name), err_msg=name)
    for path in [*trained.glob("checkpoints/*"), *trained.glob("*.pth")]:
        expected, found = load_checkpoint(path), load_checkpoint(out / path.relative_to(trained))
        assert all(torch.equal(found.state_dict[name], t) for name, t in expected.state_dict.items()), path.name
    assert {p.name for p in out.rglob("*") if p.is_file()} == {p.name for p in trained.rglob("*") if p.is_file()}


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_measuring_killed_and_continued_equals_an_uninterrupted_one(killed_when, landscape, ckpt, place, counted_cells):
    words = ("surface", "--ckpt", "net.pth", "--points", 5, "--pairs", 2, "--limit", 40, "--bn", "recalibrated")
    (place / "measure.py").write_text(MEASURE)
    path = place / "killed.h5"
    killed_when(lambda: done_cells(path) > 3, ["measure.py", "cells.log", *words, "--out", "killed.h5", "--quiet"])
    first = [tuple(map(int, line.split())) for line in (place / "cells.log").read_text().splitlines()]
    done = load(path).done
    assert 3 < done.sum() < 50
    block = len(first) - int(done.sum())  # taken but perhaps not written
    landscape(*words, "--out", "killed.h5")
    assert len(counted_cells) == len(set(counted_cells)) == 50 - done.sum()
    assert not any(done[cell] for cell in counted_cells)
    twice = set(first) & set(counted_cells)
    assert len(twice) == block
    assert len(twice) <= 25, "one block, of some 0.02 s"
    landscape(*words, "--out", "whole.h5")
    continued, whole = load("killed.h5"), load("whole.h5")
    for name in ("loss", "loss_sem", "delta_sem", "accuracy", "done", "measured"):
        np.testing.assert_array_equal(getattr(continued, name), getattr(whole, name), err_msg=name)
    assert continued.recipe == whole.recipe
    assert not list(place.glob("*.partial"))
