"""Sweeps: which runs there are, what is paid twice, and that one failure harms no other run."""

from __future__ import annotations

import dataclasses
import errno
import itertools
from pathlib import Path

import numpy as np
import pytest

from landscape.datasets.options import DataOptions
from landscape.errors import DataError, ResumeError, StorageError, UsageError
from landscape.records import Run
from landscape.storage import load, save
from landscape.training import Failure, SweepConfig, TrainConfig, collect_sweep, sweep, train, train_sweep
from landscape.training.trainer import Trainer


@pytest.fixture
def make(config, monkeypatch):
    monkeypatch.setattr(sweep, "seconds_per_step", lambda *args, **named: 1.0)

    def make(grid=None, *, seeds=(0, 1), named=None, **settings):
        own = {name: settings.pop(name) for name in ("baseline", "engine", "shard") if name in settings}
        base = config("tiny", **({"epochs": 2} | settings))
        return SweepConfig(base, grid or {}, named or {}, seeds, **own)

    return make


def names(config):
    return [setting.name for setting in config.settings]


def test_a_grid_is_every_combination_with_every_seed(make):
    c = make({"batch_size": [10, 20], "lr": [1e-3, 1e-2, 1e-1]}, seeds=(0, 4), out=Path("o"))
    assert names(c) == [f"lr={lr}_batch_size={b}" for b, lr in itertools.product((10, 20), (0.001, 0.01, 0.1))]
    runs = c.runs()
    assert [(r.batch_size, r.learning_rate, r.seed) for r in runs] == list(
        itertools.product((10, 20), (1e-3, 1e-2, 1e-1), (0, 4))
    )
    assert runs[3].run_path == Path("o/lr=0.01_batch_size=10/runs/tiny-lr0.01-seed4.h5")
    assert len({r.run_path for r in runs}) == len(runs)
    assert c.keys == ("learning_rate", "batch_size")


def test_grids_over_entries_of_options_and_of_the_data(make):
    c = make({"model_options.widths": [[2], [3]], "data.limit": [50, 60], "augment": [[], ["flip"]]}, seeds=(0,))
    found = [(r.model_options["widths"], r.data.limit, r.augment) for r in c.runs()]
    assert found == list(itertools.product(([2], [3]), (50, 60), ((), ("flip",))))
    assert {r.data.dataset for r in c.runs()} == {"fashion_mnist_mini"}


def test_named_deviations_stand_beside_the_base(make):
    c = make(named={"fast": {"lr": 0.1}, "wide": {"model_options": {"widths": (6,)}}})
    assert names(c) == ["base", "fast", "wide"]
    assert c.baseline_name == "base"
    base, fast, wide = c.runs()[::2]
    assert dataclasses.replace(base, learning_rate=0.1) == fast
    assert dataclasses.replace(base, model_options={"widths": (6,)}) == wide


def test_the_baseline_is_found_or_added(make):
    grid = {"batch_size": [10, 20]}
    assert make(grid).baseline_name == "batch_size=20", "the base of these tests"
    assert make(grid, batch_size=5).baseline_name == ""
    added = make(grid, batch_size=5, baseline={})
    assert (names(added)[-1], added.baseline_name, len(added.settings)) == ("base", "base", 3)
    assert make(grid, baseline={"batch_size": 10}).baseline_name == "batch_size=10"
    assert len(make(grid, baseline={"batch_size": 10}).settings) == 2
    assert make(grid, baseline={"lr": 0.5}).baseline_name == "lr=0.5"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"grid": {"batch_sizes": [1]}}, "Did you mean 'batch_size'"),
        ({"grid": {"lr": []}}, "grid: lr needs at least one value and none twice; got none"),
        ({"grid": {"lr": [0.1, 0.1]}}, "none twice; got 0.1, 0.1"),
        ({"grid": {"lr": 0.1}}, "grid: lr needs a list of values; got 0.1"),
        ({"grid": {"lr": [0.1], "learning_rate": [0.2]}}, "there twice"),
        ({"grid": {"optimizer": ["adam", "adan"]}}, "setting optimizer=adan: there is no optimizer named 'adan'"),
        ({"grid": {"batch_size": [0]}}, "setting batch_size=0: epochs and batch size are at least 1"),
        ({"grid": {"model_options.width": [1]}}, "setting model_options.width=1: tiny: there is no option"),
        ({"named": {"base": {"lr": 1.0}}}, "the name of a setting is letters"),
        ({"named": {"../up": {"lr": 1.0}}}, "the name of a setting is letters"),
        ({"named": {"A": {"lr": 1.0}, "a": {"lr": 2.0}}}, "two settings would share the folder 'a'"),
        ({"baseline": {"lrs": 1}}, "no setting of a run named 'lrs'"),
        ({"seeds": ()}, "at least one seed"),
        ({"seeds": (1, 1)}, "none twice"),
        ({"engine": "rays"}, "no engine named 'rays'"),
        ({"shard": (3, 2)}, "i from 1 to n; got 3/2"),
    ],
)
def test_what_makes_no_sweep_is_refused_in_words(make, given, told):
    with pytest.raises(UsageError) as error:
        make(**given)
    assert told in str(error.value)


