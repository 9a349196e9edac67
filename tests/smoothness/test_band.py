"""Bands in closed form: known losses have known minima, maxima, gaps and ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.records import LossBand, Run, VariantBands
from landscape.smoothness import (
    Panel,
    Ratio,
    band_gap,
    compare_bands,
    default_window,
    find_panels,
    loss_band,
    running_mean,
    variant_band,
)
from landscape.smoothness.band import window_edges

T = np.arange(40)


def make_run(rate: float, loss: np.ndarray, first: int = 0) -> Run:
    none = np.zeros(0)
    return Run(first + np.arange(len(loss)), loss, none, none, none, recipe={"learning_rate": rate})


def make_bands(variants, loss, **changes) -> VariantBands:
    """Loss of shape (variant, seed, learning rate, step), one epoch of validation per ten steps."""
    loss = np.asarray(loss, dtype=float)
    v, s, r, t = loss.shape
    epochs = changes.pop("epochs", 20)
    shape = (v, s, r, epochs)
    flags = {"collapsed": np.zeros((v, s, r), bool), "diverged": np.zeros((v, s, r), bool)} | changes
    rates = [1e-4, 5e-4, 1e-3, 3e-3][:r]
    numbers = np.arange(1, epochs + 1)
    return VariantBands(
        np.array(variants),
        np.arange(s),
        rates,
        np.arange(t),
        numbers,
        loss,
        np.ones(shape),
        np.full(shape, 0.5),
        **flags,
    )


def test_minimum_maximum_and_gap_are_exact():
    """L_r(t) = r + t/8: the band is [1 + t/8, 5 + t/8] and its gap is 4 at every step."""
    band = loss_band([r + T / 8 for r in (1.0, 2.0, 5.0)], over="step_size")
    np.testing.assert_array_equal(band.low, 1 + T / 8)
    np.testing.assert_array_equal(band.high, 5 + T / 8)
    gap = band_gap(band)
    assert (gap.mean, gap.median, gap.steps, gap.total) == (4.0, 4.0, 40, 40)
    assert [(w.name, w.mean, w.steps) for w in gap.windows] == [
        ("0-3", 4.0, 4), ("4-9", 4.0, 6), ("10-19", 4.0, 10), ("20-29", 4.0, 10), ("30-39", 4.0, 10)
    ]  # fmt: skip


def test_mean_median_and_windows_differ_where_the_gap_does():
    """Gap t: mean 19.5 over 0..39; the last quarter 30..39 has mean 34.5."""
    gap = band_gap(loss_band([0.0 * T, T]))
    assert (gap.mean, gap.median) == (19.5, 19.5)
    assert [w.mean for w in gap.windows] == [1.5, 6.5, 14.5, 24.5, 34.5]
    assert band_gap(loss_band([0.0 * T, T**2])).median == (19**2 + 20**2) / 2


def test_a_duplicate_and_a_permutation_change_nothing():
    curves = np.random.default_rng(0).random((3, 40))
    band = loss_band(curves)
    for other in (curves[[2, 0, 1]], curves[[0, 1, 2, 1]]):
        np.testing.assert_array_equal(loss_band(other).low, band.low)
        np.testing.assert_array_equal(loss_band(other).high, band.high)


def test_runs_are_named_by_their_learning_rate_and_keep_their_steps():
    band = loss_band([make_run(0.001, T + 1.0, 7), make_run(5e-4, T + 3.0, 7)])
    assert (band.members, band.over) == (("0.001", "0.0005"), "learning_rate")
    np.testing.assert_array_equal(band.step, T + 7)
    assert band_gap(band).windows[0].name == "7-10"


def test_excluded_members_are_left_out_and_kept_by_name():
    band = loss_band([T + 0.0, T + 1.0, T + 9.0], members=["a", "b", "c"], excluded=["c"])
    assert (band.members, band.excluded) == (("a", "b"), ("c",))
    assert band_gap(band).mean == 1.0


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([T[:3], T[:5]], {}, ["3 steps", "5"]),
        ([make_run(0.1, T[:3]), make_run(0.2, T[:5])], {}, ["0.1 has 3 steps", "0.2 has 5"]),
        ([make_run(0.1, T), make_run(0.2, T, 1)], {}, ["share their steps"]),
        ([T, T], {"excluded": ["x"]}, ["cannot exclude x", "0, 1"]),
        ([T, T], {"excluded": ["0", "1"]}, ["at least one member"]),
        ([T, T], {"members": ["a"]}, ["2 members", "got 1"]),
        ([], {}, ["got none"]),
        ([make_run(0.1, T)], {"over": "momentum"}, ["no 'momentum'"]),
        ([np.ones((2, 2))], {}, ["(2, 2)"]),
        ([make_run(0.1, T), T], {}, ["not of both"]),
    ],
)
def test_what_cannot_be_a_band_is_refused_with_both_sides(values, options, words):
    with pytest.raises(UsageError) as error:
        loss_band(values, **options)
    assert all(word in str(error.value) for word in words)


def test_a_step_without_a_finite_loss_has_no_gap():
    curves = np.array([[1.0, 2.0, np.nan, 4.0], [3.0, np.inf, 1.0, 5.0]])
    gap = band_gap(loss_band(curves))
    assert (gap.mean, gap.steps, gap.total) == (1.5, 2, 4)  # gaps 2 and 1
    nothing = band_gap(loss_band(curves * np.nan))
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.median)
    assert nothing.steps == 0


def test_running_mean_is_centred_and_pads_nothing():
    """A straight line is its own centred mean, at the steps where a whole window fits."""
    step, mean = running_mean(T + 100, np.stack([3.0 * T, -T]), window=5)
    np.testing.assert_array_equal(step, T[2:-2] + 100)
    np.testing.assert_allclose(mean, [3.0 * T[2:-2], -T[2:-2]], rtol=1e-15)
    spike = np.where(T == 20, np.inf, 1.0)
    _, mean = running_mean(T, spike, window=3)
    assert np.isnan(mean).sum() == 3
    assert np.nanmax(mean) == 1.0
    for window in (0, 4, 41):
        with pytest.raises(UsageError, match=f"got {window}"):
            running_mean(T, T, window=window)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 40, 7820, 7799])
def test_the_default_window_always_fits(steps):
    window = default_window(steps)
    assert len(running_mean(np.arange(steps), np.ones(steps), window=window)[0]) == steps - window + 1


def test_panels_are_found_by_name():
    names = ["net_bn", "vgg_light", "vgg", "vgg_light_bn", "other", "vgg_bn", "net"]
    assert find_panels(names) == (
        Panel("plain", "vgg", "vgg_bn"),
        Panel("light", "vgg_light", "vgg_light_bn"),
        Panel("net", "net", "net_bn"),
        Panel("other", "other", None),
    )


def test_a_ratio_uses_the_learning_rates_that_survived_in_both_networks():
    """Levels 1, 2, 4, 10 and 1, 3, 7, 8; rate 4 collapsed in the one, rate 2 diverged in the other."""
    levels = np.array([[1.0, 2, 4, 10], [1.0, 3, 7, 8]])
    loss = np.broadcast_to(levels[:, None, :, None], (2, 1, 4, 40)).copy()
    loss[1, 0, 1, 5:] = np.nan
    collapsed, diverged = np.zeros((2, 1, 4), bool), np.zeros((2, 1, 4), bool)
    collapsed[0, 0, 3], diverged[1, 0, 1] = True, True
    (found,) = compare_bands(make_bands(["vgg", "vgg_bn"], loss, collapsed=collapsed, diverged=diverged))
    assert found.learning_rates == ("0.0001", "0.001")
    assert found.left_out == ("0.0005", "0.003")
    assert found.ratios[0].mean == (4 - 1) / (7 - 1)
    assert found.ratios[0].median == 0.5
    assert found.ratios[0].windows == (0.5,) * 5
    raw = {r.variant: r for r in found.raw}
    assert raw["vgg"].gap.mean == 9.0  # the collapsed run is in its own network's band
    assert raw["vgg"].flagged == (("0.003", "collapsed"),)
    assert (raw["vgg_bn"].gap.mean, raw["vgg_bn"].gap.steps) == (7.0, 5)
    assert raw["vgg_bn"].flagged == (("0.0005", "diverged"),)


def test_ratio_per_seed_and_spread_over_seeds_share_one_set():
    """Ratios 2 and 4 have mean 3 and sample standard deviation sqrt(2)."""
    gaps = np.array([[2.0, 8.0], [1.0, 2.0]])  # variant, seed
    loss = np.zeros((2, 2, 3, 40))
    loss[:, :, 1] = gaps[..., None]
    loss[:, :, 2] = 1e6
    loss[1, 1, 2, -1] = np.inf  # not finite at one seed of one network: out of both seeds and both networks
    (found,) = compare_bands(make_bands(["vgg", "vgg_bn"], loss))
    assert [r.mean for r in found.ratios] == [2.0, 4.0]
    assert found.mean == (3.0, pytest.approx(math.sqrt(2)))
    assert found.windows == ((3.0, pytest.approx(math.sqrt(2))),) * 5
    assert found.learning_rates == ("0.0001", "0.0005")


def test_raw_gaps_have_their_spread_over_seeds_in_every_window():
    """Gaps 2 and 8 for one network: mean 5, sample standard deviation sqrt(18); the last quarter is wider by 4."""
    loss = np.zeros((1, 2, 2, 40))
    loss[0, :, 1] = np.array([2.0, 8.0])[:, None]
    loss[0, :, 1, 30:] += 4
    (found,) = compare_bands(make_bands(["vgg"], loss))
    mean, median, *windows = found.gaps("vgg")
    assert mean == (6.0, pytest.approx(math.sqrt(18)))
    assert median == (5.0, pytest.approx(math.sqrt(18)))
    assert [value for value, _ in windows] == [5, 5, 5, 5, 9]


@pytest.mark.parametrize(
    ("steps", "edges"),
    [
        (7_820, [0, 300, 1_000, 2_000, 4_000, 6_000, 7_820]),  # 20 epochs of all images
        (7_040, [0, 300, 1_000, 2_000, 4_000, 6_000, 7_040]),  # a tenth held out
        (1_760, [0, 176, 440, 880, 1_320, 1_760]),
        (3, [0, 1, 2, 3]),
    ],
)
def test_windows_are_those_of_the_published_bands_where_a_run_is_as_long(steps, edges):
    assert window_edges(steps).tolist() == edges


@pytest.mark.parametrize(
    ("seeds", "epochs", "steps", "words"),
    [
        (1, 20, 2000, "one seed: too little for a claim"),
        (2, 19, 2000, "19 epochs (fewer than 20): too little for a claim"),
        (1, 1, 40, "one seed and 1 epoch (fewer than 20): too little for a claim"),
        (2, 20, 60, "60 steps (fewer than 2,000): too little for a claim"),
        (1, 20, 1999, "one seed and 1,999 steps (fewer than 2,000): too little for a claim"),
        (2, 20, 2000, ""),
    ],
)
def test_too_little_for_a_claim_is_said(seeds, epochs, steps, words):
    loss = np.random.default_rng(0).random((2, seeds, 2, steps))
    (found,) = compare_bands(make_bands(["vgg", "vgg_bn"], loss, epochs=epochs))
    assert found.caution == words


def test_a_ratio_over_different_members_cannot_be_made():
    a, b = (band_gap(LossBand(T, np.ones((2, 40)), names, "learning_rate")) for names in (("1", "2"), ("1", "3")))
    with pytest.raises(ValueError, match="different members"):
        Ratio(0, a, b)


def test_one_survivor_gives_no_ratio_and_a_missing_twin_neither():
    loss = np.random.default_rng(0).random((3, 1, 2, 40))
    collapsed = np.zeros((3, 1, 2), bool)
    collapsed[0, 0, 1] = True
    plain, light = compare_bands(make_bands(["vgg", "vgg_bn", "vgg_light"], loss, collapsed=collapsed))
    assert plain.ratios == ()
    assert plain.learning_rates == ("0.0001",)
    assert math.isnan(plain.mean[0])
    assert light.ratios == ()
    assert light.panel.variants == ("vgg_light",)
    assert plain.caution == light.caution == ""


def test_runs_that_were_never_trained_are_named_and_no_member():
    loss = np.random.default_rng(0).random((2, 2, 3, 40))
    loss[0, 0, 2] = np.nan
    loss[1, 1] = np.nan  # the second seed has no twin yet: no ratio there
    bands = make_bands(["vgg", "vgg_bn"], loss)
    (found,) = compare_bands(bands)
    assert found.raw[0].missing == ("0.001",)
    assert found.raw[0].gap.members == ("0.0001", "0.0005")
    assert [(r.variant, r.seed) for r in found.raw] == [("vgg", 0), ("vgg", 1), ("vgg_bn", 0)]
    assert [r.seed for r in found.ratios] == [0]
    assert found.learning_rates == ("0.0001", "0.0005")
    assert variant_band(bands, "vgg", 0).excluded == ("0.001",)
