"""Sentences and tables hold the numbers of the record, and claim no more."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from landscape.figures import band_section, band_summary, surface_assumed, surface_section, surface_summary
from landscape.figures.data_surface import surface_labels
from landscape.figures.text_surface import VERDICT
from landscape.records import Measurement


def test_title_and_conditions_say_mode_data_precision_and_seed(make_surface):
    section = surface_section(make_surface())
    assert section.title == "Loss around vgg_bn · frozen BN statistics · 128 CIFAR-10 training images"
    assert section.conditions == (
        "BN mode frozen",
        "data 128 CIFAR-10 training images",
        "precision fp32",
        "seed 7",
        "2 planes of 5 × 7 cells",
    )


def test_conditions_of_compared_surfaces_stand_side_by_side(make_surface):
    one = make_surface()
    other = dataclasses.replace(one, recipe={**one.recipe, "model": "vgg", "has_batchnorm": False, "bn": "frozen"})
    batch = dataclasses.replace(one, recipe={**one.recipe, "bn": "batch", "batch_size": 64})
    assert surface_section([one, other]).conditions[0] == "BN mode frozen / frozen (no BatchNorm layer)"
    assert surface_section([one, batch]).conditions[0] == "BN mode frozen / batch (of 64)"
    assert surface_section([other]).title == "Loss around vgg · 128 CIFAR-10 training images"


def test_a_surface_with_an_empty_recipe_says_what_is_not_recorded(make_surface):
    bare = make_surface(1, recipe={}, checks={}, environment={}, execution={}, provenance={})
    section = surface_section(bare)
    assert section.title == "Loss around the network · 128 examples"
    assert section.conditions[0] == "BN mode not recorded"
    assert [group.title for group in section.facts] == ["Planes"]


def test_the_finding_is_the_record_in_numbers(make_surface):
    """Center 1 +- 0.25; largest 2.75 and 3.75; lowest 1 at the center of pair 1."""
    assert surface_summary(make_surface()) == (
        "The loss at the center is 1 ± 0.25 (standard error over 128 examples), the accuracy 0.75. "
        "The largest loss of each of its 2 planes lies between 2.75 and 3.75. "
        "The center is the lowest cell of every plane. 100 % of a plane lies below 6 (5 × the center + 1)."
    )
    assert "center is 1 ± 0.25 (standard error over 128 examples). " in surface_summary(
        make_surface(center=Measurement(1.0, 0.25, math.nan, 128))
    )
    nothing = make_surface(1, loss=np.full((1, 5, 7), np.nan), center=Measurement(math.nan, math.nan, math.nan, 0))
    assert surface_summary(nothing) == "The loss at the center is –. 35 cells of 35 are gaps."


def test_a_cell_below_the_center_is_told_with_its_place(make_surface):
    surface = make_surface()
    loss = surface.loss.copy()
    loss[0, 1, 3] = 0.5
    assert (
        "The lowest cell has 0.5, 0.5 ± 0.12 below the center, at alpha −0.5, beta 0 of pair 1; "
        "cells below the center are on 1 of 2 planes." in surface_summary(dataclasses.replace(surface, loss=loss))
    )
    even = surface_summary(make_surface(n_alpha=4, center=Measurement(0.5, 0.25, 0.75, 128)))
    assert "No measured cell lies below the center." in even  # which is no cell of that grid


def test_the_rounding_of_an_evaluator_puts_no_cell_below_the_center(make_surface):
    """The cell on the center is the checkpoint, and others are told apart only by more than evaluators differ."""
    surface = make_surface(1, checks={"evaluator_error": 1e-6})
    loss = surface.loss.copy()
    loss[0, 2, 3] = 1 - 1e-3
    assert "The center is the lowest cell of its plane." in surface_summary(dataclasses.replace(surface, loss=loss))
    loss[0, 2, 3], loss[0, 1, 3] = 1.0, 1 - 9e-7
    assert "The center is the lowest cell of its plane." in surface_summary(dataclasses.replace(surface, loss=loss))
    loss[0, 1, 3] = 1 - 2e-6
    assert "2e−6 ± 0.12 below the center, at alpha −0.5" in surface_summary(dataclasses.replace(surface, loss=loss))


def test_table_has_a_row_per_plane(make_surface):
    table, _ = surface_section(make_surface()).tables
    assert table.rows == (
        ("pair 1", "1 ± 0.25", "1 ± 0.25", "0, 0", "2.75 ± 0.25", "−1, −0.5", "0", "35"),
        ("pair 2", "1 ± 0.25", "2 ± 0.25", "0, 0", "3.75 ± 0.25", "−1, −0.5", "0", "35"),
    )


def test_assumptions_and_an_even_grid_stand_beside_the_center(make_surface):
    provenance = {"assumed": ["data set cifar10"], "warnings": ["accuracy is at chance"]}
    section = surface_section(make_surface(1, n_alpha=4, provenance=provenance))
    assert section.notes[:2] == ("Assumed: data set cifar10", "Warning: accuracy is at chance")
    assert section.notes[2].startswith("The grid has no cell at the center")


def test_facts_hold_recipe_checks_versions_and_command(make_surface):
    base = make_surface(1)
    section = surface_section(dataclasses.replace(base, recipe={**base.recipe, "new_key": [1, 2]}))
    facts = {group.title: dict(group.items) for group in section.facts}
    assert facts["Network"] == {"model": "vgg_bn", "model hash": "9f31c2ab77e01d42", "checkpoint": "vgg_bn.pth"}
    assert facts["Measurement"]["BatchNorm"] == VERDICT
    assert facts["Planes"]["beta"] == "7 points, −0.5 to 0.5"
    assert facts["Geometry checks"] == {"cosine": "1.5e−9", "restored": "yes"}
    assert facts["Other settings"] == {"new key": "1, 2"}
    assert facts["Command that remakes it"] == {"command": "landscape surface --ckpt vgg_bn.pth"}
    plain = dataclasses.replace(base, recipe={**base.recipe, "has_batchnorm": False})
    assert not any(VERDICT in dict(group.items).values() for group in surface_section(plain).facts)


def test_the_ratio_is_printed_with_its_learning_rates_and_the_caution(make_bands):
    """Gaps 2 and 4 at every step: the ratio is one half."""
    assert band_summary(make_bands()) == (
        "Mean gap of the bands without BN divided by that with BN: plain 0.500 over 0.0001, 0.001 and 0.003. "
        "One seed and 3 epochs (fewer than 20): too little for a claim."
    )
    assert band_summary(make_bands(seeds=3, epochs=20, steps=2000)) == (
        "Mean gap of the bands without BN divided by that with BN: "
        "plain 0.500 ± 0 (3 seeds) over 0.0001, 0.001 and 0.003."
    )


@pytest.mark.parametrize(("seeds", "epochs"), [(1, 3), (3, 20)])
def test_no_sentence_says_which_network_is_smoother(make_bands, seeds, epochs):
    section = band_section(make_bands(seeds=seeds, epochs=epochs))
    words = " ".join(
        [section.title, section.finding, *section.notes, *section.remarks, *(t.note for t in section.tables)]
    )
    assert "smooth" not in words.lower().replace("beta_smoothness", "")
    assert "loss band (the labs' lipschitz curves)" in section.title.lower()
    assert "does not measure" in " ".join(section.notes)


def test_band_table_names_collapsed_runs_and_the_rates_of_the_ratio(make_bands):
    bands = make_bands(seeds=2)
    collapsed = bands.collapsed.copy()
    collapsed[0, 1, 2] = True
    section = band_section(dataclasses.replace(bands, collapsed=collapsed))
    table = section.tables[0]
    windows = ("2", "2", "2", "2", "2")
    assert table.rows[0] == ("vgg", "0", "0.0001, 0.001, 0.003", "2", "2", *windows, "60")
    assert table.rows[1][2] == "0.0001, 0.001, 0.003 (collapsed)"
    assert table.rows[2] == ("vgg", "all", "", *["2 ± 0"] * 7, "")
    assert table.rows[3][3] == "4"
    assert table.rows[6] == ("plain: without / with BN", "0", "0.0001, 0.001", *["0.500"] * 7, "60")
    assert table.rows[8] == ("plain: without / with BN", "all", "0.0001, 0.001", *["0.500 ± 0"] * 7, "")
    assert "vgg at 0.003 (seed 1) collapsed" in " ".join(section.notes)
    assert section.tables[1].rows[0] == ("vgg", "0", "0.25", "0.5", "0.75")


def test_a_network_without_its_twin_has_no_ratio(make_bands):
    text = band_summary(make_bands(variants=("vgg_light",)))
    assert text == "light: mean gap [nats] of vgg_light 2; no ratio, for its twin with or without BN is not there."
    assert len(band_section(make_bands(variants=("vgg_light",))).tables[0].rows) == 1


def test_a_center_no_better_than_guessing_is_a_warning(make_surface):
    """0.1 + 3 sqrt(0.1 * 0.9 / 128) = 0.17955 for ten classes and 128 examples."""
    one = make_surface()
    recipe = {**one.recipe, "classes": 10}
    for accuracy, warned in ((0.1796, False), (0.1795, True), (math.nan, False)):
        center = Measurement(2.3, 0.1, accuracy, 128)
        surface = dataclasses.replace(one, recipe=recipe, center=center)
        found = [text for text in surface_assumed([surface]) if "guessing among 10 classes" in text]
        assert bool(found) is warned


def test_a_network_without_batchnorm_is_not_labelled_with_a_mode(make_surface):
    def labelled(model, bn, batchnorm):
        one = make_surface()
        return dataclasses.replace(one, recipe={**one.recipe, "model": model, "bn": bn, "has_batchnorm": batchnorm})

    surfaces = [labelled("vgg", "frozen", False), labelled("vgg_bn", "frozen", True), labelled("vgg_bn", "batch", True)]
    assert surface_labels(surfaces) == ("vgg", "vgg_bn · frozen BN", "vgg_bn · batch BN")
