"""The table of metrics: mean, spread and interval, with what they mean."""

from __future__ import annotations

import dataclasses

import numpy as np

from landscape.figures import surface_section, write_page
from landscape.figures.text_metrics import metrics_table, shared_budget
from landscape.records import Measurement


def rows_of(table):
    return {row[0]: row[1:] for row in table.rows}


def test_mean_spread_interval_and_every_pair(make_surface):
    """Largest loss 2.75, 3.75 and 4.75: mean 3.75, spread 1, interval 3.75 -+ 4.303 / sqrt(3)."""
    table = metrics_table([make_surface(3)], [""])
    assert table.header == ("metric", "mean", "spread", "95 % interval", "pair 1", "pair 2", "pair 3")
    rows = rows_of(table)
    each = ("2.75 ± 0.25", "3.75 ± 0.25", "4.75 ± 0.25")
    assert rows["largest loss [nats]"] == ("3.75", "1", "1.27 to 6.23", *each)
    assert rows["convex share"] == ("1", "0", "1 to 1", "1", "1", "1")
    assert rows["curvature along α [nats/α²]"][:2] == ("2", "0")
    assert rows["curvature along β [nats/β²]"][:2] == ("6", "0")
    assert all(len(row) == len(table.header) for row in table.rows)
    assert "not about other trainings" in table.note


def test_a_single_pair_has_values_only(make_surface):
    table = metrics_table([make_surface(1)], [""])
    assert table.header == ("metric", "value")
    assert rows_of(table)["lowest loss [nats]"] == ("1 ± 0.25",)
    assert "One pair has no spread and no interval." in table.note


def test_several_surfaces_stand_side_by_side_under_one_budget(make_surface):
    """Centers 1 and 2: both shares are below 5 * 2 + 1."""
    one, single = make_surface(2), make_surface(1, center=Measurement(2.0, 0.25, 0.5, 8))
    assert shared_budget([one, single]) == 11
    table = metrics_table([one, single], ["a", "b"])
    assert table.header == ("metric", "a", "95 % interval", "b")
    assert rows_of(table)["largest loss [nats]"] == ("3.25 ± 0.71", "−3.1 to 9.6", "2.75 ± 0.25")
    assert rows_of(table)["share below 11"] == ("1 ± 0", "1 to 1", "1")
    assert dict(table.definitions)["the budget"] == "11 is five times the largest of the centers' losses plus one."
    assert all(len(row) == 4 for row in table.rows)


def test_every_row_is_defined(make_surface):
    table = metrics_table([make_surface(2)], [""])
    names = {row[0].split(" [")[0] for row in table.rows}
    assert names <= {name for name, _ in table.definitions}


def test_cells_left_out_are_counted(make_surface):
    one = make_surface(2)
    loss = one.loss.copy()
    loss[0, 0, 0] = np.nan
    note = metrics_table([dataclasses.replace(one, loss=loss)], [""]).note
    assert "Cells left out for want of a finite or measured loss: 1 of rise to the border, median loss" in note


def test_an_unfinished_or_empty_surface_has_a_table(make_surface):
    one = make_surface(2)
    nothing = dataclasses.replace(one, done=np.zeros_like(one.done))
    assert set(rows_of(metrics_table([nothing], [""]))["median loss [nats]"]) == {"–"}


def test_definitions_are_folded_below_their_table(make_surface, tmp_path):
    section = surface_section(make_surface())
    text = write_page(tmp_path / "a.html", section, title="t").read_text(encoding="utf-8")
    assert text.count('<details class="meaning">') == 1
    assert text.index("Metrics over the pairs") < text.index("What the rows mean") < text.index("How this was made")
    assert "<dt>convex share</dt><dd>" in text


def test_a_number_that_interpolated_cells_decide_is_marked(make_surface):
    surface = make_surface()
    assert "Estimated from" not in metrics_table([surface], [""]).note
    sparse = dataclasses.replace(surface, measured=np.indices(surface.loss.shape).sum(axis=0) % 2 == 0)
    assert "Estimated from interpolated cells: convex share." in metrics_table([sparse], [""]).note
