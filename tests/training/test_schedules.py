"""Learning rates of a run against torch's schedulers on an optimiser of their own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from landscape.errors import UsageError
from landscape.records import Measurement
from landscape.training import TrainConfig, train, trainer

EPOCHS, STEPS, RATE = 4, 6, 0.02


def dummy(kind="adamw"):
    weight = torch.nn.Parameter(torch.zeros(1))
    if kind == "adamw":
        return torch.optim.AdamW([weight], lr=RATE)
    return torch.optim.SGD([weight], lr=RATE, momentum=0.9 if kind == "momentum" else 0)


@pytest.fixture
def losses(monkeypatch):
    """Validation losses of a plateau, for a scheduler that watches them."""
    values = [1.0, 0.9, 0.95, 0.95, 0.95, 0.95, 0.2, 0.2]
    given = iter(values)
    monkeypatch.setattr(trainer, "evaluate", lambda *args, **named: Measurement(next(given), 0.1, 0.5, 13))
    return values


CASES = [
    ("none", {}, None),
    ("step", {"step_size": 2, "gamma": 0.3}, lambda o: lr_scheduler.StepLR(o, 2, gamma=0.3)),
    ("step", {}, lambda o: lr_scheduler.StepLR(o, 10, gamma=0.1)),
    ("cosine", {"eta_min": 1e-4}, lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS, eta_min=1e-4)),
    ("onecycle", {}, lambda o: lr_scheduler.OneCycleLR(o, max_lr=RATE, total_steps=EPOCHS * STEPS)),
    (
        "onecycle",
        {"pct_start": 0.5, "div_factor": 10, "final_div_factor": 100.0},
        lambda o: lr_scheduler.OneCycleLR(
            o, max_lr=RATE, epochs=EPOCHS, steps_per_epoch=STEPS, pct_start=0.5, div_factor=10, final_div_factor=100
        ),
    ),
    ("plateau", {"patience": 0, "factor": 0.5}, lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=0)),
    ("plateau", {}, lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.1, patience=5)),
]


@pytest.mark.parametrize("kind", ["adamw", "momentum"])
@pytest.mark.parametrize(("name", "options", "build"), CASES)
def test_the_rate_of_every_step_is_torchs(config, losses, data, *, name, options, build, kind):
    run = train(
        config(
            "tiny",
            epochs=EPOCHS,
            optimizer=kind,
            learning_rate=RATE,
            scheduler=name,
            scheduler_options=options,
        ),
        data=data,
    )
    optimizer = dummy(kind)
    scheduler = build(optimizer) if build else None
    expected = []
    for epoch in range(EPOCHS):
        for _ in range(STEPS):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if name == "onecycle":
                scheduler.step()
        if name == "plateau":
            scheduler.step(losses[epoch])
        elif scheduler is not None and name != "onecycle":
            scheduler.step()
    np.testing.assert_array_equal(run.learning_rate, expected)
    if options:
        assert len(set(expected)) > 1
    if name == "onecycle":
        assert max(expected) == pytest.approx(RATE, rel=0.01), "the learning rate is the peak"


def test_the_rate_is_the_one_that_updates_are_made_with(config):
    """Plain SGD, no weight decay, steps that shrink by 1e-9 after the first epoch: the weights then stand still."""
    settings = {"optimizer": "sgd", "weight_decay": 0.0, "learning_rate": 0.1, "epochs": 2}
    c = config("tiny", scheduler="step", scheduler_options={"step_size": 1, "gamma": 1e-9}, **settings)
    one = trainer.Trainer(c, trainer.TrainingData.of(c), lambda p: None)
    one._epoch(0, lambda step: None)
    one.scheduler.epoch_done(1.0)
    before = [p.detach().clone() for p in one.model.parameters()]
    one._epoch(1, lambda step: None)
    for p, b in zip(one.model.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), b, rtol=0, atol=1e-7)


def test_plain_sgd_stays_plain_under_one_cycle(config):
    c = config("tiny", scheduler="onecycle", optimizer="sgd")
    one = trainer.Trainer(c, trainer.TrainingData.of(c), lambda p: None)
    one._epoch(0, lambda step: None)
    assert one.optimizer.param_groups[0]["momentum"] == 0
    moving = dataclasses.replace(c, optimizer="momentum")
    other = trainer.Trainer(moving, one.data, lambda p: None)
    other._epoch(0, lambda step: None)
    assert other.optimizer.param_groups[0]["momentum"] != 0.9


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "stepp",
            {},
            r"no scheduler named 'stepp'. Did you mean 'step'\? Known: none, onecycle, plateau, step",
        ),
        ("step", {"gama": 0.1}, r"scheduler 'step': there is no option named 'gama'. Did you mean 'gamma'\?"),
        (
            "none",
            {"gamma": 0.1},
            "scheduler 'none' has no options; got gamma=0.1. Choose .* --scheduler .*: onecycle, plateau, step, cosine",
        ),
        ("step", {"step_size": 0}, "step_size of the scheduler 'step' is a whole number from 1; got 0"),
        ("step", {"step_size": 2.5}, "got 2.5"),
        ("plateau", {"factor": 1}, "factor of the scheduler 'plateau' is a number between 0 and 1; got 1"),
        ("plateau", {"patience": True}, "got True"),
        ("cosine", {"eta_min": -1.0}, "eta_min .* not below zero; got -1.0"),
        ("onecycle", {"div_factor": "big"}, "div_factor .* above zero; got 'big'"),
        ("onecycle", {"pct_start": float("nan")}, "got nan"),
    ],
)
def test_settings_without_meaning_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(scheduler=name, scheduler_options=options)


def test_a_run_that_is_too_short_for_one_cycle_is_refused_in_words(config):
    c = config("tiny", epochs=2, batch_size=200, scheduler="onecycle", scheduler_options={"pct_start": 0.5})
    with pytest.raises(UsageError, match="2 epochs of 1 steps are too few for the scheduler 'onecycle'") as caught:
        train(c)
    assert str(caught.value).endswith(
        "Train more epochs, change pct_start, or choose another --scheduler (scheduler= in Python)"
    )
    ways = ({"epochs": 3}, {"scheduler_options": {"pct_start": 0.4}}, {"scheduler": "cosine", "scheduler_options": {}})
    for way in ways:  # each of them is one
        assert np.isfinite(train(dataclasses.replace(c, **way)).loss).all()
