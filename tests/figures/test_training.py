"""Curves of a run: the same numbers in both renderers, nothing altered."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from landscape import figures
from landscape.figures.data_training import best, cut_note, epoch_losses, training_panels, validations
from landscape.figures.draw_matplotlib_training import training_image
from landscape.figures.draw_plotly_training import draw_training
from landscape.figures.text_training import training_table
from landscape.records import Run

RECIPE = {
    "model": "vgg_bn",
    "epochs": 4,
    "steps_per_epoch": 5,
    "learning_rate": 1e-3,
    "optimizer": "adam",
    "loss": "cross_entropy",
    "data": {"dataset": "cifar10", "split": "train", "examples": 450},
}


@pytest.fixture
def run():
    """Four epochs of five steps, validated every three steps too; the best is at step 12."""
    loss = np.linspace(2.0, 0.1, 20)
    return Run(
        np.arange(20),
        loss,
        [1, 2, 3, 4],
        [1.9, 1.2, 0.8, 0.9],
        [0.2, 0.5, 0.6, 0.55],
        train_accuracy=[0.1, 0.4, 0.7, 0.8],
        learning_rate=np.linspace(0.1, 0.01, 20),
        val_step=[3, 6, 9, 12, 15, 18],
        val_step_loss=[2.0, 1.8, 1.3, 0.7, 0.8, 0.85],
        val_step_accuracy=[0.1, 0.25, 0.4, 0.65, 0.6, 0.6],
        recipe=RECIPE,
    )


def test_means_of_epochs_and_validations_in_their_order(run):
    np.testing.assert_allclose(epoch_losses(run), run.loss.reshape(4, 5).mean(axis=1), rtol=1e-15)
    places, loss, accuracy = validations(run)
    np.testing.assert_allclose(places, [0.6, 1, 1.2, 1.8, 2, 2.4, 3, 3.6, 4])
    np.testing.assert_array_equal(loss, [2.0, 1.9, 1.8, 1.3, 1.2, 0.7, 0.8, 0.85, 0.9])
    np.testing.assert_array_equal(accuracy, [0.1, 0.2, 0.25, 0.4, 0.5, 0.65, 0.6, 0.6, 0.55])
    found = best(run)
    assert (found.place, found.loss, found.accuracy) == (2.4, 0.7, 0.65)


def test_both_renderers_draw_the_same_numbers(run):
    panels = training_panels(run)
    assert [panel.title for panel in panels] == ["loss", "accuracy", "learning rate"]
    interactive = draw_training(panels)
    image = training_image(panels, scale="linear", title="t")
    for k, panel in enumerate(panels):
        axis = "x" if k == 0 else f"x{k + 1}"
        traces = [trace for trace in interactive.data if trace["xaxis"] == axis]
        lines = image.axes[k].get_lines()
        assert len(traces) == len(lines) == len(panel.lines) + (panel.mark is not None)
        for trace, line in zip(traces, lines, strict=True):
            np.testing.assert_array_equal(np.asarray(trace["x"], float), line.get_xdata())
            np.testing.assert_array_equal(np.asarray(trace["y"], float), line.get_ydata())


def test_a_rate_that_does_not_move_has_no_panel(run):
    for rate in (np.full(20, 0.1), np.full(20, np.nan)):
        assert len(training_panels(dataclasses.replace(run, learning_rate=rate))) == 2


def test_what_is_not_finite_is_a_gap_and_stays_out_of_the_axis(run):
    loss = run.loss.copy()
    loss[7], loss[8] = np.inf, np.nan
    broken = dataclasses.replace(run, loss=loss, diverged=True)
    step, mean = training_panels(broken)[0].lines[:2]
    assert np.isnan(step.curve.y).sum() == 2
    assert np.isnan(mean.curve.y[1])
    trace = draw_training(training_panels(broken)).data[0]
    assert trace["y"][7] is None
    assert trace["y"][8] is None
    assert "diverged" in figures.training_section(broken).notes[0]


def test_a_mini_batch_far_above_the_epochs_ends_the_axis_and_is_said(run):
    assert cut_note(training_panels(run)) == ""
    loss = run.loss.copy()
    loss[0] = 50.0
    panels = training_panels(dataclasses.replace(run, loss=loss))
    end = 3 * loss[:5].mean()
    assert panels[0].end == pytest.approx(end)
    assert cut_note(panels).endswith("the largest loss of a mini-batch is 50")
    assert draw_training(panels).layout["yaxis"]["range"][1] == pytest.approx(end)
    assert "range" not in draw_training(panels, scale="log").layout["yaxis"]
    assert 50.0 in draw_training(panels).data[0]["y"]


def test_words_say_the_end_the_best_and_why(run):
    text = figures.training_summary(run)
    assert "After 4 epochs: validation accuracy 55 %, validation loss 0.9" in text
    assert "Best: 65 % after 2.4 epochs" in text
    assert "Stopped" not in text
    stopped = dataclasses.replace(
        run, recipe={**RECIPE, "early_stop": 2, "epochs": 9}, provenance={"stopped_by_validation_loss": True}
    )
    said = figures.training_summary(stopped)
    assert "Stopped before 9 epochs: the validation loss did not fall for 2 epochs." in said
    section = figures.training_section(run)
    assert section.title == "Training of vgg_bn · 450 CIFAR-10 training images · 4 epochs"
    empty = Run(*[np.zeros(0)] * 5, recipe=RECIPE)
    assert figures.training_summary(empty) == "No epoch is finished."


def test_the_table_has_a_row_for_each_epoch_and_stays_short(run):
    table = training_table(run)
    assert table.rows[1] == ("2", "1.3", "0.4", "1.2", "0.5")
    n = 333
    many = Run(np.arange(n), np.ones(n), np.arange(1, n + 1), np.ones(n), np.ones(n), recipe={"steps_per_epoch": 1})
    rows = training_table(many).rows
    assert len(rows) <= 41
    assert rows[-1][0] == "333"


def test_page_and_picture_are_written(run, tmp_path):
    page = figures.write_page(tmp_path / "a.html", figures.training_section(run), title="t")
    image = figures.write_training_png(tmp_path / "a.png", run)
    assert "Training of vgg_bn" in page.read_text()
    assert image.read_bytes()[1:4] == b"PNG"
    assert len(figures.training(run).data) == 8
