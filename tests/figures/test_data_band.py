"""Curves of bands: thinned without losing an extreme, and never drawn over a gap."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from landscape.figures.data_band import (
    MOST_POINTS,
    Curve,
    axis_end,
    axis_note,
    band_panels,
    single_panel,
    stretches,
    thin,
)
from landscape.records import VariantBands
from landscape.smoothness import default_window, loss_band


def test_thinning_keeps_every_stretch_s_minimum_and_maximum():
    values = np.random.default_rng(0).normal(size=10_000)
    x, y = thin(np.arange(10_000.0), values, most=100)
    assert len(x) <= 100
    np.testing.assert_array_equal(y, values[x.astype(int)])  # values at their own places
    for part in range(50):
        inside = (x >= 200 * part) & (x < 200 * (part + 1))
        stretch = values[200 * part : 200 * (part + 1)]
        assert (y[inside].min(), y[inside].max()) == (stretch.min(), stretch.max())
    assert (np.diff(x) > 0).all()


def test_few_points_are_left_alone():
    x, y = thin(np.arange(5.0), np.array([1.0, np.nan, 3.0, 4.0, 5.0]), most=5)
    np.testing.assert_array_equal(x, np.arange(5.0))
    assert np.isnan(y[1])


def test_thinning_keeps_every_gap():
    values = np.arange(1000.0)
    for gap in (3, 7, 500, 501, 502, 999):
        values[gap] = np.nan
    x, y = thin(np.arange(1000.0), values, most=50)
    assert {3, 7, 500, 999} <= set(x[np.isnan(y)])
    for a, b in ((3, 7), (7, 500), (502, 999)):
        assert not set(x[np.isnan(y)]) & set(range(a + 1, b))  # none is made up either


def test_a_filled_band_stops_at_a_gap():
    x = np.arange(6.0)
    y = np.array([1.0, 2.0, np.nan, 3.0, np.nan, np.nan])
    assert stretches(Curve(x, y), Curve(x, y + 1)) == [(0.0, 1.0), (3.0, 3.0)]
    assert stretches(Curve(x, y * np.nan), Curve(x, y * np.nan)) == []


def test_edges_are_minimum_and_maximum_over_learning_rates(make_bands):
    """Loss (r + 1)(v + 1) + t/64: vgg spans 1..3, vgg_bn 2..6, both rising by 1/64 a step."""
    (panel,) = band_panels(make_bands(), seed=0, show="raw")
    plain, bn = panel.networks
    t = np.arange(60) / 64
    np.testing.assert_array_equal(plain.low.y, 1 + t)
    np.testing.assert_array_equal(plain.high.y, 3 + t)
    np.testing.assert_array_equal(bn.low.y, 2 + t)
    np.testing.assert_array_equal(bn.high.y, 6 + t)
    assert (plain.with_bn, bn.with_bn) == (False, True)
    assert (plain.rates, [run.name for run in bn.runs]) == (("0.0001", "0.001", "0.003"), ["0.0001", "0.001", "0.003"])
    assert panel.title == "plain · vgg and vgg_bn"


def test_the_running_mean_of_a_straight_band_is_the_band_and_the_raw_one_stands_behind(make_bands):
    (panel,) = band_panels(make_bands(), seed=0, show="mean")
    half = default_window(60) // 2
    assert panel.window == 2 * half + 1 > 1
    network = panel.networks[0]
    np.testing.assert_array_equal(network.low.x, np.arange(half, 60 - half))
    np.testing.assert_allclose(network.low.y, 1 + np.arange(half, 60 - half) / 64, rtol=1e-14)
    np.testing.assert_array_equal(network.faint[1].y, 3 + np.arange(60) / 64)


def test_epochs_show_validation(make_bands):
    (panel,) = band_panels(make_bands(), seed=0, show="val_accuracy")
    np.testing.assert_array_equal(panel.networks[1].low.y, [0.25] * 3)
    np.testing.assert_array_equal(panel.networks[1].high.y, [0.75] * 3)
    np.testing.assert_array_equal(panel.networks[1].low.x, [1, 2, 3])
    (panel,) = band_panels(make_bands(), seed=0, show="val_loss")
    np.testing.assert_array_equal(panel.networks[0].high.y, [2.0] * 3)


@pytest.mark.parametrize("show", ["raw", "mean", "val_loss", "val_accuracy"])
def test_flagged_runs_are_named_and_leave_the_shared_band(make_bands, show):
    bands = make_bands()
    collapsed, diverged = bands.collapsed.copy(), bands.diverged.copy()
    collapsed[0, 0, 2] = diverged[1, 0, 0] = True
    loss = bands.loss.copy()
    loss[1, 0, 0, 30:] = np.nan
    bands = dataclasses.replace(bands, collapsed=collapsed, diverged=diverged, loss=loss)
    (panel,) = band_panels(bands, seed=0, show=show)
    assert [run.flag for run in panel.networks[0].runs] == ["", "", "collapsed"]
    assert [run.flag for run in panel.networks[1].runs] == ["diverged", "", ""]
    (shared,) = band_panels(bands, seed=0, show=show, members="shared")
    assert [network.rates for network in shared.networks] == [("0.001",)] * 2
    assert [len(network.runs) for network in shared.networks] == [3, 3]
    if show == "raw":
        assert np.isnan(panel.networks[1].low.y).sum() == 30
        assert np.isnan(shared.networks[1].low.y).sum() == 0


def test_tens_of_thousands_of_steps_stay_light(make_bands):
    (panel,) = band_panels(make_bands(steps=30_000), seed=0, show="raw")
    assert panel.thinned
    curves = [c for n in panel.networks for c in (n.low, n.high, *n.runs)]
    assert max(len(c.x) for c in curves) <= MOST_POINTS
    assert panel.networks[0].high.y.max() == 3 + 29_999 / 64


def test_a_single_band_of_named_members():
    band = loss_band([np.arange(4.0), np.arange(4.0) + 2], over="step_size")
    panel = single_panel("probe", band, smooth=False)
    np.testing.assert_array_equal(panel.networks[0].high.y, np.arange(4.0) + 2)
    assert panel.networks[0].over == "step size"


def test_a_few_large_losses_do_not_flatten_the_rest(make_bands):
    """The linear axis ends at 1.5 x the 98th percentile; values stay, and a logarithmic axis shows them."""
    rng = np.random.default_rng(0)
    loss = np.full((2, 1, 2, 400), 1.0) + rng.random((2, 1, 2, 400))
    calm = VariantBands(
        ["vgg", "vgg_bn"], [0], [1e-3, 3e-3], np.arange(400), [1],
        loss, np.ones((2, 1, 2, 1)), np.ones((2, 1, 2, 1)), np.zeros((2, 1, 2)), np.zeros((2, 1, 2)),
    )  # fmt: skip
    assert axis_end(band_panels(calm, seed=0, show="raw"), "raw", "linear") is None
    loss = loss.copy()
    loss[0, 0, 1, 3] = 290.0
    spiked = dataclasses.replace(calm, loss=loss)
    panels = band_panels(spiked, seed=0, show="raw")
    end = axis_end(panels, "raw", "linear")
    drawn = np.concatenate([c.y for n in panels[0].networks for c in (n.low, n.high)])
    assert end == 1.5 * np.percentile(drawn, 98)
    assert 1.5 < end < 3.1
    assert drawn.max() == 290
    assert axis_end(panels, "raw", "log") is None
    assert axis_note(panels, "raw", "linear").endswith("the largest loss is 290")


def test_all_seeds_lie_over_one_another(make_bands):
    """A band for every network and seed, each that of its seed alone; one title, two colours."""
    bands = make_bands(seeds=3)
    (panel,) = band_panels(bands, seed=None, show="raw")
    (single,) = band_panels(bands, seed=2, show="raw")
    assert panel.title == single.title
    assert [n.variant for n in panel.networks] == [f"{v} (seed {s})" for v in ("vgg", "vgg_bn") for s in range(3)]
    assert [n.with_bn for n in panel.networks] == [False] * 3 + [True] * 3
    for network, alone in zip(panel.networks[2::3], single.networks, strict=True):
        np.testing.assert_array_equal(network.high.y, alone.high.y)
        np.testing.assert_array_equal(network.low.y, alone.low.y)
