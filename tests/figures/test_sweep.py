"""A sweep drawn and told: order, spread and differences are numpy's, both renderers show the same numbers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from landscape import figures
from landscape.figures.data_sweep import Spread, parallel_axes, shown_rows, sweep_rows
from landscape.figures.draw_matplotlib_sweep import bars_image
from landscape.figures.draw_plotly_sweep import draw_bars, draw_parallel
from landscape.figures.text_sweep import settings_table, short_names, sweep_finding
from landscape.records import Sweep

NAN = np.nan
ACCURACY = np.array([[0.4, 0.5, 0.6], [0.7, 0.5, NAN], [NAN, NAN, NAN], [0.45, 0.5, 0.61]])
SETTINGS = {
    "a": {"batch_size": 64, "optimizer": "adam", "data.limit": None},
    "b": {"batch_size": 128, "optimizer": "adam", "data.limit": None},
    "c": {"batch_size": 64, "optimizer": "sgd", "data.limit": None},
    "d": {"batch_size": 8, "optimizer": "sgd", "data.limit": None},
}


@pytest.fixture
def record():
    """Four settings, three seeds; one run failed, a whole setting is not done, one run diverged."""
    shape, failed, done = ACCURACY.shape, np.zeros(ACCURACY.shape, bool), np.isfinite(ACCURACY)
    failed[1, 2] = True
    diverged = np.zeros(shape, bool)
    diverged[3, 0] = True
    return Sweep(
        np.array(list(SETTINGS)),
        np.arange(3),
        ACCURACY,
        ACCURACY - 0.1,
        1 - ACCURACY,
        2 - ACCURACY,
        ACCURACY,
        np.where(done, 5, 0),
        np.zeros(shape, bool),
        diverged,
        failed,
        done,
        settings=SETTINGS,
        reasons={"b seed 2": "out of memory"},
        recipe={"model": "net", "baseline": "a", "keys": ["batch_size", "optimizer", "data.limit"], "loss": "mse"},
    )


def test_settings_come_by_mean_accuracy_with_numpys_spread(record):
    rows = sweep_rows(record)
    assert [(row.rank, row.name) for row in rows] == [(1, "b"), (2, "d"), (3, "a"), (4, "c")]
    for row in rows[:3]:
        values = ACCURACY[list(SETTINGS).index(row.name)]
        values = values[~np.isnan(values)]
        assert row.accuracy.mean == pytest.approx(np.mean(values), rel=1e-15)
        assert row.accuracy.sd == pytest.approx(np.std(values, ddof=1), rel=1e-15)
        assert (row.accuracy.count, row.accuracy.values) == (len(values), tuple(values))
        assert row.val_loss.mean == pytest.approx(1 - np.mean(values))
        assert row.train_loss.mean == pytest.approx(2 - np.mean(values))
        assert row.epochs.mean == 5
    assert rows[3].accuracy.count == 0 and math.isnan(rows[3].accuracy.mean)


def test_differences_to_the_baseline_are_taken_seed_by_seed(record):
    rows = {row.name: row for row in sweep_rows(record)}
    np.testing.assert_allclose(rows["d"].difference.values, [0.05, 0.0, 0.01], atol=1e-15)
    assert rows["d"].difference.sd == pytest.approx(np.std([0.05, 0.0, 0.01], ddof=1))
    np.testing.assert_allclose(rows["b"].difference.values, [0.3, 0.0], atol=1e-15)
    assert rows["a"].baseline and rows["a"].difference.mean == 0
    alone = sweep_rows(dataclasses.replace(record, recipe={}))
    assert all(row.difference.count == 0 and not row.baseline for row in alone)


def test_what_did_not_end_well_is_remarked(record):
    rows = {row.name: row.remarks for row in sweep_rows(record)}
    assert rows == {"a": (), "b": ("1 failed",), "c": ("3 not done",), "d": ("1 diverged",)}
    said = figures.sweep_summary(record)
    assert "1 run failed; the same call tries again. b seed 2: out of memory" in said
    assert "3 runs not done yet." in said and "1 run diverged." in said


def test_the_spread_of_one_and_of_none():
    assert Spread.of(np.array([0.5])).mean == 0.5 and math.isnan(Spread.of(np.array([0.5])).sd)
    assert Spread.of(np.array([NAN])).count == 0


def test_the_table_says_means_and_spread_in_percent(record):
    table = figures.sweep_table(record)
    cells = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [row["setting"] for row in cells] == ["b", "d", "a (baseline)", "c"]
    assert cells[0]["validation accuracy"] == "60.0 ± 14.1 %" and cells[0]["n"] == "2"
    assert cells[1]["to baseline [points]"] == "+2.0 ± 2.6"
    assert cells[3]["validation accuracy"] == "–" and cells[3]["rank"] == "–"


def test_the_best_few_and_the_baseline_are_ranked(record):
    assert [row[0] for row in figures.ranking(record, top=1).rows] == ["b", "a (baseline)"]
    assert figures.ranking(record, top=1).caption.endswith("2 of 4")
    assert len(figures.ranking(record).rows) == 4


def test_the_finding_names_best_next_and_baseline(record):
    said = sweep_finding(record)
    assert said.startswith("Best of 3 settings by validation accuracy: b, 60.0 ± 14.1 %; next d, 52.0 ± 8.2 %;")
    assert "+15.0 ± 21.2 points to the baseline a, 50.0 ± 10.0 %" in said


def test_the_number_of_images_stands_beside_the_accuracies_where_all_runs_share_it(record):
    one = dataclasses.replace(record, recipe={**record.recipe, "validation_examples": 1})
    ten = dataclasses.replace(record, recipe={**record.recipe, "validation_examples": 10})
    assert "by validation accuracy on 1 held-out image: b" in sweep_finding(one)
    for text in (sweep_finding(ten), figures.ranking(ten).caption, figures.sweep_table(ten).note):
        assert "ccuracy on 10 held-out images" in text
    assert "held-out" not in figures.sweep_table(record).note


def test_bars_are_the_rows_numbers_in_both_renderers(record):
    rows = shown_rows(sweep_rows(record))
    assert [row.name for row in rows] == ["b", "d", "a"], "what has no finished run has no bar"
    drawing = draw_bars(rows)
    bars, dots = drawing.data
    np.testing.assert_allclose(bars["x"], [0.6, 0.52, 0.5])
    np.testing.assert_allclose(bars["error_x"]["array"], [row.accuracy.sd for row in rows])
    assert drawing.layout["yaxis"]["ticktext"] == ["b", "d", "a"]
    assert drawing.layout["shapes"][0]["x0"] == drawing.layout["shapes"][0]["x1"] == pytest.approx(0.5)
    assert sorted(zip(dots["y"], dots["x"], strict=True)) == sorted(
        (place, value) for place, row in enumerate(rows) for value in row.accuracy.values
    )
    ax = bars_image(rows, title="t").axes[0]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], bars["x"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "d", "a (baseline)"]
    line = next(line for line in ax.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(line.get_xdata(), [0.5, 0.5])


def test_only_the_best_are_drawn_and_the_baseline_always(record):
    rows = sweep_rows(record)
    assert [row.name for row in shown_rows(rows, most=1)] == ["b", "a"]


def test_parallel_axes_hold_what_differs_and_the_accuracy(record):
    axes = parallel_axes(sweep_rows(record), short_names(record))
    assert [axis.name for axis in axes] == ["batch_size", "optimizer", "validation accuracy"]
    batch, optimizer, accuracy = axes
    assert batch.labels == ("8", "64", "128"), "numbers increase"
    assert batch.places == (2.0, 0.0, 1.0)
    assert optimizer.labels == ("adam", "sgd") and optimizer.places == (0.0, 1.0, 0.0)
    np.testing.assert_allclose(accuracy.places, [0.6, 0.52, 0.5])
    dimensions = draw_parallel(axes).data[0]["dimensions"]
    assert [d["values"] for d in dimensions[:2]] == [[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    assert dimensions[0]["ticktext"] == ["8", "64", "128"]


def test_there_are_no_parallel_axes_for_one_setting(record):
    one = dataclasses.replace(record, recipe={"keys": []}, settings={name: {} for name in SETTINGS})
    assert parallel_axes(sweep_rows(one), {}) == ()
    assert settings_table(one) is None
    assert figures.sweep_section(one).controls == ()


def test_a_page_and_a_picture_are_written(record, tmp_path):
    section = figures.sweep_section(record)
    assert list(section.views) == [("bars",), ("axes",)]
    page = figures.write_page(tmp_path / "s.html", section, title=section.title).read_text(encoding="utf-8")
    assert "parcoords" in page and "60.0 ± 14.1 %" in page and "out of memory" in page
    assert figures.write_sweep_png(tmp_path / "s.png", record).read_bytes()[:4] == b"\x89PNG"
    assert len(figures.sweep(record).data) == 2