def test_runs_equal_single_runs_and_share_their_images(make, assert_same_run, monkeypatch):
    loads, load_images = [], DataOptions.load
    monkeypatch.setattr(DataOptions, "load", lambda self, split: loads.append(self) or load_images(self, split))
    c = make({"lr": [1e-3, 1e-2], "limit": [130, 60]})
    results = train_sweep(c)
    assert sorted(options.limit for options in loads) == [60, 130]
    for one, run in zip(results, c.runs(), strict=True):
        assert_same_run(one, train(run))


def test_the_record_holds_the_numbers_of_the_runs(make, tmp_path, assert_same):
    c = make({"lr": [1e-2, 1e-3]}, batch_size=30)
    runs = train_sweep(c)
    found = collect_sweep(c, runs)
    assert found.setting.tolist() == ["lr=0.01", "lr=0.001"] and found.seed.tolist() == [0, 1]
    assert found.baseline == "lr=0.001"
    for place, run in zip(itertools.product(range(2), range(2)), runs, strict=True):
        assert found.val_accuracy[place] == max(run.val_accuracy)
        assert found.last_accuracy[place] == run.val_accuracy[-1]
        assert found.val_loss[place] == run.val_loss[-1]
        assert found.train_loss[place] == np.mean(run.loss[-4:])  # 117 images in batches of 30
        assert found.train_accuracy[place] == run.train_accuracy[-1]
        assert found.epochs[place] == 2
    assert found.done.all() and not found.failed.any()
    assert found.settings == {"lr=0.01": {"learning_rate": 0.01}, "lr=0.001": {"learning_rate": 0.001}}
    assert found.recipe["batch_size"] == 30 and "learning_rate" not in found.recipe and "seed" not in found.recipe
    save(found, tmp_path / "sweep.h5")
    assert_same(load(tmp_path / "sweep.h5"), found)


def test_finished_runs_are_read_unfinished_ones_continued(make, tmp_path, steps, assert_same_run):
    grid = {"lr": [1e-3, 1e-2], "batch_size": [20, 39]}  # six and three steps an epoch
    expected = train_sweep(make(grid))
    steps.clear()
    c, seen = make(grid, out=tmp_path), []

    def stop(p):
        if p.done == 12 + 12 + 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_sweep(c, progress=stop)
    assert len(steps) == 32
    for one, run in zip(train_sweep(c, progress=seen.append), expected, strict=True):
        assert_same_run(one, run)
    assert len(steps) - 32 == 4 * 12 + 4 * 6 - 30, "the interrupted epoch is trained again, no finished one"
    assert (seen[0].done, seen[0].total, seen[0].seconds_left, seen[0].estimate) == (30, 72, 42.0, True)
    assert [p.done for p in seen] == sorted(p.done for p in seen) and seen[-1].done == 72
    steps.clear()
    for one, run in zip(train_sweep(c), expected, strict=True):
        assert_same_run(one, run)
    assert steps == []
    train_sweep(make(grid | {"lr": [1e-3, 1e-2, 0.1]}, out=tmp_path))
    assert {name for name, _ in steps} == {"tiny-lr0.1-seed0", "tiny-lr0.1-seed1"}


def test_other_settings_in_the_folder_are_refused_before_anything_is_trained(make, tmp_path, steps):
    train_sweep(make({"lr": [1e-3]}, out=tmp_path))
    steps.clear()
    with pytest.raises(ResumeError, match=r"weight_decay=0\.0001.*weight_decay=0\.5"):
        train_sweep(make({"lr": [1e-2, 1e-3]}, out=tmp_path, weight_decay=0.5))
    assert steps == []


@pytest.fixture
def failing(monkeypatch):
    """Make the steps of some runs fail, until told otherwise."""
    step, bad = Trainer.step, {"lr": 1e-2, "error": RuntimeError("out of\nmemory")}

    def maybe(self, rows):
        if self.config.learning_rate == bad["lr"] and self.config.seed == 1:
            raise bad["error"]
        return step(self, rows)

    monkeypatch.setattr(Trainer, "step", maybe)
    return bad


def test_a_failed_run_stops_no_other_and_is_tried_again(make, tmp_path, failing, steps):
    c, seen = make({"lr": [1e-2, 1e-3]}, out=tmp_path), []
    results = train_sweep(c, progress=seen.append)
    assert results[1] == Failure("RuntimeError: out of memory")
    assert [type(r) for r in results] == [Run, Failure, Run, Run]
    assert seen[-1].done == seen[-1].total == 48
    found = collect_sweep(c, results)
    np.testing.assert_array_equal(found.failed, [[False, True], [False, False]])
    np.testing.assert_array_equal(np.isnan(found.val_accuracy), found.failed)
    assert found.epochs[0, 1] == 0
    assert found.reasons == {"lr=0.01 seed 1": "RuntimeError: out of memory"}
    assert train_sweep(c)[1] == results[1], "it still fails"
    failing["lr"] = None
    steps.clear()
    again = train_sweep(c)
    assert all(isinstance(r, Run) for r in again)
    assert {name for name, _ in steps} == {"tiny-lr0.01-seed1"}, "only the failed one is trained"


