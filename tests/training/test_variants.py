"""Every variant x learning rate x seed: order, labels, what is kept, what is told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from landscape.errors import ResumeError, UsageError
from landscape.records import Measurement, Run
from landscape.storage import load, load_checkpoint, save
from landscape.training import VariantsConfig, collect, evaluate, keep_best, train, train_variants, trainer, variants

RATES = (1e-2, 1e-4)  # not in order on purpose


@pytest.fixture
def comparison(config):
    def make(networks=("tiny", "tiny_bn"), rates=RATES, seeds=(0, 1), **settings):
        return VariantsConfig(networks, rates, seeds, config(**({"epochs": 2} | settings)))

    return make


def test_runs_come_in_order_and_equal_single_runs(comparison, config, assert_same_run):
    c = comparison(networks=("tiny_dropout_bn", "tiny"))
    runs = train_variants(c)
    labels = [(r.recipe["model"], r.recipe["seed"], r.recipe["learning_rate"]) for r in runs]
    assert labels == [(v, s, lr) for v in ("tiny_dropout_bn", "tiny") for s in (0, 1) for lr in (1e-4, 1e-2)]
    for run, single in zip(runs, c.runs(), strict=True):
        assert_same_run(run, train(single))


def test_members_of_a_band_start_equal_and_seeds_do_not(comparison):
    runs = train_variants(comparison(networks=("tiny_dropout_bn",)))
    starts = np.array([run.loss[0] for run in runs]).reshape(2, 2)
    assert (starts[:, 0] == starts[:, 1]).all()
    assert starts[0, 0] != starts[1, 0]


def test_runs_are_laid_into_labelled_arrays(comparison, tmp_path):
    c = comparison()
    runs = train_variants(c)
    bands = collect(c, runs)
    assert bands.variant.tolist() == ["tiny", "tiny_bn"]
    assert bands.learning_rate.tolist() == [1e-4, 1e-2]
    assert bands.loss.shape == (2, 2, 2, 12)
    for run in runs:
        place = (
            bands.variant.tolist().index(run.recipe["model"]),
            bands.seed.tolist().index(run.recipe["seed"]),
            bands.learning_rate.tolist().index(run.recipe["learning_rate"]),
        )
        np.testing.assert_array_equal(bands.loss[place], run.loss)
        np.testing.assert_array_equal(bands.val_loss[place], run.val_loss)
        np.testing.assert_array_equal(bands.val_accuracy[place], run.val_accuracy)
    assert bands.recipe["epochs"] == 2
    assert bands.recipe["steps_per_epoch"] == 6
    assert not {"learning_rate", "seed", "model"} & set(bands.recipe)
    save(bands, tmp_path / "bands.h5")
    np.testing.assert_array_equal(load(tmp_path / "bands.h5").loss, bands.loss)


def fake(loss, val, *, model="tiny", rate=1e-4, diverged=False):
    recipe = {"model": model, "model_options": {}, "learning_rate": rate, "seed": 0, "steps_per_epoch": 2}
    n, e = len(loss), len(val)
    values = np.asarray(loss, float), np.arange(1, e + 1), np.asarray(val, float), np.asarray(val, float) / 10
    return Run(np.arange(n), *values, diverged=diverged, recipe=recipe)


def test_a_run_that_ended_early_is_nan_from_there_on(comparison):
    c = comparison(networks=("tiny",), seeds=(0,), epochs=3)
    runs = [fake([1, 2, 3, 4, 5, 6], [1, 2, 3]), fake([1, np.inf], [9], diverged=True)]
    bands = collect(c, runs)
    nan = np.nan
    np.testing.assert_array_equal(bands.loss[0, 0], [[1, 2, 3, 4, 5, 6], [1, np.inf, nan, nan, nan, nan]])
    np.testing.assert_array_equal(bands.val_loss[0, 0], [[1, 2, 3], [9, nan, nan]])
    np.testing.assert_array_equal(bands.val_accuracy[0, 0], [[0.1, 0.2, 0.3], [0.9, nan, nan]])
    np.testing.assert_array_equal(bands.diverged[0, 0], [False, True])
    np.testing.assert_array_equal(bands.step, np.arange(6))
    np.testing.assert_array_equal(bands.epoch, [1, 2, 3])
    with pytest.raises(UsageError, match="1 runs do not fill 1 variants x 1 seeds x 2 rates"):
        collect(c, runs[:1])


def test_the_best_checkpoint_of_each_network_is_kept(comparison, tmp_path, data):
    c = comparison(out=tmp_path)
    runs = train_variants(c)
    assert keep_best(c, runs) == [tmp_path / "tiny.pth", tmp_path / "tiny_bn.pth"]
    for variant in c.variants:
        candidates = [run for run in runs if run.recipe["model"] == variant]
        best = max(float(run.val_accuracy.max()) for run in candidates)
        found = load_checkpoint(tmp_path / f"{variant}.pth")
        assert found.model_name == variant
        assert found.meta["val_accuracy"] == best
        assert evaluate(found.build(), data.validation).accuracy == best
        assert found.meta["data"] == data.train.describe()
        assert found.meta["data"]["normalization"] == "dataset"
        assert not found.training
    assert keep_best(comparison(), runs) == []


def test_what_is_kept_is_the_best_epoch_of_the_best_run(comparison, tmp_path, monkeypatch):
    """Two learning rates, three epochs each; the highest validation accuracy is in the middle of the second run."""
    accuracies = iter([0.2, 0.6, 0.1, 0.3, 0.7, 0.4])
    monkeypatch.setattr(trainer, "evaluate", lambda *args, **named: Measurement(1.0, 0.1, next(accuracies), 13))
    c = comparison(("tiny",), seeds=(0,), epochs=3, out=tmp_path)
    keep_best(c, train_variants(c))
    meta = load_checkpoint(tmp_path / "tiny.pth").meta
    assert (meta["epoch"], meta["val_accuracy"], meta["run"]) == (2, 0.7, "tiny-lr0.01-seed0")


def test_finished_runs_are_not_paid_again_and_unfinished_ones_continued(
    comparison, tmp_path, steps, assert_same_run, monkeypatch
):
    monkeypatch.setattr(variants, "seconds_per_step", lambda *args, **named: 1.0)
    expected = train_variants(comparison())
    steps.clear()
    c = comparison(out=tmp_path)

    def stop(progress):
        if progress.done == 12 + 12 + 8:  # second epoch of the third run
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_variants(c, progress=stop)
    made = len(steps)
    assert made == 32
    seen = []
    for run, one in zip(train_variants(c, progress=seen.append), expected, strict=True):
        assert_same_run(run, one)
    assert len(steps) - made == 8 * 12 - 30
    assert (seen[0].done, seen[0].total, seen[0].seconds_left) == (30, 96, 66.0)
    steps.clear()
    seen.clear()
    train_variants(c, progress=seen.append)
    assert steps == []
    assert [(p.done, p.total, p.seconds_left) for p in seen] == [(96, 96, 0.0)]
    wider = comparison(rates=(*RATES, 1e-3), out=tmp_path)
    assert len(train_variants(wider)) == 12
    assert {name.split("-lr")[1].split("-")[0] for name, _ in steps} == {"0.001"}


def test_other_settings_are_refused(comparison, tmp_path):
    train_variants(comparison(out=tmp_path))
    with pytest.raises(ResumeError, match=r"weight_decay=0\.0001.*weight_decay=0\.1"):
        train_variants(comparison(out=tmp_path, weight_decay=0.1))


def test_the_first_report_is_an_estimate_and_the_last_reaches_the_total(comparison):
    seen = []
    train_variants(comparison(), progress=seen.append)
    assert (seen[0].done, seen[0].total, seen[0].detail) == (0, 96, "timed a few steps")
    assert seen[0].seconds_left > 0
    assert [p.done for p in seen] == list(range(97))
    assert {p.total for p in seen} == {96}
    assert seen[-1].seconds_left == 0


def test_networks_with_unequal_steps_reach_the_total_too(comparison):
    """117 = 4 x 29 + 1 images: the last one is dropped with BatchNorm."""
    for networks in (("tiny", "tiny_bn"), ("tiny_bn", "tiny")):
        seen = []
        c = comparison(networks, (1e-3,), (0,), batch_size=29)
        runs = train_variants(c, progress=seen.append)
        assert [p.done for p in seen] == list(range(19))
        assert {p.total for p in seen} == {18}
        bands = collect(c, runs)
        assert bands.loss.shape[-1] == 10
        assert np.isnan(bands.loss).sum() == 2


def test_a_run_that_ends_early_does_not_keep_the_total_from_being_reached(comparison):
    seen = []
    c = comparison(("tiny",), (1e-3, 1e20), (0,), optimizer="sgd", epochs=4)
    runs = train_variants(c, progress=seen.append)
    assert [run.diverged for run in runs] == [False, True]
    assert seen[-1].done == seen[-1].total == 48
    assert collect(c, runs).diverged.tolist() == [[[False, True]]]


def test_timing_leaves_no_trace(comparison, assert_same_run, monkeypatch):
    timed = train_variants(comparison(networks=("tiny_dropout_bn",)))
    monkeypatch.setattr(variants, "seconds_per_step", lambda *args, **named: 0.0)
    for a, b in zip(timed, train_variants(comparison(networks=("tiny_dropout_bn",))), strict=True):
        assert_same_run(a, b)


def test_shared_options_reach_those_that_take_them(comparison):
    c = comparison(("tiny", "vgg_light"), seeds=(0,), rates=(1e-3,))
    c = dataclasses.replace(c, shared=dataclasses.replace(c.shared, model_options={"widths": (2,), "init": "he"}))
    assert [run.model_options for run in c.runs()] == [{"widths": (2,)}, {"init": "he"}]
    assert train_variants(dataclasses.replace(c, variants=("tiny",), shared=c.runs()[0]))[0].recipe["model_options"][
        "widths"
    ] == (2,)
