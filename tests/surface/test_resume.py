"""Stopped and continued equals uninterrupted, bit for bit, and what was written is not measured again."""

from __future__ import annotations

import functools
import time

import h5py
import numpy as np
import pytest
import torch

import landscape as ls
from landscape.errors import ResumeError, StorageError
from landscape.surface import campaign, measure
from landscape.surface.sampling import Blocks

GRID = ls.Grid([-1.0, -0.3, 0.0, 0.2, 0.9], [-0.5, 0.0, 0.5, 1.0])
BLOCK = 3  # cells; 2 pairs x 5 x 4 cells are 14 blocks, the last one short
FAILURES = [RuntimeError("broken"), KeyboardInterrupt()]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of three cells, and a file after each, whatever the machine's speed."""

    class Three(Blocks):
        def __iter__(self):
            cells = self._sampling.ask(self._surfaces)
            for start in range(0, len(cells), BLOCK):
                yield from self._parts(cells[start : start + BLOCK])

    monkeypatch.setattr(measure, "Blocks", Three)
    monkeypatch.setattr(campaign, "_WRITE_SHARE", np.inf)


class Counted:
    """An objective whose network counts its passes, and stops before one of those that begin with the first cell."""

    def __init__(self, objective):
        self.objective, self.passes, self.before_cells, self.stop_in, self.error = objective, 0, None, None, None
        objective.model.register_forward_pre_hook(self._count)

    def begin(self, _):
        """Told of the estimate: the center, the checks and the choice are done."""
        if self.before_cells is None:  # the evaluator opens: one pass of the center, and one to find what folds
            self.before_cells = self.passes + (2 if self.evaluator == "folded" else 1)

    @property
    def cells(self):
        """Passes since the first cell."""
        return 0 if self.before_cells is None else self.passes - self.before_cells

    def _count(self, module, inputs):
        if self.before_cells is not None and self.cells == self.stop_in:
            raise self.error
        self.passes += 1


@pytest.fixture
def counted(objective):
    return lambda *args, **options: Counted(objective(*args, **options))


def measured(counted, path=None, *, evaluator="sequential", progress=None, **options):
    pairs = ls.random_pairs(counted.objective.model, 2)
    counted.evaluator = evaluator

    def report(told):
        counted.begin(told)
        if progress is not None:
            progress(told)

    return ls.measure_surface(
        counted.objective, pairs, GRID, path=path, evaluator=evaluator, progress=report, **options
    )


@pytest.mark.parametrize("error", FAILURES, ids=["error", "ctrl-c"])
@pytest.mark.parametrize(
    ("cell", "evaluator"), [(0, "sequential"), (1, "sequential"), (3, "folded"), (17, "folded"), (39, "sequential")]
)
def test_stopped_in_a_cell_and_continued_equals_uninterrupted(
    counted, same_surface, tmp_path, *, error, cell, evaluator
):
    path, how = tmp_path / "a.h5", {"evaluator": evaluator}
    first = counted("mlp_bn")
    first.stop_in, first.error = cell, error
    with pytest.raises(type(error)):
        measured(first, path, **how)
    assert first.cells == cell
    stored = ls.load(path)
    kept = cell // BLOCK * BLOCK  # whole blocks
    assert stored.done.sum() == stored.measured.sum() == kept == np.isfinite(stored.loss).sum()
    again = counted("mlp_bn")
    resumed = measured(again, path, **how)
    assert again.cells == 40 - kept  # each missing cell once
    assert again.before_cells == 3 + (2 if evaluator == "folded" else 1)  # the center three times, then it opens
    whole = measured(counted("mlp_bn"), tmp_path / "b.h5", **how)
    same_surface(resumed, whole)
    same_surface(ls.load(path), whole)
    same_surface(ls.load(tmp_path / "b.h5"), measured(counted("mlp_bn"), **how))  # nor does writing change anything


@pytest.mark.parametrize(
    ("bn", "evaluator"),
    [("batch", "sequential"), ("recalibrated", "sequential"), ("batch", "batched"), ("frozen", "graphed")],
)
@pytest.mark.usefixtures("graphed_here")
def test_every_mode_and_evaluator_continues_bit_for_bit(objective, same_surface, tmp_path, bn, evaluator):
    asked = objective("conv_bn", bn=bn, batch_size=9)
    pairs = ls.random_pairs(asked.model, 2)
    call = functools.partial(ls.measure_surface, asked, pairs, GRID, evaluator=evaluator)
    wanted = call()

    def stop(told):
        if told.done == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(path=tmp_path / "a.h5", progress=stop)
    stored = ls.load(tmp_path / "a.h5")
    assert stored.done.sum() == 15
    assert stored.execution["evaluator"] == evaluator
    same_surface(call(path=tmp_path / "a.h5"), wanted)


def test_stopped_many_times(counted, same_surface, tmp_path):
    cells = 0
    for stop in (4, 2, 1, 9, 7, 30, 100):
        run = counted()
        run.stop_in, run.error = stop, KeyboardInterrupt()
        try:
            measured(run, tmp_path / "a.h5")
        except KeyboardInterrupt:
            cells += stop // BLOCK * BLOCK
        assert ls.load(tmp_path / "a.h5").done.sum() == min(cells, 40) or run.cells < stop
    same_surface(ls.load(tmp_path / "a.h5"), measured(counted()))


