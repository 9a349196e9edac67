"""Adaptive sampling of real objectives: through engines, files and modes, and what it says of surfaces it gives up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.figures import surface_assumed
from landscape.surface import measure_surfaces

MODES = ("frozen", "batch", "recalibrated")
FINE = ls.Grid.square(1.0, 21)


@pytest.fixture
def rough():
    """An objective whose loss oscillates from cell to cell, which no interpolation can follow."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Linear(6, 3, bias=False).double()
        x = torch.randn(8, 6, dtype=torch.float64)

    def loss(outputs, targets):
        return 1.5 + torch.sin(400 * outputs).sum(dim=1) / 3

    return ls.Objective(net, x, torch.zeros(8), loss=loss, device="cpu")


def stop_at(count):
    def report(progress):
        if progress.done >= count:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize(("grid", "why"), [(FINE, "too rough to estimate"), (ls.Grid.square(1.0, 9), "too small")])
def test_a_surface_that_is_measured_whole_says_why(rough, tmp_path, grid, why):
    """In the record, in its file and on the page; also where a call ended between the last cell and that word."""
    path, pairs = tmp_path / "a.h5", ls.random_pairs(rough.model, 2)
    found = ls.measure_surface(rough, pairs, grid, path=path, sampling="adaptive")
    assert found.measured.all()
    assert found.error_estimate == 0
    notes = found.checks["sampling_notes"]
    assert [note[:7] for note in notes] == ["pair 1:", "pair 2:"]
    assert all(why in note for note in notes)
    assert ls.load(path).checks["sampling_notes"] == notes
    assert f"Sampling, {notes[0]}" in surface_assumed([found])
    late = tmp_path / "late.h5"
    with pytest.raises(KeyboardInterrupt):
        ls.measure_surface(rough, pairs, grid, path=late, sampling="adaptive", progress=stop_at(found.done.size))
    assert ls.load(late).finished
    assert "sampling_notes" not in ls.load(late).checks
    for _ in range(2):
        again = ls.measure_surface(rough, pairs, grid, path=late, sampling="adaptive")
        assert again.checks["sampling_notes"] == ls.load(late).checks["sampling_notes"] == notes
    dense = ls.measure_surface(rough, pairs, grid)
    assert "sampling_notes" not in dense.checks
    np.testing.assert_array_equal(again.loss, dense.loss)


def test_a_mode_that_takes_all_its_cells_from_another_says_why_too(build, data, tmp_path):
    """The file of one is gone; batch, whose numbers it takes, has every cell: nothing is left to measure."""
    net, (x, y) = build("mlp_bn"), data()
    objectives = [ls.Objective(net, x, y, bn=bn, device="cpu") for bn in ("batch", "recalibrated")]
    paths = [tmp_path / f"{o.bn}.h5" for o in objectives]

    def measured():
        pairs = ls.random_pair(net)
        return measure_surfaces(objectives, pairs, ls.Grid.square(1.0, 5), paths=paths, sampling="adaptive")

    whole = measured()
    paths[1].unlink()
    again = measured()
    np.testing.assert_array_equal(again[1].loss, whole[1].loss)
    assert again[1].checks["sampling_notes"] == whole[1].checks["sampling_notes"]
    assert ls.load(paths[1]).checks["sampling_notes"] == whole[1].checks["sampling_notes"]


@pytest.mark.parametrize("bn", MODES)
def test_adaptive_measures_what_dense_measures_and_estimates_the_rest_within_what_it_states(objective, bn):
    asked = objective("mlp_bn", bn=bn)
    pairs = ls.random_pairs(asked.model, 2)
    dense = ls.measure_surface(asked, pairs, FINE, evaluator="sequential")
    found = ls.measure_surface(asked, pairs, FINE, evaluator="sequential", sampling="adaptive")
    assert found.done.all()
    assert 0.05 < found.measured.mean() < 0.6
    np.testing.assert_array_equal(found.loss[found.measured], dense.loss[found.measured])
    assert np.isnan(found.loss_sem[~found.measured]).all()
    errors = np.abs(found.loss / dense.loss - 1)[~found.measured]
    assert 0 < np.quantile(errors, 0.95) <= found.error_estimate <= 0.03
    assert found.recipe["sampling"] == "adaptive"


@pytest.mark.parametrize("shares", [(0.0,), (0.3, 0.7), (1.0,)])
def test_stopped_and_continued_comes_to_the_same_cells(objective, same_surface, tmp_path, shares):
    """Stopped before the first cell, in mid-run twice, and between the last cell and the interpolation."""
    asked = objective("mlp_bn")

    def measured(path=None, progress=None):
        pairs = ls.random_pairs(asked.model, 3)
        options = {"sampling": "adaptive", "evaluator": "sequential", "progress": progress, "path": path}
        return ls.measure_surface(asked, pairs, FINE, **options)

    whole = measured()
    for share in shares:
        with pytest.raises(KeyboardInterrupt):
            measured(tmp_path / "a.h5", stop_at(round(share * whole.measured.sum())))
        assert not ls.load(tmp_path / "a.h5").finished
    found = measured(tmp_path / "a.h5")
    same_surface(found, whole)
    same_surface(ls.load(tmp_path / "a.h5"), whole)
    assert found.error_estimate == whole.error_estimate
