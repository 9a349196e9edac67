"""Measures of probed runs: exact on made-up traces, in windows, with the rule of what may be claimed."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.smoothness import MEASURES, compare_traces, default_windows, saturation, windowed

NAN, INF = np.nan, np.inf


def test_measures_are_ranges_and_the_upper_edge(trace):
    t = trace(
        [[1, 10, 2, 4], [3, 3, 3, 3], [1, 2, INF, 4]],
        distance=[[1, 5, 2, 3], [0.1, 0.2, 0.4, 0.8], [NAN, 1, 1, 1]],
        norm=[2.0, 1.0, 1.0],
    )
    found = {name: measure(t) for name, measure in MEASURES.items()}
    np.testing.assert_array_equal(found["loss_variation"], [9, 0, NAN])
    np.testing.assert_allclose(found["log_loss_variation"], [1, 0, NAN])
    np.testing.assert_array_equal(found["gradient_predictiveness"], [5, 0.8, NAN])
    np.testing.assert_allclose(found["gradient_range"], [4, 0.7, NAN])
    np.testing.assert_allclose(found["beta_smoothness"], [5 / 0.2, 2.0, NAN])  # 5 / (0.1 * 2)
    assert saturation(t) == 1 / 0.05


def test_saturation_is_flagged_where_the_gradient_is_gone(trace):
    t = trace(np.ones((3, 4)), distance=[[1, 1, 1, 1], [1.04, 1, 1, 1], [1.2, 1, 1, 1]])
    assert t.saturated.tolist() == [True, True, False]


def test_windows_of_the_paper_where_the_steps_are(trace):
    steps = np.arange(150) * 100
    assert default_windows(steps) == ((0, 3000), (3000, 7500), (7500, 15000))
    assert default_windows(np.arange(151) * 100) == ((0, 3000), (3000, 7500), (7500, 15000))
    assert default_windows(np.arange(100) * 100) == ((0, 1000), (1000, 2500), (2500, 5000), (5000, 7500), (7500, 10000))
    assert default_windows(np.arange(8) * 5, 36)[-1] == (30, 36)  # a last window ends where the training does
    assert default_windows(np.arange(8) * 5, 36)[0] == default_windows(np.arange(8) * 5)[0]
    assert default_windows(np.array([0])) == ((0, 1),)
    assert default_windows(np.array([], dtype=np.int64)) == ()


def test_values_fall_into_their_windows_and_gaps_are_counted():
    step = np.arange(10) * 100
    values = np.array([1.0, 3, 5, NAN, 7, 9, INF, 2, 2, 2])
    whole, first, second = windowed(step, values, ((0, 300), (300, 700)))
    assert (first.mean, first.median, first.probes, first.total) == (3, 3, 3, 3)
    assert (second.mean, second.median, second.probes, second.total) == (8, 8, 2, 4)
    assert (whole.name, whole.mean, whole.probes, whole.total) == ("0-700", 5, 5, 7)
    empty = windowed(step, np.full(10, NAN), ((0, 300),))[1]
    assert np.isnan(empty.mean) and np.isnan(empty.median) and empty.probes == 0


def pair(trace, factors, epochs=20, **settings):
    """Traces whose loss range is ``factors[seed]`` without BatchNorm and 1 with it."""
    shape = np.array([[1.0, 2.0, 1.5, 1.0]]).repeat(20, axis=0)
    without = [
        trace(1 + (shape - 1) * f, seed=k, epochs=epochs, model="vgg", **settings) for k, f in enumerate(factors)
    ]
    with_bn = [trace(shape, seed=k, epochs=epochs, model="vgg_bn", **settings) for k in range(len(factors))]
    return without, with_bn


def test_ratios_are_taken_seed_by_seed_with_their_spread(trace):
    ratios = {r.measure: r for r in compare_traces(*pair(trace, (2, 4, 6)))}
    found = ratios["loss_variation"]
    assert found.seeds == (0, 1, 2)
    for window in range(len(found.windows)):
        np.testing.assert_allclose(found.mean(window), (4, 2))
        np.testing.assert_allclose(found.median(window), (4, 2))
    np.testing.assert_allclose(ratios["beta_smoothness"].mean(), (1, 0))
    assert found.sentence() == (
        "loss variation without / with BatchNorm: 4 ± 2 (3 seeds, steps 0-2000): smaller with BatchNorm along the "
        "gradient of its own training."
    )


@pytest.mark.parametrize(
    ("factors", "epochs", "reason"),
    [
        ((5,), 20, "one seed: too little for a claim"),
        ((5, 5), 19, "19 epochs (fewer than 20): too little for a claim"),
        ((5,), 1, "one seed and 1 epoch (fewer than 20): too little for a claim"),
    ],
)
def test_one_seed_or_few_epochs_make_no_claim(trace, factors, epochs, reason):
    """DESIGN: the ratio with its spread, and why it says no more."""
    ratio = compare_traces(*pair(trace, factors, epochs))[0]
    assert ratio.caution == reason
    assert reason in ratio.sentence()
    for word in ("smooth", "smaller", "larger"):
        assert word not in ratio.sentence()
    assert "5" in ratio.sentence()


def test_a_claim_follows_the_ratio_and_its_spread(trace):
    assert "smaller with" in compare_traces(*pair(trace, (5, 5.5)))[0].sentence()
    assert "larger with" in compare_traces(*pair(trace, (0.5, 0.55)))[0].sentence()
    assert "no difference beyond the spread" in compare_traces(*pair(trace, (0.5, 3)))[0].sentence()


def test_probes_that_are_not_finite_are_left_out_and_counted(trace):
    without, with_bn = pair(trace, (2, 2))
    without[0].loss[3:5, 1] = INF
    ratio = compare_traces(without, with_bn)[0]
    assert ratio.left_out == (2, 0)
    np.testing.assert_allclose(ratio.mean(), (2, 0))


@pytest.mark.parametrize(
    ("trained", "reason"),
    [
        ({"epochs": None}, ""),  # twenty probes, a hundred steps apart
        ({"epochs": None, "every": 99}, "1,980 steps (fewer than 2,000): too little for a claim"),
        ({"epochs": None, "steps": 10_000}, ""),
        ({"epochs": None, "steps": 500}, "500 steps (fewer than 2,000): too little for a claim"),
        ({"epochs": 20, "steps_per_epoch": 3}, "60 steps (fewer than 2,000): too little for a claim"),
        ({"epochs": 20, "steps_per_epoch": 100}, ""),
    ],
)
def test_steps_are_counted_too_and_alone_where_there_are_no_epochs(trace, trained, reason):
    """A full-batch run has no epochs; many epochs of few images are few steps."""
    ratio = compare_traces(*pair(trace, (5, 5), **trained))[0]
    assert ratio.caution == reason
    assert ("smaller with BatchNorm" in ratio.sentence()) == (not reason)
    assert "epoch" not in ratio.sentence()


def test_only_traces_that_were_probed_alike_are_compared(trace):
    one = [trace(np.ones((4, 4)))]
    for other, message in [
        (trace(np.ones((4, 3))), "4 values of step_size|3 values of step_size"),
        (trace(np.ones((4, 4)), every=50), "values of step"),
        (trace(np.ones((4, 4)), learning_rate=0.2), "at one learning rate; got 0.1 and 0.2"),
        (trace(np.ones((4, 4)), seed=1), "no seed has a trace on both sides"),
    ]:
        with pytest.raises(UsageError, match=message):
            compare_traces(one, [other])
    with pytest.raises(UsageError, match="seed 0 has two traces on one side"):
        compare_traces(one * 2, one)