def test_a_worker_that_is_killed_takes_its_own_run_alone(tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text(
        "import os, torch, multiprocessing\n"
        "def net(kill=False, num_classes=10):\n"
        "    if kill and multiprocessing.parent_process() is not None:\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    data = DataOptions("fashion_mnist_mini", limit=60)
    base = TrainConfig(model="deadly:net", epochs=1, batch_size=40, device="cpu", data=data, out=tmp_path / "o")
    c = SweepConfig(base, {"model_options.kill": [True, False]}, seeds=(0, 1, 2), engine="processes:2")
    results = train_sweep(c)
    assert [type(r) for r in results] == [Failure] * 3 + [Run] * 3
    assert "killed by signal 9" in results[0].reason


def test_a_full_disk_stops_everything(make, tmp_path, failing):
    failing["error"] = StorageError(f"cannot write: {errno.ENOSPC}")
    with pytest.raises(StorageError, match="cannot write"):
        train_sweep(make({"lr": [1e-2, 1e-3]}, out=tmp_path))


def test_a_diverged_run_is_finished_and_flagged(make, tmp_path, steps):
    c = make({"lr": [1e-3, 1e20]}, optimizer="sgd", seeds=(0,), out=tmp_path)
    found = collect_sweep(c, train_sweep(c))
    np.testing.assert_array_equal(found.diverged, [[False], [True]])
    assert found.done.all() and not found.failed.any()
    steps.clear()
    train_sweep(c)
    assert steps == [], "it would diverge again"


def test_what_no_run_could_do_is_raised_before_any_is_trained(make, tmp_path, steps):
    with pytest.raises(DataError, match=r"model_options.num_classes=3 seed 0: .*3 outputs"):
        train_sweep(make({"model_options.num_classes": [10, 3]}, out=tmp_path))
    with pytest.raises(DataError):
        train_sweep(make({"dataset": ["fashion_mnist_mini", "npz:nowhere.npz"]}, out=tmp_path))
    for rises in ([0.5, 1 / 12], [1 / 12, 0.5]):  # of 12 steps the latter is a single one
        with pytest.raises(UsageError, match=r"pct_start=0.083\S* seed 0: .*too few"):
            train_sweep(make({"scheduler_options.pct_start": rises}, scheduler="onecycle", out=tmp_path))
    square = DataOptions("fashion_mnist_mini", limit=130, image_size=32, channels=3)
    with pytest.raises(UsageError, match=r"batch_size=1\S* seed 0: .*no variance"):
        train_sweep(make({"model": ["net_bn"], "batch_size": [2, 1]}, data=square, out=tmp_path))
    assert steps == []


def test_parts_train_their_share_and_the_last_one_finds_all(make, tmp_path, steps):
    grid = {"lr": [1e-3, 1e-2], "batch_size": [20, 39]}
    first = train_sweep(make(grid, shard=(1, 3), out=tmp_path))
    assert [r is not None for r in first] == [True, False, False] * 2 + [True, False]
    found = collect_sweep(make(grid), first)
    assert found.done.sum() == 3 and not found.failed.any()
    train_sweep(make(grid, shard=(2, 3), out=tmp_path))
    last = train_sweep(make(grid, shard=(3, 3), out=tmp_path))
    assert all(isinstance(r, Run) for r in last)
    assert len(steps) == 4 * 12 + 4 * 6, "nothing twice"


def test_worker_processes_give_the_same_runs(tmp_path, assert_same_run):
    """Workers import the package anew, so a network that ships with it."""
    base = TrainConfig(
        model="net", epochs=1, batch_size=40, device="cpu", data=DataOptions("fashion_mnist_mini", limit=90)
    )
    grid = {"lr": [1e-3, 1e-2], "model_options.num_classes": [10, 11]}
    seen = []
    apart = train_sweep(
        SweepConfig(dataclasses.replace(base, out=tmp_path), grid, engine="processes:2"), progress=seen.append
    )
    for one, run in zip(apart, train_sweep(SweepConfig(base, grid)), strict=True):
        assert_same_run(one, run)
    assert seen[0].estimate and [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == seen[-1].total == 12
    assert (tmp_path / "lr=0.01_model_options.num_classes=11/checkpoints/net-lr0.01-seed0-best.pth").exists()


def test_every_setting_logs_into_its_own_folder(make):
    runs = make({"batch_size": [10, 20]}, tensorboard=Path("logs")).runs()
    assert {r.tensorboard for r in runs} == {Path("logs/batch_size=10"), Path("logs/batch_size=20")}
