"""The paper's deep linear setting, and gradient descent at the edge of stability."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from landscape import models
from landscape.errors import ResumeError, ShapeError, StorageError, UsageError
from landscape.smoothness import DeepLinearConfig, deep_linear, train_deep_linear
from landscape.smoothness.deep_linear import medians, steps_made, total_squared_error, unfinished, vectors
from landscape.storage import load


def test_the_loss_is_the_sum_over_outputs_and_examples(draw):
    y, t = draw(7, 3), draw(7, 3, seed=1)
    torch.testing.assert_close(total_squared_error(y, t).mean(), (y - t).square().sum(), rtol=1e-12, atol=0)


def test_networks_are_square_layers_with_or_without_batchnorm():
    plain, normalized = models.build("dln", seed=3), models.build("dln_bn", seed=3)
    assert [type(m) for m in plain] == [nn.Linear] * 25
    assert [type(m) for m in normalized] == [nn.Linear, nn.BatchNorm1d] * 25
    assert sum(p.numel() for p in plain.parameters()) == 2500
    assert torch.equal(plain[2].weight, normalized[4].weight)
    assert abs(float(torch.cat([m.weight.detach().flatten() for m in plain]).std()) - 0.1**0.5) < 0.02  # Glorot's
    with pytest.raises(ShapeError, match=r"takes vectors of 10 numbers; got 3 x 32 x 32"):
        plain(torch.zeros(2, 3, 32, 32))


def test_data_are_gaussian_and_linear():
    x, y = vectors(DeepLinearConfig(examples=5000))
    matrix = torch.linalg.lstsq(x, y).solution
    torch.testing.assert_close(x @ matrix, y, rtol=1e-9, atol=1e-9)
    assert abs(float(x.std()) - 1) < 0.02 and abs(float(matrix.std()) - 1) < 0.25
    assert not torch.equal(vectors(DeepLinearConfig(data_seed=1))[0], vectors(DeepLinearConfig())[0])
    assert torch.equal(vectors(DeepLinearConfig(seed=1))[0], vectors(DeepLinearConfig())[0])


def test_one_layer_follows_the_closed_form():
    """W_t = A^T + (1 - 2 eta X^T X)^t (W_0 - A^T), whose loss is the start loss of every probe."""
    config = DeepLinearConfig(depth=1, examples=50, learning_rate=1e-3, steps=7, every=2)
    trace = train_deep_linear(config)
    x, y = vectors(config)
    target = torch.linalg.lstsq(x, y).solution
    start = models.build("dln", depth=1).double()[0].weight.detach().T
    shrink = torch.eye(10, dtype=torch.float64) - 2e-3 * x.T @ x
    for row, t in enumerate((0, 2, 4, 6)):
        w = torch.linalg.matrix_power(shrink, t) @ (start - target) + target
        expected = float((x @ w - y).square().sum())
        np.testing.assert_allclose(trace.start_loss[row], expected, rtol=1e-6)  # weights are drawn in float32


@pytest.mark.parametrize(("eta", "expected"), [(0.49, 3e-4), (0.51, 2.5e3)])
def test_the_edge_of_stability_is_where_it_must_be(eta, expected):
    """L = 4 w^2 / 2: (1 - 4 eta)^200 either way of eta = 2 / 4, by one output of one example."""
    net = nn.Linear(1, 1, bias=False).double()
    net.weight.data.fill_(1.0)
    x, y = torch.full((1, 1), 2.0**0.5, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    optimizer = torch.optim.SGD(net.parameters(), lr=eta)
    for _ in range(200):
        optimizer.zero_grad()
        total_squared_error(net(x), y).mean().backward()
        optimizer.step()
    found = abs(net.weight.item())
    np.testing.assert_allclose(found, abs(1 - 4 * eta) ** 200, rtol=1e-9)
    assert 0.5 < found**1 / expected < 2 or 0.5 < found**2 / 2 / expected < 2


def test_the_order_of_the_published_medians_comes_out():
    """Figure 10, steps 0 to 1000: loss 9.3 / 4.9, change of the gradient 11.0 / 6.3, beta_smoothness 7.0 / 6.3."""
    found = {
        name: medians(train_deep_linear(DeepLinearConfig(model=name, steps=101, every=25)), last=100)
        for name in ("dln", "dln_bn")
    }
    for measure, plain in found["dln"].items():
        assert plain > found["dln_bn"][measure], measure
    assert 4.5 < found["dln_bn"]["loss"] < 5.5


def test_a_run_that_diverges_keeps_its_values(tmp_path):
    config = DeepLinearConfig(learning_rate=1e-2, steps=40, every=5, depth=4, examples=20, layers=(2,))
    trace = train_deep_linear(config, path=tmp_path / "a.h5")
    assert np.isfinite(trace.start_loss[0])
    assert not np.isfinite(trace.start_loss[-1])
    assert trace.covariate_shift.shape == (8, 1)


def test_a_stored_trace_is_returned_and_another_one_refused(tmp_path, assert_same, monkeypatch):
    config = DeepLinearConfig(steps=6, every=2, depth=3, examples=20)
    trace = train_deep_linear(config, path=tmp_path / "a.h5")
    assert_same(load(tmp_path / "a.h5"), trace)
    monkeypatch.setattr(models, "build", None)
    assert_same(train_deep_linear(config, path=tmp_path / "a.h5"), trace)
    with pytest.raises(ResumeError, match="learning_rate"):
        train_deep_linear(
            DeepLinearConfig(steps=6, every=2, depth=3, examples=20, learning_rate=1e-7), path=tmp_path / "a.h5"
        )


@pytest.mark.parametrize(
    "settings", [{"steps": 0}, {"examples": 0}, {"every": 0}, {"learning_rate": 0.0}, {"step_sizes": ()}]
)
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(UsageError):
        DeepLinearConfig(**settings)


LONG = {"model": "dln_bn", "steps": 47, "every": 2, "depth": 3, "examples": 20, "layers": (2,)}


@pytest.fixture
def whole(tmp_path):
    """A run of two checkpoints and a rest, uninterrupted."""
    return train_deep_linear(DeepLinearConfig(**LONG), path=tmp_path / "whole.h5")


@pytest.fixture
def updates(monkeypatch):
    """Count updates, and raise after so many of them."""
    made, update = [], deep_linear._update

    def counted(*args):
        if len(made) == counted.limit:
            raise KeyboardInterrupt
        made.append(1)
        update(*args)

    counted.limit = None
    monkeypatch.setattr(deep_linear, "_update", counted)
    return made, counted


@pytest.mark.parametrize("stop", [(19, 0), (20, 20), (33, 20), (46, 40)])  # after updates, of which are kept
def test_stopped_and_continued_gives_the_same_bits(whole, tmp_path, assert_same, updates, stop):
    stopped, kept = stop
    config, path = DeepLinearConfig(**LONG), tmp_path / "broken.h5"
    made, counted = updates
    counted.limit = stopped
    with pytest.raises(KeyboardInterrupt):
        train_deep_linear(config, path=path)
    assert steps_made(config, path) == kept
    assert not path.exists()
    made.clear()
    counted.limit, told = None, []
    trace = train_deep_linear(config, path=path, progress=told.append)
    assert len(made) == 47 - kept
    assert (told[0].done, told[-1].done) == (kept + 1, 47)
    assert_same(trace, whole)
    assert_same(load(path), whole)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["broken.h5", "whole.h5"], "no checkpoint is left"


KILLED = """
import os, signal, sys
from pathlib import Path
from landscape.smoothness import DeepLinearConfig, deep_linear

