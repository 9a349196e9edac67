"""kill -9 in mid-run: the files are whole, and the same call continues them to the same bits."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import landscape as ls

_RUN = '''
import functools
import sys
import time

import torch
from torch import nn

import landscape as ls
from landscape.surface import measure

MODES = ("frozen", "batch", "recalibrated")


class Slow(nn.Sequential):
    pause = 0.0

    def forward(self, x):
        time.sleep(self.pause)
        return super().forward(x)


GRIDS = {
    "dense": ls.Grid([-1 + i / 6 for i in range(13)], [-0.5 + j / 10 for j in range(11)]),
    "adaptive": ls.Grid.square(1.0, 21),
}


def ask(folder, sampling, pause=0.0):
    """Measure two planes in each mode, two batches a cell; return the surfaces."""
    torch.manual_seed(0)
    net = Slow(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
    net.pause = pause
    objectives = [ls.Objective(net, x, y, bn=bn, batch_size=20, device="cpu") for bn in MODES]
    paths = [f"{folder}/{bn}.h5" for bn in MODES]
    return measure.measure_surfaces(
        objectives, ls.random_pairs(net, 2), GRIDS[sampling], paths=paths, sampling=sampling
    )


if __name__ == "__main__":
    measure.Blocks = functools.partial(measure.Blocks, seconds=0.25)
    ask(*sys.argv[1:], pause=0.005)
'''
_WAIT = 120.0
_MODES = ("frozen", "batch", "recalibrated")


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("sampling", ["dense", "adaptive"])
def test_killed_and_continued_equals_uninterrupted(same_surface, measured_parts, tmp_path, sampling):
    script, folder = tmp_path / "run.py", tmp_path / "killed"
    script.write_text(_RUN)

    def stored():
        return {bn: ls.load(folder / f"{bn}.h5") for bn in _MODES if (folder / f"{bn}.h5").exists()}

    command = [sys.executable, str(script), str(folder), sampling]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        limit = time.monotonic() + _WAIT
        while not any(s.done.any() for s in stored().values()):  # a reader never meets half a file
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < limit
            time.sleep(0.02)  # some 250 cells in three modes of 10 ms and more leave seconds in which to be caught
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    before = stored()
    kept = sum(int(s.done.sum()) for s in before.values())
    assert kept > 0
    assert not any(s.finished for s in before.values())
    assert all(np.isfinite(s.loss[s.done]).all() for s in before.values())
    ask = runpy.run_path(str(script))["ask"]
    resumed = ask(folder, sampling)
    again = [(which, cell) for which, block in measured_parts for cell in block]
    assert len(again) == len(set(again)) == sum(int(s.measured.sum()) for s in resumed) - kept  # no cell again
    assert not any(before[_MODES[which]].done[cell] for which, cell in again)
    whole = ask(tmp_path / "whole", sampling)
    assert whole[0].measured.all() == (sampling == "dense")
    for bn, found, wanted in zip(_MODES, resumed, whole, strict=True):
        same_surface(found, wanted)
        same_surface(ls.load(folder / f"{bn}.h5"), wanted)
        assert found.error_estimate == wanted.error_estimate
        np.testing.assert_array_equal(found.loss[before[bn].done], before[bn].loss[before[bn].done])
