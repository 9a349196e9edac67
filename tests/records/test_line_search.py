"""``beta_smoothness`` and its saturation, exactly."""

from __future__ import annotations

import numpy as np

from landscape.records.line_search import beta_smoothness, saturated

NAN, INF = np.nan, np.inf
ETAS = np.array([0.05, 0.1, 0.4])


def test_the_largest_quotient_by_the_distance_walked():
    """Divided by eta * norm: by eta alone, or by nothing, the values would be others."""
    distance = np.array([[1.0, 3.0, 4.0], [0.1, 0.1, 0.1]])
    np.testing.assert_allclose(
        beta_smoothness(distance, ETAS, np.array([2.0, 0.5])), [3 / 0.2, 0.1 / 0.025], rtol=1e-15
    )


def test_what_is_not_finite_or_has_no_gradient_has_no_value():
    distance = np.array([[1, INF, 1], [1, NAN, 1], [1, 1, 1], [0, 0, 0]])
    found = beta_smoothness(distance, ETAS, np.array([1.0, 1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(found, [NAN, NAN, NAN, 0.0])


def test_saturation_is_five_percent_about_one_over_the_smallest_step():
    assert saturated(np.array([19.1, 20.9, 18.9, 21.1, NAN]), ETAS).tolist() == [True, True, False, False, False]


def test_properties_of_records(line_search, smoothness):
    assert np.isnan(line_search.beta_smoothness)
    assert line_search.saturated is False
    assert smoothness.beta_smoothness.shape == smoothness.saturated.shape == (4,)
    assert np.isnan(smoothness.beta_smoothness[1])