def killing(*args, update=deep_linear._update, made=[]):
    made.append(1)
    if len(made) == 45:
        os.kill(os.getpid(), signal.SIGKILL)
    update(*args)

deep_linear._update = killing
deep_linear.train_deep_linear(DeepLinearConfig(**eval(sys.argv[1])), path=Path(sys.argv[2]))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_and_continued_gives_the_same_bits(whole, tmp_path, assert_same):
    config, path = DeepLinearConfig(**LONG), tmp_path / "broken.h5"
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, "-c", KILLED, repr(LONG), str(path)], check=False, env=threads)
    assert done.returncode == -signal.SIGKILL
    assert steps_made(config, path) == 40
    assert_same(train_deep_linear(config, path=path), whole)


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_full_disk_is_told_and_what_was_kept_is_gone_on_from(whole, tmp_path, assert_same, monkeypatch, writes):
    config, path, fsync, made = DeepLinearConfig(**LONG), tmp_path / "broken.h5", os.fsync, []

    def full(descriptor):
        made.append(descriptor)
        if len(made) > 2 * writes:  # a file and its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"No space left on device.*same command again to continue"):
            train_deep_linear(config, path=path)
    assert steps_made(config, path) == 20 * writes
    assert not list(tmp_path.glob("*.partial"))
    assert_same(train_deep_linear(config, path=path), whole)


def test_a_checkpoint_of_other_settings_is_refused_and_kept(tmp_path, updates):
    path = tmp_path / "a.h5"
    updates[1].limit = 30
    with pytest.raises(KeyboardInterrupt):
        train_deep_linear(DeepLinearConfig(**LONG), path=path)
    before = unfinished(path).read_bytes()
    with pytest.raises(ResumeError, match=r"a\.pth: it was made with learning_rate=1e-06, this call has"):
        train_deep_linear(DeepLinearConfig(**LONG, learning_rate=1e-5), path=path)
    assert unfinished(path).read_bytes() == before


def test_a_checkpoint_left_beside_a_finished_trace_is_removed(whole, tmp_path, assert_same):
    unfinished(tmp_path / "whole.h5").write_bytes(b"a process was killed between the two")
    assert_same(train_deep_linear(DeepLinearConfig(**LONG), path=tmp_path / "whole.h5"), whole)
    assert [file.name for file in tmp_path.iterdir()] == ["whole.h5"]
