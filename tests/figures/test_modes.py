"""BN modes of one network: side by side, on one scale of colours, and how far they disagree in numbers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from landscape.figures import surface_section, surface_summary, write_surface_png
from landscape.figures.arrangement import arranged
from landscape.figures.data_modes import disagreements
from landscape.figures.data_surface import surface_panels
from landscape.records import Grid, Measurement

ARRAYS = ("loss", "loss_sem", "delta_sem", "accuracy", "done", "measured")


@pytest.fixture
def mode(make_surface):
    """Make a surface in a BN mode whose losses are those of the bowl times a factor."""

    def make(bn, factor=1.0, pairs=2, **changes):
        one = make_surface(pairs)
        center = Measurement(factor, 0.25, 0.75, 128)
        recipe = {**one.recipe, "bn": bn, **changes.pop("recipe", {})}
        return dataclasses.replace(one, loss=one.loss * factor, center=center, recipe=recipe, **changes)

    return make


def test_a_constant_factor_is_found(mode):
    (found,) = disagreements([mode("frozen", 3.0), mode("recalibrated")])
    assert (found.first, found.second, found.reason) == (0, 1, "")
    assert (found.pairs, found.cells, found.left_out) == (2, 70, 0)
    np.testing.assert_allclose((found.median, found.most, found.largest), 3, rtol=1e-12)
    assert (found.first_larger, found.center) == (1.0, 2.0)
    (other,) = disagreements([mode("recalibrated"), mode("frozen", 3.0)])
    np.testing.assert_allclose((other.median, other.most, other.largest), 3, rtol=1e-12)
    assert (other.first_larger, other.center) == (0.0, -2.0)


def test_percentiles_are_of_the_factor_over_cells_that_both_have(mode):
    """Of 70 cells one is infinite in one mode, one is zero, one differs by e^4 and 34 by e."""
    one, other = mode("frozen"), mode("batch")
    loss = other.loss.copy()
    loss.ravel()[:34] *= math.e
    loss[1, 4, 6] *= math.exp(4)
    loss[1, 0, 0], loss[1, 0, 1] = np.inf, 0.0
    (found,) = disagreements([one, dataclasses.replace(other, loss=loss)])
    assert (found.cells, found.left_out, found.one_sided) == (68, 2, 1)
    sizes = np.sort([1.0] * 34 + [4.0] + [0.0] * 33)
    np.testing.assert_allclose(np.log([found.median, found.most, found.largest]), [1, np.percentile(sizes, 95), 4])
    assert found.place == (1, 1.0, 0.5)
    text = surface_summary([one, dataclasses.replace(other, loss=loss)]).splitlines()[-1]
    assert "In 1 more cell only one of the two is finite." in text


def test_the_sentence_and_the_table_say_it(mode):
    pair = [mode("frozen", 3.0), mode("recalibrated")]
    assert surface_summary(pair).splitlines() == [
        "frozen BN: loss 3 ± 0.25 at the center, accuracy 0.75; largest loss of each of its 2 planes 8.25 to 11.25.",
        "recalibrated BN: loss 1 ± 0.25 at the center, accuracy 0.75; largest loss of each of its 2 planes 2.75 to "
        "3.75.",
        "frozen BN and recalibrated BN differ on the same 2 planes by a factor of 3 in the median of 70 cells, 3 at "
        "the 95th percentile, 3 at most; frozen BN is larger in 100 %; 2 apart at the center.",
    ]
    table = surface_section(pair).tables[0]
    assert table.caption == "How far the BN modes disagree"
    (row,) = table.rows
    assert row[:5] == ("frozen BN / recalibrated BN", "70", "3", "3", "3")
    assert row[6:] == ("100 %", "2")


def test_every_two_modes_are_compared(mode):
    section = surface_section([mode("frozen", 3.0), mode("batch"), mode("recalibrated", 1 + 1e-7)])
    assert [row[0] for row in section.tables[0].rows] == [
        "frozen BN / batch BN",
        "frozen BN / recalibrated BN",
        "batch BN / recalibrated BN",
    ]
    assert section.tables[0].rows[2][4] == "1 + 1e−7"
    assert section.finding.splitlines()[-1] == (
        "Factor between their losses on the same 2 planes (median of 70 cells, 95th percentile, largest): "
        "frozen BN / batch BN 3, 3, 3; frozen BN / recalibrated BN 3, 3, 3; "
        "batch BN / recalibrated BN 1 + 1e−7, 1 + 1e−7, 1 + 1e−7. At the center they are 2, 2 and 1e−7 apart."
    )
    two = surface_summary([mode("batch"), mode("recalibrated", 1 + 1e-7)])
    agree = "batch BN and recalibrated BN agree on the same 2 planes up to 1e−7 of the loss, in 70 cells."
    assert two.splitlines()[-1] == agree


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ({"directions": ["zz", "cd34"]}, "the planes differ"),
        ({"examples": 64}, "examples differs"),
        ({"loss": "mse"}, "loss differs"),
    ],
)
def test_what_cannot_be_compared_is_said(mode, recipe, reason):
    pair = [mode("frozen"), mode("batch", recipe=recipe)]
    (found,) = disagreements(pair)
    assert found.reason == reason
    assert surface_summary(pair).splitlines()[-1].endswith(f"are not compared cell by cell: {reason}.")
    assert [table.caption for table in surface_section(pair).tables] == ["Loss on each plane", "Metrics over the pairs"]


def test_other_grids_are_not_compared(mode):
    one = mode("frozen")
    other = dataclasses.replace(mode("batch"), grid=Grid(one.grid.alpha * 2, one.grid.beta))
    assert disagreements([one, other])[0].reason == "the grids differ"


def test_other_networks_are_not_taken_for_modes(mode):
    one = mode("frozen")
    for recipe in ({"model": "vgg"}, {"model_hash": "0123"}):
        assert disagreements([one, mode("batch", recipe=recipe)]) == ()
    assert disagreements([one, mode("frozen", recipe={"seed": 8})]) == ()
    plain = {"has_batchnorm": False}
    assert disagreements([mode("frozen", recipe=plain), mode("batch", recipe=plain)]) == ()


def test_pairs_that_only_one_mode_has_are_drawn_and_not_compared(mode):
    many = {"directions": ["ab12", "cd34", "ef56"]}
    pair = [mode("frozen", 3.0, pairs=3, recipe=many), mode("recalibrated")]
    (found,) = disagreements(pair)
    assert (found.pairs, found.cells) == (2, 70)
    places = arranged(surface_panels(pair))
    assert [panel.name for panel in places.panels] == [
        f"{name} BN · pair {k}"
        for k in (1, 2, 3)
        for name in ("frozen", "recalibrated")
        if (name, k) != ("recalibrated", 3)
    ]
    assert (places.columns, places.rows, places.slots) == (2, 3, (0, 1, 2, 3, 4))


def test_nothing_to_compare_is_survived(mode):
    one = mode("frozen")
    nothing = dataclasses.replace(mode("batch"), loss=np.full(one.loss.shape, np.nan))
    assert (
        surface_summary([one, nothing])
        .splitlines()[-1]
        .startswith("frozen BN and batch BN, on the same 2 planes: no cell has a loss above zero in both.")
    )
    assert surface_section([one, nothing]).tables[0].rows[0][1:6] == ("0", "–", "–", "–", "–")


@pytest.mark.parametrize(
    ("modes", "pairs", "columns", "rows"),
    [(1, 4, 2, 2), (2, 1, 2, 1), (2, 2, 2, 2), (2, 4, 2, 4), (3, 1, 3, 1), (3, 2, 3, 2), (4, 1, 2, 2), (4, 3, 4, 3)],
)
def test_modes_stand_side_by_side_and_pairs_below_each_other(mode, modes, pairs, columns, rows):
    names = ["frozen", "batch", "recalibrated", "other"][:modes]
    places = arranged(surface_panels([mode(name, pairs=pairs, recipe={"directions": []}) for name in names]))
    assert (places.columns, places.rows) == (columns, rows)
    assert [(panel.pair, panel.surface) for panel in places.panels] == [
        (pair, index) for pair in range(pairs) for index in range(modes)
    ]


def test_modes_share_colours_heights_and_places_in_every_view(mode):
    section = surface_section([mode("frozen", 3.0), mode("recalibrated")])
    for choice in ("all", "1", "2"):
        layout = section.views["linear", "surface", choice].layout
        assert (layout["coloraxis"]["cmin"], layout["coloraxis"]["cmax"]) == (1.0, 11.25)  # of all pairs
    view = section.views["linear", "surface", "all"]
    places = [view.layout[name]["domain"] for name in ("scene", "scene2", "scene3", "scene4")]
    assert places[0]["y"] == places[1]["y"] != places[2]["y"]
    assert places[0]["x"] == places[2]["x"] != places[1]["x"]
    first, second = (t["z"][0][0] for t in view.data if t["type"] == "surface" and t["scene"] in {"scene", "scene2"})
    assert first == 3 * second
    titles = [a["text"] for a in view.layout["annotations"]]
    assert titles == [f"{name} BN · pair {k}" for k in (1, 2) for name in ("frozen", "recalibrated")]


def test_holes_in_the_arrangement_are_drawn_by_both_renderers(mode, tmp_path):
    fewer = mode("frozen", pairs=2)
    first = dataclasses.replace(fewer, **{name: getattr(fewer, name)[:1] for name in ARRAYS})
    pair = [first, mode("recalibrated", pairs=2)]
    assert arranged(surface_panels(pair)).slots == (0, 1, 3)
    view = surface_section(pair).views["log", "contour", "all"]
    domains = [view.layout[name]["domain"] for name in ("xaxis", "xaxis2", "xaxis3")]
    assert domains[1] == domains[2] != domains[0]
    assert "title" in view.layout["xaxis"]  # nothing stands below it
    assert write_surface_png(tmp_path / "a.png", pair).stat().st_size > 10_000
