"""Numbers that both renderers draw: closed forms on 5 x 7 cells, so that swapped axes cannot pass."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.figures.data import fact_text, number, percent, ratio_text, round_values, scaled, with_error
from landscape.figures.data_contour import iso_lines, label_places, levels, loss_range, ticks
from landscape.figures.data_surface import cell_text, surface_labels, surface_panels
from landscape.records import Grid, Measurement


def test_rows_are_beta_and_columns_are_alpha(make_surface):
    """loss = 1 + pair + alpha^2 + 3 beta^2, exactly."""
    first, second = surface_panels([make_surface()])
    assert first.loss.shape == (7, 5)
    expected = 1 + first.alpha[None, :] ** 2 + 3 * first.beta[:, None] ** 2
    np.testing.assert_array_equal(first.loss, expected)
    np.testing.assert_allclose(second.loss, expected + 1, rtol=1e-15)
    assert (first.name, second.name) == ("pair 1", "pair 2")
    assert (first.gaps, first.interpolated.sum()) == (0, 0)
    assert (first.lowest.alpha, first.lowest.beta, first.lowest.loss) == (0.0, 0.0, 1.0)
    assert (first.largest.alpha, first.largest.beta, first.largest.loss) == (-1.0, -0.5, 2.75)


def test_gaps_are_what_is_not_done_or_not_finite_and_nothing_else(make_surface):
    surface = make_surface(1)
    loss, done = surface.loss.copy(), surface.done.copy()
    loss[0, 4, 0], loss[0, 3, 6], loss[0, 1, 2] = np.nan, np.inf, -np.inf
    done[0, 0, 6] = False  # it has a number, but not yet its value
    (panel,) = surface_panels([dataclasses.replace(surface, loss=loss, done=done)])
    assert (panel.not_finite, panel.not_done, panel.gaps) == (3, 1, 4)
    gaps = {(int(i), int(j)) for j, i in np.argwhere(np.isnan(panel.loss))}
    assert gaps == {(4, 0), (3, 6), (1, 2), (0, 6)}
    kept = ~np.isnan(panel.loss)
    np.testing.assert_array_equal(panel.loss[kept], surface.loss[0].T[kept])
    assert np.isnan(panel.accuracy[0, 4])
    assert panel.title("log") == "pair 1 · 4 gaps"


def test_interpolated_cells_are_marked_and_are_neither_lowest_nor_largest(make_surface):
    surface = make_surface(1)
    loss, measured = surface.loss.copy(), surface.measured.copy()
    loss[0, 2, 3], loss[0, 1, 1] = 0.0, 99.0
    measured[0, [2, 1], [3, 1]] = False
    sems = {name: np.where(measured, getattr(surface, name), np.nan) for name in ("loss_sem", "delta_sem")}
    (panel,) = surface_panels([dataclasses.replace(surface, loss=loss, measured=measured, **sems)])
    assert np.argwhere(panel.interpolated).tolist() == [[1, 1], [3, 2]]
    assert (panel.lowest.loss, panel.largest.loss) == (1 + 3 * (1 / 6) ** 2, 2.75)
    text = cell_text(panel)
    assert text[1][1] == "99<br>+98 from the center<br>accuracy 0.75<br>interpolated"
    assert text[0][0] == "2.75 ± 0.25<br>+1.75 ± 0.12 from the center<br>accuracy 0.75<br>measured"
    assert text[3][2] == "0<br>−1 from the center<br>accuracy 0.75<br>interpolated"
    assert panel.measured == 33


def test_a_logarithmic_axis_has_no_place_for_zero_and_says_so(make_surface):
    surface = make_surface(1)
    loss = surface.loss.copy()
    loss[0, 0, 0], loss[0, 0, 1] = 0.0, -2.0
    (panel,) = surface_panels([dataclasses.replace(surface, loss=loss)])
    assert np.isnan(scaled(panel.loss, "log")).sum() == 2
    assert np.isnan(scaled(panel.loss, "linear")).sum() == 0
    assert panel.title("log") == "pair 1 · 2 not above 0, left out"
    assert panel.title("linear") == "pair 1"
    assert loss_range([panel], "linear") == (-2.0, 2.75)
    assert loss_range([panel], "log") == (1.0, 2.75)
    np.testing.assert_array_equal(scaled(np.array([100.0, np.inf, np.nan]), "log"), [2.0, np.nan, np.nan])


def test_one_range_serves_all_panels_and_the_center_outside_the_grid_counts(make_surface):
    even = make_surface(1, n_alpha=4, n_beta=6, center=Measurement(0.5, 0.1, 1.0, 8))
    assert even.grid.center is None
    assert loss_range(surface_panels([even, make_surface(3)]), "log") == (0.5, 4.75)


@pytest.mark.parametrize("value", [1.5, -1.5, 0.0, np.nan])
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_a_flat_or_empty_surface_has_a_range_with_room(make_surface, value, scale):
    flat = make_surface(1, loss=np.full((1, 5, 7), value), center=Measurement(value, 0.0, 0.0, 1))
    low, high = loss_range(surface_panels([flat]), scale)
    assert math.isfinite(low)
    assert low < high
    if math.isfinite(value) and (value > 0 or scale == "linear"):
        assert low < value < high


def test_iso_lines_follow_the_closed_form(make_surface):
    """Along a grid line the interpolated place of a level is exact where the loss is linear."""
    grid = Grid(np.linspace(0, 4, 5), np.linspace(0, 2, 3))
    plane = np.broadcast_to(1 + grid.alpha[:, None] + 0 * grid.beta[None, :], (5, 3))[None]
    (panel,) = surface_panels([make_surface(1, grid=grid, **dict.fromkeys(("loss",), plane), **_filled(plane))])
    (line,) = iso_lines(panel, [2.5], "linear")
    np.testing.assert_allclose(line.lines[0][:, 0], 1.5, rtol=1e-12)  # alpha, not beta
    assert {0.0, 2.0} <= set(line.lines[0][:, 1].tolist())
    (line,) = iso_lines(panel, [2.0], "log")
    np.testing.assert_allclose(line.lines[0][:, 0], 1.0, rtol=1e-12)
    assert iso_lines(panel, [9.0], "linear") == ()
    assert [place[2] for place in label_places(panel, iso_lines(panel, [2.5, 3.5], "linear"))] == [2.5, 3.5]


def _filled(like):
    names = ("loss_sem", "delta_sem", "accuracy")
    return {name: np.ones_like(like) for name in names} | {n: np.ones(like.shape, bool) for n in ("done", "measured")}


def test_iso_lines_do_not_cross_a_gap(make_surface):
    surface = make_surface(1, n_alpha=9, n_beta=7)
    loss = surface.loss.copy()
    loss[0, 4] = np.nan  # alpha = 0 is missing: its neighbours at -0.25 and 0.25 stay apart
    (panel,) = surface_panels([dataclasses.replace(surface, loss=loss)])
    (line,) = iso_lines(panel, [1.5], "linear")
    places = np.concatenate(line.lines)[:, 0]
    assert np.abs(places).min() >= 0.25
    assert places.min() < 0 < places.max()


@pytest.mark.parametrize(
    ("low", "high", "scale", "expected"),
    [
        (0.07, 90.0, "log", [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]),
        (0.4, 9.0, "log", [0.5, 1.0, 2.0, 5.0]),
        (1e-3, 1e9, "log", [1e-3, 1e-1, 1e1, 1e3, 1e5, 1e7, 1e9]),
        (1.0, 2.0, "log", [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]),
        (0.0, 10.0, "linear", [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
        (-1.0, 1.0, "linear", [-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75]),
        (3.0, 3.0, "linear", [3.0]),
        (math.nan, 3.0, "linear", []),
    ],
)
def test_round_values(low, high, scale, expected):
    np.testing.assert_allclose(round_values(low, high, scale), expected, rtol=1e-12)


def test_ticks_stand_at_the_logarithm_and_read_as_losses():
    at, text = ticks((0.07, 90.0), "log")
    np.testing.assert_allclose(at, np.log10([0.1, 0.3, 1, 3, 10, 30]), rtol=1e-12)
    assert text == ["0.1", "0.3", "1", "3", "10", "30"]
    assert levels((1.0, 10.0), "log") == [2.0, 5.0]  # the ends are no lines


def test_surfaces_are_named_by_what_tells_them_apart(make_surface):
    one = make_surface()
    other = dataclasses.replace(one, recipe={**one.recipe, "model": "vgg"})
    modes = [dataclasses.replace(one, recipe={**one.recipe, "bn": mode}) for mode in ("frozen", "batch")]
    assert surface_labels([one]) == ("",)
    assert surface_labels([one, other]) == ("vgg_bn", "vgg")
    assert surface_labels(modes) == ("frozen BN", "batch BN")
    assert surface_labels([*modes, other]) == ("vgg_bn · frozen BN", "vgg_bn · batch BN", "vgg · frozen BN")
    assert surface_labels([one, one]) == ("surface 1", "surface 2")
    assert [p.name for p in surface_panels([one, other])][1:3] == ["vgg_bn · pair 2", "vgg · pair 1"]


def test_no_surface_and_wrong_labels_are_refused(make_surface):
    with pytest.raises(UsageError, match="got none"):
        surface_panels([])
    with pytest.raises(UsageError, match="1 surfaces need as many labels; got 2: a, b"):
        surface_panels([make_surface()], ["a", "b"])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (-2.0, "−2"), (1e-7, "1e−7"), (123456.0, "1.235e5"), (math.nan, "–"), (-math.inf, "−∞")],
)
def test_numbers_have_four_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.0433567, 0.0142958, "0.043 ± 0.014"),
        (92.288, 5.873, "92.3 ± 5.9"),
        (135.5356, 31.2, "136 ± 31"),
        (0.000564, 0.0096, "0.0006 ± 0.0096"),
        (1.0, 0.25, "1 ± 0.25"),
        (123456.0, 0.25, "1.235e5 ± 0.25"),
        (1.5, 0.0, "1.5 ± 0"),
        (-2.0, math.nan, "−2"),
        (math.inf, 1.0, "∞ ± 1"),
        (math.nan, math.nan, "–"),
    ],
)
def test_a_number_has_the_decimals_of_its_error(value, error, text):
    assert with_error(value, error) == text


def test_ratios_and_settings_as_text():
    assert [percent(v) for v in (1.0, 0.99999, 0.1234567, 0.0)] == ["100 %", "over 99.9 %", "12.3 %", "0 %"]
    assert ratio_text(1.0) == "1.00"
    assert ratio_text(2.345, 0.5, 3) == "2.35 ± 0.5 (3 seeds)"
    assert ratio_text(123.4) == "123"
    assert ratio_text(math.inf) == "∞"
    assert fact_text([True, 1.5, None, "x"]) == "yes, 1.5, not recorded, x"
    assert fact_text(list(range(41))).endswith("… (41 values)")
