"""Collapse and divergence, told from the numbers alone."""

from __future__ import annotations

import math

import pytest
import torch

from landscape.records import Measurement
from landscape.training.history import History, at_chance

LN10 = math.log(10)


def validated(loss, accuracy):
    return Measurement(loss, 0.0, accuracy, 100)


def run_of(*epochs, ended=False):
    """A record from epochs given as (step losses, training accuracy)."""
    history = History(ended=ended)
    for losses, accuracy in epochs:
        history.add(torch.tensor(losses), accuracy, validated(1.0, 0.5), classes=10, examples=1_000_000)
    return history.run(recipe={}, environment={}, provenance={})


def test_a_constant_loss_of_guessing_is_a_collapse():
    run = run_of(([LN10] * 8, 0.1))
    assert run.collapsed
    assert not run.diverged
    assert not run.survived


@pytest.mark.parametrize(
    ("losses", "accuracy", "expected"),
    [
        ([LN10] * 8, 0.1, True),
        ([LN10 + 0.009, LN10 - 0.009] * 4, 0.11, True),
        ([LN10 + 0.011] * 8, 0.1, False),  # above guessing throughout
        ([LN10 - 0.02] * 8, 0.1, False),
        ([LN10 + 0.04, LN10 - 0.04] * 4, 0.1, True),  # mini-batches scatter about it
        ([LN10 + 0.06, LN10 - 0.06] * 4, 0.1, False),
        ([LN10] * 8, 0.2, False),  # it classifies
        ([2.0, 1.5, 1.0, 0.5] * 2, 0.6, False),
        ([math.nan] * 8, 0.1, False),
    ],
)
def test_at_chance_in_closed_form(losses, accuracy, expected):
    assert at_chance(torch.tensor(losses, dtype=torch.float64), accuracy, 10) is expected


def test_few_images_scatter_further_about_chance():
    """Three standard errors of 0.1 over 100 images are 3 sqrt(0.09 / 100) = 0.09; over a million, 0.0009 < 0.02."""
    losses = torch.full((8,), LN10)
    assert at_chance(losses, 0.18, 10, examples=100)
    assert not at_chance(losses, 0.20, 10, examples=100)
    assert not at_chance(losses, 0.13, 10, examples=1_000_000)


def test_chance_depends_on_the_number_of_classes():
    assert at_chance(torch.full((8,), math.log(3)), 1 / 3, 3)
    assert not at_chance(torch.full((8,), math.log(3)), 1 / 3, 10)


def test_a_run_that_leaves_the_plateau_has_learned():
    plateau, learning = ([LN10] * 8, 0.1), ([2.0, 1.0] * 4, 0.5)
    assert not run_of(plateau, learning).collapsed
    assert run_of(learning, plateau).collapsed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_a_divergence_and_is_kept(value):
    run = run_of(([2.0, value, 1.0], 0.1))
    assert run.diverged
    assert not run.survived
    assert str(run.loss[1]) == str(value)


def test_weights_that_are_not_finite_are_a_divergence_before_any_loss_shows_it():
    """The last update of an epoch can break the weights: no step loss has seen it."""
    assert run_of(([2.0, 1.0], 0.3), ended=True).diverged
    assert not run_of(([2.0, 1.0], 0.3)).diverged


def test_the_best_epoch_is_the_first_of_the_best():
    history = History()
    for accuracy in (0.1, 0.4, math.nan, 0.4, 0.2):
        history.add(torch.ones(1), 0.0, validated(1.0, accuracy), classes=10, examples=100)
    assert history.best_epoch == 2
    assert History().best_epoch == 0


def test_a_history_comes_back_from_its_state():
    history = History()
    history.add(torch.tensor([0.1, math.nan]), 0.3, validated(0.7, 0.5), classes=10, examples=100)
    history.ended = True
    again = History.of(history.state())
    assert str(vars(again)) == str(vars(history))
