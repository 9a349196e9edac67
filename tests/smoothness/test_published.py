"""The published curves that come with the package: their numbers, window by window, as they were read off."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.smoothness.published import published


def mean_between(curve, values, first, last):
    return values[(curve.step > first) & (curve.step <= last)].mean()


@pytest.mark.parametrize(
    ("with_bn", "gap", "windows", "log_gap"),
    [(False, 1.54, (2.76, 1.82, 0.91), 0.260), (True, 0.25, (0.53, 0.17, 0.17), 0.073)],
)
def test_gaps_of_figure_4a(with_bn, gap, windows, log_gap):
    curve = published().curve("loss", with_bn=with_bn)
    width = curve.high - curve.low
    assert (len(curve.step), curve.step[0], curve.step[-1]) == (151, 0, 15000)
    np.testing.assert_allclose(width.mean(), gap, atol=0.005)
    found = [mean_between(curve, width, a, b) for a, b in ((0, 3000), (3000, 7500), (7500, 15000))]
    np.testing.assert_allclose(found, windows, atol=0.006)  # stated with two decimals
    np.testing.assert_allclose(np.log10(curve.high / curve.low).mean(), log_gap, atol=0.005)


def test_losses_at_single_steps_of_figure_4a():
    for with_bn, rows in (
        (False, {0: (4.27, 4.29), 3000: (1.80, 5.31)}),
        (True, {0: (4.19, 5.19), 1000: (1.92, 2.22)}),
    ):
        curve = published().curve("loss", with_bn=with_bn)
        for step, edges in rows.items():
            at = list(curve.step).index(step)
            np.testing.assert_allclose(
                (curve.low[at], curve.high[at]), edges, rtol=0.005
            )  # what 0.3 % of the axis and two decimals leave


def test_the_gradient_changes_more_with_batchnorm_at_the_start_and_less_later():
    without, with_bn = (published().curve("predictiveness", with_bn=bn) for bn in (False, True))
    assert with_bn.low[0] > 100
    assert without.high[0] < 3
    early = [mean_between(curve, curve.high, 0, 3000) for curve in (without, with_bn)]
    np.testing.assert_allclose(early, (93, 27.8), rtol=0.02)
    np.testing.assert_allclose(without.high.max(), 254.9, rtol=1e-3)


def test_beta_smoothness_settles_at_one_over_the_smallest_step_size():
    source = published()
    smallest = min(source.protocol["multiples"]) * source.protocol["learning_rate"]
    for with_bn in (False, True):
        curve = source.curve("beta_smoothness", with_bn=with_bn)
        assert np.all(np.diff(curve.step) >= 0)
        np.testing.assert_allclose(np.median(curve.high[curve.step > 7500]), 1 / smallest, rtol=0.02)
        np.testing.assert_array_equal(curve.low, curve.high)


def test_medians_by_step_size():
    for with_bn, expected in ((False, (10.9, 12.7, 19.3, 46.8)), (True, (11.8, 11.8, 14.2, 22.3))):
        steps, sizes, distances = published().by_step_size(with_bn=with_bn)
        assert distances.shape == (len(steps), len(sizes)) == (51, 4)
        assert steps[-1] == 15000
        np.testing.assert_allclose(np.median(distances, axis=0), expected, rtol=0.005)


def test_accuracies_are_shares_and_end_near_one():
    for with_bn in (False, True):
        curve = published().curve("accuracy", with_bn=with_bn)
        assert 0 < curve.low.min() < 0.1
        assert 0.95 < curve.low[-1] <= 1


def test_the_band_of_the_handout():
    source = published("handout_band")
    gaps = []
    for with_bn in (False, True):
        curve = source.curve("loss", with_bn=with_bn)
        gaps.append((curve.high - curve.low).mean())
    np.testing.assert_allclose(gaps, (0.437, 0.127), atol=0.001)
    assert source.protocol["optimizer"] == "adam"


def test_curves_are_cut_at_a_step_and_every_source_is_cited():
    curve = published().curve("loss", with_bn=True).until(300)
    assert curve.step.tolist() == [0, 100, 200, 300]
    assert len(curve.low) == len(curve.high) == 4
    assert "1805.11604" in published().citation
    for source in ("santurkar2018", "handout_band"):
        assert published(source).citation
        assert "Read off" in published(source).read_off
