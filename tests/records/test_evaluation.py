"""Shares and their intervals, against scipy; classes without images; the same record from disk."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from landscape.records import Evaluation, Measurement
from landscape.records.evaluation import wilson


@pytest.mark.parametrize(("successes", "total"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (993, 1000), (1, 10_000)])
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_the_interval_is_scipys(successes, total, level):
    expected = binomtest(successes, total).proportion_ci(level, method="wilson")
    low, high = wilson(successes, total, level=level)
    np.testing.assert_allclose([low, high], [expected.low, expected.high], rtol=1e-12, atol=1e-15)


def test_intervals_of_arrays_and_of_nothing():
    low, high = wilson([0, 3, 0], [0, 4, 4])
    assert np.isnan([low[0], high[0]]).all()
    assert low[2] == 0
    assert (low[1:] <= [0.75, 0]).all()
    assert (high[1:] >= [0.75, 0]).all()


def test_rates_are_shares_of_a_row(evaluation):
    """Two classes and three outputs: shares of columns could not pass."""
    np.testing.assert_allclose(evaluation.rates[[0, 1]].sum(axis=1), [1, 1], rtol=1e-15)
    assert evaluation.rates[0].tolist() == [0.75, 0.25, 0.0, 0.0]
    assert np.isnan(evaluation.rates[2]).all()  # no image: no rate, not a rate of zero
    assert np.isnan(evaluation.class_accuracy[2])
    assert np.isnan(evaluation.class_accuracy_interval[0][2])
    assert evaluation.class_hits.tolist() == [3, 2, 0]


def test_images_without_a_prediction_count_as_wrong():
    record = Evaluation(
        ["a", "b"], ["a", "b"], [[3, 0], [0, 0]], [1, 0], [1.0, np.nan], [np.nan, np.nan], [3, 0],
        Measurement(1.0, 0.1, 0.75, 4), [], [], [], [], np.zeros((0, 1, 1, 1)),
    )  # fmt: skip
    assert record.class_examples.tolist() == [4, 0]
    assert record.rates[0].tolist() == [0.75, 0.0]
    assert record.accuracy_interval == tuple(float(v) for v in wilson(3, 4))


@pytest.mark.parametrize(("accuracy", "chance"), [(0.33, True), (0.5, True), (0.9, False), (np.nan, False)])
def test_guessing_is_told_from_knowing(evaluation, accuracy, chance):
    """Among three classes and twelve images: 1/3 and three standard errors of 0.136."""
    object.__setattr__(evaluation, "overall", Measurement(1.0, 0.1, accuracy, 12))
    assert evaluation.at_chance is chance
