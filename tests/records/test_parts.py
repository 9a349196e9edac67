"""A record taken apart and put together again is the record, to the last bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from landscape.records import KINDS, Grid, Measurement, Run, Surface, VariantBands, from_parts, to_parts

NAN = np.nan
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_every_record_comes_back(record, assert_same):
    variables, mappings = to_parts(record)
    assert_same(record, from_parts(type(record), {n: v.data for n, v in variables.items()}, mappings))


@RELAXED
@given(data=st.data(), steps=st.integers(0, 5), epochs=st.integers(0, 3))
def test_any_run_comes_back(assert_same, data, steps, epochs):
    def draw(n):
        return data.draw(hnp.arrays(np.float64, n, elements=FLOATS))

    flags = {"collapsed": data.draw(st.booleans()), "diverged": data.draw(st.booleans())}
    recipe = data.draw(st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.text())))
    run = Run(np.arange(steps), draw(steps), np.arange(epochs), draw(epochs), draw(epochs), **flags, recipe=recipe)
    variables, mappings = to_parts(run)
    assert_same(run, from_parts(Run, {n: v.data for n, v in variables.items()}, mappings))
    assert run.survived is not (flags["collapsed"] or flags["diverged"])


def test_every_variable_has_its_dimensions(record):
    """Each array has one axis per named dimension, and equal names have equal lengths."""
    lengths: dict[str, int] = {}
    for name, variable in to_parts(record)[0].items():
        assert variable.data.ndim == len(variable.dims), name
        for dim, n in zip(variable.dims, variable.data.shape, strict=True):
            assert lengths.setdefault(dim, n) == n


def test_dimensions_of_a_surface(surface):
    variables, mappings = to_parts(surface)
    for name in ("loss", "loss_sem", "delta_sem", "accuracy", "done", "measured"):
        assert variables[name].dims == ("pair", "alpha", "beta")
    assert variables["alpha"].dims == ("alpha",)
    assert variables["center_loss"].data == 1.5
    assert variables["center_examples"].data.dtype == np.int64
    assert variables["done"].data.dtype == np.bool_
    assert set(mappings) == {"recipe", "execution", "checks", "environment", "provenance"}
    assert surface.pairs == 2
    assert not surface.finished
    assert dataclasses.replace(surface, done=np.ones((2, 3, 4))).finished


def test_dimensions_of_bands(bands):
    variables, _ = to_parts(bands)
    assert variables["loss"].dims == ("variant", "seed", "learning_rate", "step")
    assert variables["val_accuracy"].dims == ("variant", "seed", "learning_rate", "epoch")


def test_kinds():
    assert {kind: KINDS[kind] for kind in ("run", "surface", "bands")} == {
        "run": Run,
        "surface": Surface,
        "bands": VariantBands,
    }
    assert not Grid.kind
    assert not Measurement.kind


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": np.zeros(4)}, r"Run: loss has 4 values along 'step', step has 5"),
        ({"val_accuracy": np.zeros(3)}, r"Run: val_accuracy has 3 values along 'epoch', epoch has 2"),
        ({"loss": np.zeros((5, 1))}, r"Run.loss has shape \(5, 1\); its dimensions are \(step\)"),
        ({"collapsed": np.zeros(2)}, r"Run.collapsed has shape \(2,\); its dimensions are \(\)"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(run, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(run, **change)


def test_swapped_axes_are_refused_in_bands(bands):
    with pytest.raises(ValueError, match="loss has 3 values along 'variant', variant has 2"):
        dataclasses.replace(bands, loss=np.swapaxes(bands.loss, 0, 2))


def test_values_get_their_types(run):
    taken = dataclasses.replace(run, loss=[1, 2, 3, 4, 5], collapsed=np.bool_(1))
    assert taken.loss.dtype == np.float64
    assert taken.collapsed is True
    measured = Measurement(np.float32(0.5), 0, 1, np.int32(3))
    assert [type(v) for v in (measured.loss, measured.loss_sem, measured.examples)] == [float, float, int]


def test_a_missing_variable_is_an_error_and_a_strange_one_is_not(run):
    variables, mappings = to_parts(run)
    arrays = {name: variable.data for name, variable in variables.items()}
    from_parts(Run, arrays | {"of_a_later_release": np.zeros(2)}, mappings)
    del arrays["val_loss"]
    with pytest.raises(KeyError, match="val_loss"):
        from_parts(Run, arrays, mappings)


def test_what_a_record_did_not_know_is_filled(run):
    """A file of an earlier release, or a caller who leaves it out: as many NaN as there are steps or epochs."""
    assert run.learning_rate.shape == (5,)
    assert np.isnan(run.learning_rate).all()
    assert (run.train_accuracy.shape, run.val_step.shape, run.val_step_loss.shape) == ((2,), (0,), (0,))
    variables, mappings = to_parts(run)
    arrays = {name: variable.data for name, variable in variables.items()}
    del arrays["learning_rate"], arrays["val_step"], arrays["val_step_loss"], arrays["val_step_accuracy"]
    assert from_parts(Run, arrays, mappings).learning_rate.shape == (5,)
    known = dataclasses.replace(run, val_step=[3, 4], val_step_loss=[1.0, 0.5], val_step_accuracy=None)
    assert known.val_step.dtype == np.int64
    assert known.val_step_accuracy.shape == (2,)
    with pytest.raises(ValueError, match="val_step_loss has 1 values along 'val_step', val_step has 2"):
        dataclasses.replace(run, val_step=[3, 4], val_step_loss=[1.0])


def test_the_best_accuracy_of_a_run_may_lie_within_an_epoch(run):
    assert run.best_accuracy == 0.2
    within = dataclasses.replace(run, val_step=[1], val_step_loss=[1.0], val_step_accuracy=[0.7])
    assert within.best_accuracy == 0.7
    none = dataclasses.replace(run, val_accuracy=[NAN, NAN])
    assert np.isnan(none.best_accuracy)


def test_a_record_cannot_be_changed(run):
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.loss = np.zeros(5)
