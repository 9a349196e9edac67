"""What was measured, what was interpolated, and what a value depends on: marked and said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from landscape.figures import surface, surface_assumed, surface_section, surface_summary, write_surface_png


@pytest.fixture
def adaptive(make_surface):
    """Every other cell measured on the first plane, every third on the second."""

    def make(**changes):
        one = make_surface(2)
        measured = one.measured.copy()
        measured[0].ravel()[1::2] = False
        measured[1].ravel()[np.arange(35) % 3 > 0] = False
        blank = {name: np.where(measured, getattr(one, name), np.nan) for name in ("loss_sem", "delta_sem")}
        return dataclasses.replace(one, measured=measured, **blank, **({"error_estimate": 0.02134} | changes))

    return make


def test_the_finding_counts_measured_cells_and_gives_the_error(adaptive):
    text = surface_summary(adaptive())
    assert text.endswith(
        "12 to 18 of 35 cells measured per plane, the others interpolated; 95 % of them within 2.1 % (estimated from "
        "held-out cells)."
    )
    several = surface_summary([adaptive(), adaptive(error_estimate=0.05)]).splitlines()
    assert several[-1].startswith("12 to 18 of 35 cells measured per plane")
    assert "within 5 %" in several[-1]
    assert len(several) == 3


def test_grids_of_different_sizes_have_a_sentence_each(adaptive, make_surface):
    lines = surface_summary([adaptive(), make_surface(1, 4, 4)]).splitlines()
    assert len(lines) == 2
    assert "12 to 18 of 35 cells measured per plane" in lines[0]
    assert "interpolated" not in lines[1]


@pytest.mark.parametrize("error", [0.0, np.nan])
def test_an_error_that_is_not_known_is_not_claimed(adaptive, error):
    text = surface_summary(adaptive(error_estimate=error))
    assert text.endswith("the others interpolated; how far they are off was not estimated.")


def test_a_dense_surface_says_nothing_of_it(make_surface):
    assert "interpolated" not in surface_summary(make_surface(error_estimate=0.0))


def test_the_picture_and_the_figure_say_it_too(adaptive, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("landscape.figures.draw_matplotlib.write_title", lambda figure, *texts: said.extend(texts))
    write_surface_png(tmp_path / "a.png", adaptive())
    words = "12 to 18 of 35 cells measured per plane, the others interpolated · 95 % of them within 2.1 %"
    assert words in said[1]
    assert said[1].endswith("dots are measured cells")
    assert words in surface(adaptive()).layout.title.text


def test_the_table_counts_measured_cells_and_metrics_leave_the_others_out(adaptive):
    cells, numbers = surface_section(adaptive()).tables
    assert [row[-1] for row in cells.rows] == ["18", "12"]
    assert "40 of lowest loss, largest loss and depth below the center" in numbers.note


def test_notes_of_the_sampling_stand_above_the_figure_and_not_among_the_checks(adaptive):
    notes = ["pair 1: too rough, measured densely"]
    checks = {"sampling_notes": notes, "cosine": 1e-9, "precision_error": {"cells": 9, "largest": 0.0012, "rms": 4e-4}}
    record = adaptive(checks=checks)
    record = dataclasses.replace(record, recipe={**record.recipe, "precision": "bf16"})
    section = surface_section(record)
    assert "Sampling, pair 1: too rough, measured densely" in section.notes
    assert (
        "Losses in bf16 differ from those in fp32 by at most 0.12 %, 0.04 % in the root mean square, over 9 cells."
        in section.notes
    )
    (group,) = [group for group in section.facts if group.title == "Geometry checks"]
    assert dict(group.items) == {"cosine": "1e−9"}


def test_a_large_error_of_the_precision_is_a_warning(make_surface):
    one = make_surface(checks={"precision_error": {"cells": 9, "largest": 0.0051, "rms": 0.001}})
    other = dataclasses.replace(one, recipe={**one.recipe, "bn": "batch"}, checks={})
    (text,) = [text for text in surface_assumed([one, other]) if "fp32 by" in text]
    assert text.startswith("Warning: frozen BN: losses in fp32 differ")
    assert "0.51 %" in text
    assert text.endswith("Measure in fp32 what depends on such differences.")
    lost = make_surface(checks={"precision_error": {"cells": 8, "largest": 0.001, "rms": 0.001, "not_finite": 1}})
    assert "over 8 cells; 1 more cell finite in one of the two only." in surface_assumed([lost])[0]


def test_notes_of_several_surfaces_are_named_where_they_differ(make_surface):
    one = make_surface(checks={"sampling_notes": ["pair 1: a", "pair 2: b"]}, provenance={"range_notes": ["c"]})
    two = dataclasses.replace(one, recipe={**one.recipe, "bn": "batch"}, checks={"sampling_notes": ["pair 2: b"]})
    notes = [text for text in surface_assumed([one, two]) if text.startswith(("Sampling", "Range"))]
    assert notes == ["Range: c", "Sampling of frozen BN, pair 1: a", "Sampling, pair 2: b"]


def test_batch_statistics_say_the_batch(make_surface):
    def note(**recipe):
        one = make_surface(1)
        found = surface_assumed([dataclasses.replace(one, recipe={**one.recipe, "bn": "batch", **recipe})])
        return [text for text in found if "batch size" in text]

    assert "here a batch holds 64 examples." in note(batch_size=64)[0]
    assert "one batch holds all 128 examples" in note(batch_size=128)[0]
    assert "not recorded" in note()[0]
    assert note(has_batchnorm=False) == []
