"""What stands around the smoothness figure: ratios with their spread, conditions, cautions, and no verdict."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from landscape import figures
from landscape.figures import smoothness_section, smoothness_summary, smoothness_tables
from landscape.figures.text_smoothness import smoothness_title
from landscape.smoothness.published import published


def table(traces, caption):
    return next(t for t in smoothness_tables(traces) if t.caption.startswith(caption))


def row(found, *words):
    return next(cells for cells in found.rows if cells[: len(words)] == words)


def everything(traces):
    section = smoothness_section(traces)
    words = [section.title, section.finding, *section.conditions, *section.notes, *section.remarks]
    words += [text for t in section.tables for text in (t.caption, t.note, *t.header, *(c for r in t.rows for c in r))]
    words += [text for t in section.tables for pair_ in t.definitions for text in pair_]
    return "\n".join(words)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_no_sentence_says_what_is_smoother(pair, trace, seeds):
    for traces in (pair(seeds=seeds), pair(seeds=seeds, recipe={"epochs": 2, "steps_per_epoch": 9}), [trace()]):
        assert not re.search(r"smoother|flatter|better|narrower|improve", everything(traces), re.I)


def test_one_seed_or_few_epochs_are_too_little_for_a_claim(pair):
    assert smoothness_summary(pair()).endswith("One seed: too little for a claim.")
    short = {"recipe": {"epochs": 2, "steps_per_epoch": 9}}
    few = smoothness_summary(pair(seeds=(0, 1), **short))
    assert few.endswith("2 epochs (fewer than 20): too little for a claim.")
    assert "too little" not in smoothness_summary(pair(seeds=(0, 1)))
    assert "too little" in table(pair(), "Ratios").note


def test_ratios_carry_their_spread_over_seeds(pair):
    def wider(t):  # at seed 1 the range of vgg is six times that of vgg_bn, at seed 0 twice
        return dataclasses.replace(t, loss=t.loss * 3) if (t.recipe["seed"], t.recipe["model"]) == (1, "vgg") else t

    traces = [wider(t) for t in pair(seeds=(0, 1))]
    found = row(table(traces, "Ratios"), "vgg / vgg_bn", "loss range")
    assert found[2:] == ("0, 1", *["4.00 ± 2.8"] * 5)  # 2 and 6; sample deviation 2.83
    assert "loss range 4.00 ± 2.8 (2 seeds)" in smoothness_summary(traces)


def test_published_numbers_stand_beside_those_made_under_their_protocol(pair):
    found = table(pair(), "Ratios")
    assert row(found, "vgg / vgg_bn, published", "loss range")[3] == "6.15"
    values = table(pair(), "Along the gradient")
    curve = published().curve("loss", with_bn=True)
    mean = (curve.high - curve.low)[curve.step < 15000].mean()
    assert row(values, "vgg_bn, published", "loss range")[2] == f"{mean:.4g}"
    shift = table(pair(), "Internal covariate shift")
    assert row(shift, "vgg, published", "layer 5", "‖G − G′‖")[3:] == ("0.33", "0.95", "0.68")
    assert not [cells for cells in shift.rows if "published" in cells[0] and cells[1] == "layer 10"]
    other = pair(recipe={"batch_size": 64})
    assert "published" not in "".join(c for t in smoothness_tables(other) for cells in t.rows for c in cells)


def test_saturation_is_counted_and_explained(pair):
    section = smoothness_section(pair())
    told = " ".join(section.remarks)
    assert "50 of 150 of vgg and 50 of 150 of vgg_bn" in told
    assert "1 / smallest η = 20" in told
    assert row(table(pair(), "Along"), "vgg", "beta_smoothness")[-1] == "50 of 150"


def test_conditions_are_read_from_the_recipe(pair):
    conditions = smoothness_section(pair()).conditions
    expected = {
        "same mini-batch at every η", "all parameters", "BatchNorm with the statistics of the batch", "dropout off",
        "η = 0.05, 0.1, 0.2, 0.4", "seed 0", "every 100 steps", "optimizer sgd", "learning rate 0.1", "batch size 128",
    }  # fmt: skip
    assert expected <= set(conditions)
    probe = {"every": 100, "layers": [5, 10], "bn": "frozen", "dropout": "on"}
    other = smoothness_section(pair(recipe={"probe": probe})).conditions
    assert {"BatchNorm with running statistics", "dropout on"} <= set(other)
    assert "2,000 images" in smoothness_section(pair(data={"limit": 2000})).conditions


def test_the_title_says_what_was_measured(pair):
    assert (
        smoothness_title(pair())
        == "Loss and gradient along the gradient · vgg and vgg_bn · CIFAR-10 · 15,000 training steps"
    )


def test_the_caption_says_what_published_losses_contain_and_why_curves_are_missing(pair):
    assert any("weight-decay term" in text and "1805.11604" in text for text in smoothness_section(pair()).remarks)
    told = " ".join(smoothness_section(pair(recipe={"batch_size": 64})).remarks)
    assert "No published curves are drawn" in told
    assert "batch size 64 instead of 128" in told


def test_what_keeps_no_curve_away_is_named_in_the_caption(pair):
    changed = {"precision": "bf16", "validation": 0.1}
    told = " ".join(smoothness_section(pair(recipe=changed, data={"normalization": "half"})).remarks)
    assert "Dashed: " in told
    assert "in bf16, without 10 % of the images, held out for validation and on images normalised by half" in told
    assert "Other than the paper's" not in " ".join(smoothness_section(pair()).remarks)


def test_probes_that_are_not_finite_are_counted(trace):
    loss = trace().loss.copy()
    loss[5:8, 3] = np.nan
    notes = smoothness_section([trace(values={"loss": loss}), trace("vgg_bn")]).notes
    assert any("3 probes of vgg" in text for text in notes)


def test_networks_that_were_not_probed_alike_get_no_ratio(trace):
    traces = [trace(), trace("vgg_bn", steps=20)]
    assert smoothness_summary(traces).startswith("vgg / vgg_bn: no ratio. traces are compared over one grid")
    assert [t.caption for t in smoothness_tables(traces) if t.caption.startswith("Ratios")] == []


def test_a_network_alone_is_described_by_its_values(trace):
    assert smoothness_summary([trace()]).startswith("vgg (mean over the training, 1 seed): loss range 4,")


def test_every_choice_has_a_view(pair, trace):
    section = smoothness_section([*pair(seeds=(0, 1)), trace("vgg_light")])
    names = [control.name for control in section.controls]
    assert names == ["axes", "family", "seed", "layer", "published"]
    assert len(section.views) == 3 * 2 * 3 * 2 * 2
    shown, hidden = (section.views[("paper", "vgg", "mean", "layer 5", word)] for word in ("show", "hide"))
    assert len(shown.data) == len(hidden.data) + 12  # three bands and curves of two networks
    assert [c.name for c in smoothness_section([trace(recipe={"batch_size": 64}, layers=())]).controls] == ["axes"]


def test_one_call_for_a_figure(pair, trace, tmp_path):
    drawn = figures.smoothness(pair(), axes="log", layer="layer 10")
    assert drawn.layout.title.text.startswith("Loss and gradient along the gradient")
    assert drawn.layout.yaxis2.type == "log"
    assert {trace_.name for trace_ in drawn.data if trace_.name} == {
        "vgg",
        "vgg_bn",
        "vgg, published",
        "vgg_bn, published",
    }
    path = figures.write_smoothness_png(tmp_path / "a.png", trace(layers=()))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_deep_linear_networks_stand_beside_the_medians_of_figure_10(trace):
    sizes = np.array([1e-8, 1e-7, 1e-6, 1e-5, 3.16e-5])

    def deep(model, seed):
        one = trace(model, seed, steps=11, rate=1e-6, layers=())
        loss = np.tile(10.0 ** np.array([1, 2, 3, 4, 5 + seed]), (11, 1))
        wide = {"loss": loss, "gradient_distance": loss, "cosine": np.ones((11, 5)), "step_size": sizes}
        return dataclasses.replace(one, **wide, accuracy=np.full(11, np.nan))

    traces = [deep(model, seed) for model in ("dln", "dln_bn") for seed in (0, 2)]
    found = table(traces, "Deep linear")
    assert row(found, "dln")[1] == "6 ± 1.4"  # 5 and 7
    assert row(found, "dln_bn, published")[1:] == ("4.9", "6.3", "6.3")
    other = [dataclasses.replace(t, step_size=2 * sizes) for t in traces]
    assert not [cells for cells in table(other, "Deep linear").rows if "published" in cells[0]]
