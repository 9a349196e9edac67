"""kill -9 in mid-run: the file is whole, and the same call continues it to the same bits."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time

import numpy as np

import landscape as ls

_RUN = '''
import functools
import sys
import time

import torch
from torch import nn

import landscape as ls
from landscape.surface import measure


class Slow(nn.Sequential):
    pause = 0.0

    def forward(self, x):
        time.sleep(self.pause)
        self.passes = getattr(self, "passes", 0) + 1
        return super().forward(x)


def ask(path, pause=0.0):
    """Measure 2 x 13 x 11 = 286 cells; return the surface and the number of passes."""
    torch.manual_seed(0)
    net = Slow(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
    net.pause = pause
    objective = ls.Objective(net, x, y, bn="recalibrated", device="cpu")
    grid = ls.Grid([-1 + i / 6 for i in range(13)], [-0.5 + j / 10 for j in range(11)])
    return ls.measure_surface(objective, ls.random_pairs(net, 2), grid, path=path), net.passes


if __name__ == "__main__":
    measure.Blocks = functools.partial(measure.Blocks, seconds=0.25)
    ask(sys.argv[1], pause=0.02)
'''
_CELLS, _WAIT = 286, 120.0


def test_killed_and_continued_equals_uninterrupted(same_surface, tmp_path):
    script, path = tmp_path / "run.py", tmp_path / "surface.h5"
    script.write_text(_RUN)
    process = subprocess.Popen([sys.executable, str(script), str(path)], env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        limit = time.monotonic() + _WAIT
        done = 0
        while done == 0:  # 286 cells of 2 x 20 ms and more leave ten seconds in which to be caught
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < limit
            time.sleep(0.02)
            done = int(ls.load(path).done.sum()) if path.exists() else 0  # a reader never meets half a file
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    stored = ls.load(path)
    kept = int(stored.done.sum())
    assert 0 < kept < _CELLS
    assert np.isfinite(stored.loss[stored.done]).all()
    ask = runpy.run_path(str(script))["ask"]
    resumed, passes = ask(path)
    # recalibration and evaluation are two passes; the center is evaluated three times
    assert passes == 2 * (_CELLS - kept + 3)
    whole, _ = ask(tmp_path / "whole.h5")
    same_surface(resumed, whole)
    same_surface(ls.load(path), whole)
    np.testing.assert_array_equal(resumed.loss[stored.done], stored.loss[stored.done])