def test_a_finished_file_costs_no_pass(counted, same_surface, tmp_path):
    wanted = measured(counted(), tmp_path / "a.h5")
    stamp = (tmp_path / "a.h5").stat().st_mtime_ns
    again = counted()
    same_surface(measured(again, tmp_path / "a.h5"), wanted)
    assert again.passes == 0
    assert (tmp_path / "a.h5").stat().st_mtime_ns == stamp


def test_values_that_are_not_finite_are_not_measured_again(counted, tmp_path):
    """NaN is a measurement: `done` alone says what is left."""

    def loss(outputs, targets):
        return outputs[:, 0].sqrt()  # NaN somewhere

    run = counted(loss=loss)
    surface = measured(run, tmp_path / "a.h5")
    assert np.isnan(surface.loss).any()
    assert surface.done.all()
    again = counted(loss=loss)
    measured(again, tmp_path / "a.h5")
    assert again.passes == 0


def test_batch_size_and_threads_are_those_of_the_first_call(objective, same_surface, tmp_path):
    """In mode frozen a batch size changes only roundings, so it is no recipe; the first choice is kept."""
    x_first, x_second = objective("conv", n=200, batch_size=7), objective("conv", n=200, batch_size=512)
    seen = []
    for asked in (x_first, x_second):
        asked.model.register_forward_pre_hook(
            lambda module, inputs: seen.append((len(inputs[0]), torch.get_num_threads()))
        )
    pair = ls.random_pair(x_first.model)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = ls.measure_surface(x_first, pair, GRID)
        count = 0

        def stop(progress):
            nonlocal count
            count += 1
            if count == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ls.measure_surface(x_first, pair, GRID, path=tmp_path / "a.h5", progress=stop)
        torch.set_num_threads(2)
        seen.clear()
        resumed = ls.measure_surface(x_second, pair, GRID, path=tmp_path / "a.h5", evaluator="batched")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    same_surface(resumed, whole)
    wanted = {"evaluator": "sequential", "batch_size": 7, "threads": 1, "cells": 1, "engine": "serial", "workers": 1}
    assert {key: resumed.execution[key] for key in wanted} == wanted
    assert list(resumed.execution["tried"]) == ["sequential/7"]
    assert {threads for _, threads in seen} == {1}
    assert max(size for size, _ in seen) <= 7
    assert x_second.batch_size == 512  # the caller's objective is as it was


def test_progress_begins_with_an_estimate_and_reaches_the_total(counted, tmp_path):
    reports = []
    run = counted()
    slow = run.objective.model.register_forward_pre_hook(lambda module, inputs: time.sleep(0.01))
    measured(run, tmp_path / "a.h5", progress=reports.append)
    slow.remove()
    first, *others = reports
    assert (first.done, first.total, first.unit) == (0, 40, "cell")
    assert 0.4 <= first.seconds_left < 600  # 40 cells of at least 10 ms, on a machine that may be busy
    assert [r.done for r in others] == [*range(3, 40, 3), 40]
    assert others[-1].seconds_left == 0
    assert all(r.total == 40 for r in reports)
    run = counted()
    run.stop_in, run.error = 12, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        measured(run, tmp_path / "b.h5")
    reports.clear()
    measured(counted(), tmp_path / "b.h5", progress=reports.append)
    assert [r.done for r in reports] == [*range(12, 40, 3), 40]  # what was done before counts


def test_the_file_is_readable_after_every_block(counted, tmp_path):
    path, done = tmp_path / "a.h5", []

    def report(progress):
        done.append((progress.done, int(ls.load(path).done.sum())))

    measured(counted(), path, progress=report)
    assert all(reported == stored for reported, stored in done)


def test_a_file_left_half_written_beside_is_no_obstacle(counted, same_surface, tmp_path):
    (tmp_path / "a.h5.partial").write_bytes(b"torn")
    same_surface(measured(counted(), tmp_path / "a.h5"), measured(counted()))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5"]


@pytest.fixture
def stopped(objective, tmp_path):
    """A surface file with some cells done, and how to ask for it again with something changed."""
    base = {"name": "mlp_bn", "net": None, "n": 23, "seed": 0, "grid": GRID, "recipe": {"subset": "first 23"}}

    def ask(*, progress=None, **changes):
        options = base | changes
        draw = {k: options.pop(k) for k in ("seed", "index", "normalize", "orthogonal") if k in options}
        grid, recipe = options.pop("grid"), options.pop("recipe")
        asked = objective(options.pop("name"), **options)
        pair = ls.random_pair(asked.model, **draw)
        return ls.measure_surface(asked, pair, grid, path=tmp_path / "a.h5", recipe=recipe, progress=progress)

    def stop(progress):
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(progress=stop)
    return ask


def other_weights(build):
    net = build("mlp_bn")
    with torch.no_grad():
        net[0].weight[0, 0] += 1e-9
    return net


def absolute(outputs, targets):
    return outputs.abs().mean(dim=1)


