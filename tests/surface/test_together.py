"""Several BN modes of one network in one call: each surface is what a call of its own gives."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import landscape as ls
from landscape.errors import ObjectiveError, ResumeError, UsageError
from landscape.surface import measure, measure_surfaces

MODES = ("frozen", "batch", "recalibrated")
GRID = ls.Grid([-1.0, -0.3, 0.0, 0.8], [-0.5, 0.0, 1.0])
CELLS = 24  # of two pairs


@pytest.fixture
def three(objective, build):
    """Objectives in the three modes over one network."""

    def make(name="mlp_bn", *, modes=MODES, net=None, **options):
        net = build(name) if net is None else net
        return [objective(name, net=net, bn=bn, **options) for bn in modes]

    return make


@pytest.fixture
def blocks_of_five(monkeypatch):
    """Short blocks, and files written after each."""
    monkeypatch.setattr(measure, "Blocks", functools.partial(measure.Blocks, seconds=5.0))
    monkeypatch.setattr("landscape.surface.campaign._WRITE_SHARE", np.inf)
    monkeypatch.setattr(measure.Blocks.func, "tell", lambda *_: None)
    init = measure.Blocks.func.__init__

    def one_second_a_cell(self, sampling, surfaces, paces, **options):
        init(self, sampling, surfaces, [None if p is None else 1.0 for p in paces], **options)

    monkeypatch.setattr(measure.Blocks.func, "__init__", one_second_a_cell)


def together(objectives, folder=None, **options):
    paths = None if folder is None else [folder / f"{o.bn}.h5" for o in objectives]
    pairs = ls.random_pairs(objectives[0].model, 2)
    return measure_surfaces(objectives, pairs, GRID, paths=paths, **options)


@pytest.mark.parametrize("batch_size", [512, 9])
@pytest.mark.parametrize("name", ["mlp_bn", "conv_bn", "mlp"])
def test_three_at_once_are_three_one_by_one(three, same_surface, tmp_path, name, batch_size):
    """Bit for bit; where batch lends its numbers to recalibrated too, for they are one function then."""
    objectives = three(name, batch_size=batch_size)
    pairs = ls.random_pairs(objectives[0].model, 2)
    found = together(objectives, tmp_path, evaluator="sequential")
    for objective, surface in zip(objectives, found, strict=True):
        alone = ls.measure_surface(objective, pairs, GRID, evaluator="sequential")
        same_surface(surface, alone)
        same_surface(ls.load(tmp_path / f"{objective.bn}.h5"), alone)
        assert surface.recipe["bn"] == objective.bn
        assert surface.measured.all()
    if name != "mlp":
        assert np.abs(found[0].loss / found[1].loss - 1).max() > 1e-2
        assert (np.abs(found[1].loss / found[2].loss - 1).max() > 1e-3) == (batch_size == 9)


@pytest.mark.parametrize("batch_size", [512, 9])
def test_adaptive_takes_a_cell_that_any_mode_needs_for_all(three, same_surface, tmp_path, batch_size):
    """The same cells in every mode, each with the values and an error of its own; each alone needs fewer."""
    objectives, fine = three(batch_size=batch_size), ls.Grid.square(1.0, 21)
    pairs = ls.random_pair(objectives[0].model)
    paths = [tmp_path / f"{bn}.h5" for bn in MODES]
    options = {"evaluator": "sequential", "sampling": "adaptive"}
    found = measure_surfaces(objectives, pairs, fine, paths=paths, **options)
    assert found[0].measured.mean() < 0.6
    for objective, surface, path in zip(objectives, found, paths, strict=True):
        np.testing.assert_array_equal(surface.measured, found[0].measured)
        same_surface(ls.load(path), surface)
        dense = ls.measure_surface(objective, pairs, fine, evaluator="sequential")
        np.testing.assert_array_equal(surface.loss[surface.measured], dense.loss[dense.measured & surface.measured])
        errors = np.abs(surface.loss / dense.loss - 1)[~surface.measured]
        assert 0 < np.quantile(errors, 0.95) <= surface.error_estimate <= 0.03
        alone = ls.measure_surface(objective, pairs, fine, **options)
        assert alone.measured.sum() <= found[0].measured.sum()


@pytest.mark.usefixtures("blocks_of_five")
def test_adaptive_modes_of_different_progress_are_continued(three, same_surface, measured_parts, tmp_path):
    """Stopped between the modes, whose files then differ; one is lost besides."""
    fine, paths = ls.Grid.square(1.0, 21), [tmp_path / f"{bn}.h5" for bn in MODES]

    def measured(paths=None, progress=None):
        objectives = three(batch_size=9)
        pairs = ls.random_pair(objectives[0].model)
        options = {"evaluator": "sequential", "sampling": "adaptive", "progress": progress}
        return measure_surfaces(objectives, pairs, fine, paths=paths, **options)

    whole = measured()
    with pytest.raises(KeyboardInterrupt):
        measured(paths, stop_at(130))
    counts = [int(ls.load(path).measured.sum()) for path in paths]
    assert len(set(counts)) > 1
    paths[0].unlink()
    measured_parts.clear()
    for surface, wanted in zip(measured(paths), whole, strict=True):
        same_surface(surface, wanted)
        assert surface.error_estimate == wanted.error_estimate
    again = [sum(len(block) for which, block in measured_parts if which == k) for k in range(3)]
    assert again == [int(whole[0].measured.sum()) - n for n in (0, *counts[1:])]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_batch_and_recalibrated_share_a_pass_only_where_they_are_the_same_number(
    three, build, data, measured_parts, order
):
    def measured(objectives):
        measured_parts.clear()
        together([objectives[k] for k in order])
        counts = {order[which]: 0 for which in range(3)}
        for which, block in measured_parts:
            counts[order[which]] += len(block)
        return counts[0], counts[1], counts[2]

    assert measured(three()) == (CELLS, CELLS, 0)
    assert measured(three(batch_size=9)) == (CELLS,) * 3
    assert measured(three(batch_size=23)) == (CELLS, CELLS, 0)
    assert measured(three(batch_size=22)) == (CELLS,) * 3
    net, (x, y) = build("mlp_bn"), data()
    make = functools.partial(ls.Objective, net, device="cpu")
    frozen, batch = make(x, y), make(x, y, bn="batch")
    others = {
        "its own calibration set": make(x, y, bn="recalibrated", calibration=x.flip(0)),
        "other inputs": make(x.abs(), y, bn="recalibrated"),
        "other targets": make(x, y.flip(0), bn="recalibrated"),
        "another loss": make(x, y, bn="recalibrated", loss="mse"),
    }
    for what, other in others.items():
        assert measured([frozen, batch, other]) == (CELLS,) * 3, what

    def scaled(factor):
        return lambda outputs, wanted: factor * cross_entropy(outputs, wanted, reduction="none")

    one, same_name = make(x, y, bn="batch", loss=scaled(1.0)), make(x, y, bn="recalibrated", loss=scaled(2.0))
    assert one.loss_name == same_name.loss_name
    assert measured([frozen, one, same_name]) == (CELLS,) * 3
    losses = [s.loss for s in together([batch, others["other inputs"]])]
    alone = ls.measure_surface(others["other inputs"], ls.random_pairs(net, 2), GRID).loss
    np.testing.assert_array_equal(losses[1], alone)
    assert (losses[0] != losses[1]).all()


def stop_at(count):
    def report(progress):
        if progress.done >= count:
            raise KeyboardInterrupt

    return report


@pytest.mark.usefixtures("blocks_of_five")
@pytest.mark.parametrize("batch_size", [512, 9])
@pytest.mark.parametrize("lost", [None, *MODES])
def test_files_of_different_progress_are_continued(three, same_surface, measured_parts, tmp_path, *, batch_size, lost):
    """Stopped between the modes; then a file is gone."""
    whole = together(three(batch_size=batch_size), evaluator="sequential")
    with pytest.raises(KeyboardInterrupt):
        together(three(batch_size=batch_size), tmp_path, evaluator="sequential", progress=stop_at(34))
    stored = {bn: ls.load(tmp_path / f"{bn}.h5") for bn in MODES}
    counts = {bn: int(s.done.sum()) for bn, s in stored.items()}
    assert 0 < min(counts.values()) < max(counts.values()) < CELLS
    if lost is not None:
        (tmp_path / f"{lost}.h5").unlink()
        counts[lost] = 0
    measured_parts.clear()
    found = together(three(batch_size=batch_size), tmp_path, evaluator="sequential")
    for surface, wanted in zip(found, whole, strict=True):
        same_surface(surface, wanted)
        same_surface(ls.load(tmp_path / f"{wanted.recipe['bn']}.h5"), wanted)
    again = {bn: sum(len(b) for which, b in measured_parts if MODES[which] == bn) for bn in MODES}
    served = {"recalibrated"} if batch_size == 512 else set()
    assert again == {bn: 0 if bn in served else CELLS - counts[bn] for bn in MODES}
    measured_parts.clear()
    reports = []
    finished = together(three(batch_size=batch_size), tmp_path, progress=reports.append)
    for surface, wanted in zip(finished, whole, strict=True):
        same_surface(surface, wanted)
    assert measured_parts == []
    assert [(r.done, r.total) for r in reports] == [(3 * CELLS, 3 * CELLS)]


@pytest.mark.usefixtures("blocks_of_five")
def test_no_file_loses_a_cell_when_another_is_gone(three, same_surface, tmp_path):
    """recalibrated has cells that batch, whose numbers it takes, has lost; stopped again before they are back."""
    whole = together(three(), evaluator="sequential")
    with pytest.raises(KeyboardInterrupt):
        together(three(), tmp_path, evaluator="sequential", progress=stop_at(34))
    kept = ls.load(tmp_path / "recalibrated.h5")
    (tmp_path / "batch.h5").unlink()
    with pytest.raises(KeyboardInterrupt):
        together(three(), tmp_path, evaluator="sequential", progress=stop_at(0))
    same_surface(ls.load(tmp_path / "recalibrated.h5"), kept)
    assert kept.done.any()
    assert not ls.load(tmp_path / "batch.h5").done.any()
    for surface, wanted in zip(together(three(), tmp_path), whole, strict=True):
        same_surface(surface, wanted)


@pytest.mark.usefixtures("blocks_of_five")
def test_a_surface_finished_alone_is_kept_and_the_others_catch_up(three, same_surface, measured_parts, tmp_path):
    objectives = three(batch_size=9)
    pairs = ls.random_pairs(objectives[0].model, 2)
    ls.measure_surface(objectives[1], pairs, GRID, path=tmp_path / "batch.h5")
    measured_parts.clear()
    found = together(objectives, tmp_path)
    assert {which for which, _ in measured_parts} == {0, 2}
    for surface, objective in zip(found, objectives, strict=True):
        same_surface(surface, ls.measure_surface(objective, pairs, GRID))


@pytest.mark.parametrize("order", [("batch", "recalibrated"), ("recalibrated", "batch")])
def test_a_stored_batch_that_is_written_otherwise_is_no_reason_to_wait_for_ever(three, tmp_path, monkeypatch, order):
    """512 and 1000 are the same one batch of 23 examples, and the recipe says so."""
    (batch,) = three(modes=["batch"], batch_size=512)
    with pytest.raises(KeyboardInterrupt):
        together([batch], tmp_path, progress=stop_at(0))
    begin, rounds = measure.sampling_of, []

    def counted(*args):
        rounds.append(1)
        if len(rounds) > 20:
            raise RecursionError("it goes round and round")
        return begin(*args)

    monkeypatch.setattr(measure, "sampling_of", counted)
    found = together(three(modes=order, net=batch.model, batch_size=1000), tmp_path)
    assert all(s.finished for s in found)
    np.testing.assert_allclose(found[0].loss, found[1].loss, rtol=1e-12)


def test_a_cell_of_each_mode_counts_in_the_progress(three):
    reports = []
    together(three(), progress=reports.append)
    assert reports[0].done == 0
    assert reports[0].estimate
    assert {r.total for r in reports} == {3 * CELLS}
    assert reports[-1].done == 3 * CELLS
    assert reports[-1].seconds_left == 0


def test_one_recipe_that_differs_refuses_all_and_touches_none(three, tmp_path):
    together(three(), tmp_path)
    (tmp_path / "frozen.h5").unlink()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ResumeError, match=r"batch\.h5.*loss="):
        together(three(loss="mse"), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_what_cannot_be_measured_together_is_refused_before_a_pass(three, build, tmp_path):
    net = build("mlp_bn")
    objectives, pairs = three(net=net), ls.random_pairs(net, 1)
    net.forward = lambda x: pytest.fail("a pass before the check")
    paths = [tmp_path / f"{k}.h5" for k in range(3)]
    with pytest.raises(UsageError, match="one network"):
        measure_surfaces([objectives[0], three()[1]], pairs, GRID)
    with pytest.raises(UsageError, match="one network"):
        measure_surfaces([], pairs, GRID)
    for wrong in (paths[:2], [paths[0], paths[1], paths[0]], [*paths[:2], str(paths[1])]):
        with pytest.raises(UsageError, match=r"3 objectives need as many different files"):
            measure_surfaces(objectives, pairs, GRID, paths=wrong)
    assert list(tmp_path.iterdir()) == []


def test_one_file_under_two_names_is_refused(three, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objectives = three(modes=["frozen", "batch"])
    pairs = ls.random_pairs(objectives[0].model, 1)
    with pytest.raises(UsageError, match="different files"):
        measure_surfaces(objectives, pairs, GRID, paths=["a.h5", tmp_path / "a.h5"])


@pytest.mark.parametrize("bn", MODES)
def test_the_network_is_back_after_a_mode_in_the_middle_failed(three, build, everything, bn):
    net = build("conv_bn").train()
    objectives, before = three("conv_bn", net=net, batch_size=9), everything(net)

    def report(progress):
        if progress.done > CELLS * MODES.index(bn):
            raise ObjectiveError("stop here")

    with pytest.raises(ObjectiveError, match="stop here"):
        together(objectives, progress=report)
    assert everything(net) == before
    assert torch.is_grad_enabled()