MISMATCHES = {
    "model_hash": {"net": other_weights},
    "data_hash": {"n": 22},
    "seed": {"seed": 1},
    "directions": {"index": 1},
    "normalize": {"normalize": "layer"},
    "orthogonal": {"orthogonal": False},
    "grid_alpha": {"grid": ls.Grid([-1.0, 0.0, 1.0], GRID.beta)},
    "grid_beta": {"grid": ls.Grid(GRID.alpha, GRID.beta * 2)},
    "bn": {"bn": "batch"},
    "loss": {"loss": "mse"},
    "subset": {"recipe": {"subset": "last 23"}},
    "limit": {"recipe": {"subset": "first 23", "limit": 5}},
}


@pytest.mark.parametrize("key", MISMATCHES)
def test_another_recipe_is_refused_with_key_and_both_values(stopped, build, tmp_path, key):
    changes = {k: v(build) if k == "net" else v for k, v in MISMATCHES[key].items()}
    before = (tmp_path / "a.h5").read_bytes()
    stored = ls.load(tmp_path / "a.h5").recipe
    with pytest.raises(ResumeError) as caught:
        stopped(**changes)
    message = str(caught.value)
    found, asked = message.split("this call has")
    named = f"points on the {key.removeprefix('grid_')} axis" if key.startswith("grid") else f"{key}="
    assert "made with " in found and named in found
    assert named in asked
    if not key.startswith("grid") and (not isinstance(stored.get(key), list) or len(stored[key]) < 4):
        assert repr(stored.get(key)) in found
    shown = [part.split(named)[1].rstrip(", .") for part in (found, asked.split(". Use")[0])]
    assert shown[0] != shown[1] or key.startswith("grid")  # a long axis is shown by its ends and length
    assert "a.h5" in message
    assert "--out" in message
    assert (tmp_path / "a.h5").read_bytes() == before


def test_a_custom_loss_is_compared_by_module_and_name(stopped):
    with pytest.raises(ResumeError, match=rf"loss='cross_entropy', this call has loss='{__name__}:absolute'"):
        stopped(loss=absolute)


def test_a_key_that_this_call_lacks_is_a_difference_too(stopped):
    with pytest.raises(ResumeError, match=r"subset='first 23', this call has subset=None"):
        stopped(recipe={})


def test_the_same_recipe_continues_also_with_values_that_json_writes_otherwise(objective, tmp_path):
    """A tuple comes back as a list, and NaN equals no NaN."""
    asked = objective()
    recipe = {"limit": (3, 4), "nothing": None, "threshold": float("nan"), "nested": {"b": 1, "a": (2,)}}
    call = functools.partial(ls.measure_surface, asked, ls.random_pair(asked.model), GRID, path=tmp_path / "a.h5")
    wanted = call(recipe=recipe)
    found = call(recipe={**recipe, "nested": {"a": [2], "b": 1}})
    np.testing.assert_array_equal(found.loss, wanted.loss)
    assert ls.load(tmp_path / "a.h5").recipe["limit"] == wanted.recipe["limit"] == [3, 4]


def test_provenance_is_stored_and_not_compared(objective, tmp_path):
    asked = objective()
    call = functools.partial(ls.measure_surface, asked, ls.random_pair(asked.model), GRID, path=tmp_path / "a.h5")
    assert call(provenance={"command": "one"}).provenance == {"command": "one"}
    assert call(provenance={"command": "two"}).provenance == {"command": "one"}


def test_what_is_no_surface_is_refused_and_left_alone(counted, tmp_path):
    text, other, truncated = (tmp_path / name for name in ("text.h5", "other.h5", "truncated.h5"))
    text.write_text("not a surface")
    with h5py.File(other, "w") as file:
        file["loss"] = np.zeros(3)
    measured(counted(), truncated)
    truncated.write_bytes(truncated.read_bytes()[:1000])
    for path in (text, other, truncated):
        run, before = counted(), path.read_bytes()
        with pytest.raises(StorageError, match=path.name):
            measured(run, path)
        assert run.passes == 0
        assert path.read_bytes() == before


def test_a_record_of_another_kind_is_refused(counted, tmp_path):
    trained = ls.Run(step=[0, 1], loss=[2.0, 1.0], epoch=[0], val_loss=[1.5], val_accuracy=[0.4])
    ls.save(trained, tmp_path / "run.h5")
    run = counted()
    with pytest.raises(ResumeError, match=r"run.h5 holds run, not a surface"):
        measured(run, tmp_path / "run.h5")
    assert run.passes == 0


def test_a_place_that_cannot_be_written_to_is_found_before_a_cell_is_measured(counted, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.h5").mkdir()
    for path in (tmp_path / "file" / "a.h5", tmp_path / "folder.h5"):
        run = counted()
        with pytest.raises(StorageError, match=path.name):
            measured(run, path)
        assert run.before_cells is None
    assert (tmp_path / "file").read_text() == ""


def test_folders_are_made(counted, tmp_path):
    measured(counted(), str(tmp_path / "new" / "er" / "a.h5"))
    assert ls.load(tmp_path / "new" / "er" / "a.h5").finished
