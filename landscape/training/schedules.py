"""Learning-rate schedules by name: torch's own, with every setting that a run records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch.optim import SGD, Optimizer, lr_scheduler

from landscape.errors import UsageError
from landscape.registry import unknown
from landscape.words import SCHEDULERS


class _Setting(NamedTuple):
    default: float
    words: str
    fits: Callable[[float], bool]


def _positive(default: float) -> _Setting:
    return _Setting(default, "a number above zero", lambda v: 0 < v < math.inf)


def _least(default: float) -> _Setting:
    return _Setting(default, "a number, not below zero", lambda v: 0 <= v < math.inf)


def _share(default: float) -> _Setting:
    return _Setting(default, "a number between 0 and 1", lambda v: 0 < v < 1)


def _count(default: int, low: int) -> _Setting:
    return _Setting(default, f"a whole number from {low}", lambda v: v >= low)


@dataclass(frozen=True)
class Schedule:
    """A kind of schedule.

    Args:
        build: Makes torch's scheduler from optimiser, steps of the run, epochs of the run and settings.
        settings: Its settings under torch's names, with their defaults.
        every: When it moves on: after each step, or after each epoch.
        watches: Whether it is told the validation loss.
    """

    build: Callable[[Optimizer, int, int, Mapping[str, Any]], Any]
    settings: Mapping[str, _Setting] = field(default_factory=dict)
    every: Literal["step", "epoch"] = "epoch"
    watches: bool = False


def _one_cycle(optimizer: Optimizer, steps: int, epochs: int, settings: Mapping[str, Any]) -> Any:
    """The run's learning rate is the peak. Momentum, or Adam's first beta, moves the other way, as torch has it."""
    group = optimizer.param_groups[0]
    cycles = "betas" in group or bool(group.get("momentum"))  # plain SGD stays plain
    peak = group["lr"]
    return lr_scheduler.OneCycleLR(optimizer, max_lr=peak, total_steps=steps, cycle_momentum=cycles, **settings)


_SCHEDULES = {
    "none": Schedule(lambda optimizer, steps, epochs, settings: None),
    "onecycle": Schedule(
        _one_cycle,
        {"pct_start": _share(0.3), "div_factor": _positive(25.0), "final_div_factor": _positive(1e4)},
        every="step",
    ),
    "plateau": Schedule(
        lambda optimizer, steps, epochs, settings: lr_scheduler.ReduceLROnPlateau(optimizer, **settings),
        {
            "factor": _share(0.1),
            "patience": _count(5, 0),
            "threshold": _least(1e-4),
            "cooldown": _count(0, 0),
            "min_lr": _least(0.0),
        },
        watches=True,
    ),
    "step": Schedule(
        lambda optimizer, steps, epochs, settings: lr_scheduler.StepLR(optimizer, **settings),
        {"step_size": _count(10, 1), "gamma": _positive(0.1)},
    ),
    "cosine": Schedule(
        lambda optimizer, steps, epochs, settings: lr_scheduler.CosineAnnealingLR(optimizer, epochs, **settings),
        {"eta_min": _least(0.0)},
    ),
}


def settled(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the settings of a schedule by their defaults.

    Args:
        name: One of ``landscape.words.SCHEDULERS``.
        options: What a user chose.

    Returns:
        Every setting that the schedule has.

    Raises:
        UsageError: The schedule or a setting is unknown, or a value cannot be.
    """
    if name not in _SCHEDULES:
        raise UsageError(unknown("scheduler", name, list(SCHEDULERS)))
    known = _SCHEDULES[name].settings
    for key in options:
        if not known:
            others = ", ".join(other for other, kind in _SCHEDULES.items() if kind.settings)
            raise UsageError(
                f"the scheduler {name!r} has no options; got {key}={options[key]!r}. Choose one that has, with "
                f"--scheduler (scheduler= in Python): {others}"
            )
        if key not in known:
            raise UsageError(f"scheduler {name!r}: {unknown('option', key, list(known))}")
    return {key: _checked(name, key, options.get(key, known[key].default), known[key]) for key in known}


def check_schedule(name: str, options: Mapping[str, Any], rate: float, *, steps: int, epochs: int) -> None:
    """Refuse a run that is too short for its schedule.

    Args:
        name: One of ``landscape.words.SCHEDULERS``.
        options: Its settings, where they are not the defaults.
        rate: The learning rate of the run.
        steps: Steps of an epoch.
        epochs: Epochs of the run.

    Raises:
        UsageError: The run is too short.
    """
    Scheduler(name, options, SGD([torch.zeros(1)], lr=rate), steps=steps, epochs=epochs)


def _checked(name: str, key: str, value: Any, setting: _Setting) -> Any:
    kind = type(setting.default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or kind(value) != value or not setting.fits(value):
        raise UsageError(f"{key} of the scheduler {name!r} is {setting.words}; got {value!r}")
    return kind(value)


class Scheduler:
    """The schedule of one run.

    Args:
        name: One of ``landscape.words.SCHEDULERS``.
        options: Its settings, where they are not the defaults.
        optimizer: Whose learning rate it moves; the rate that it has now is the run's.
        steps: Steps of an epoch.
        epochs: Epochs of the run.

    Raises:
        UsageError: The run is too short for the schedule.
    """

    def __init__(self, name: str, options: Mapping[str, Any], optimizer: Optimizer, *, steps: int, epochs: int) -> None:
        self._kind, self._optimizer = _SCHEDULES[name], optimizer
        try:
            self._torch = self._kind.build(optimizer, steps * epochs, epochs, settled(name, options))
        except ArithmeticError as error:  # onecycle whose rise is a single step
            raise UsageError(
                f"{epochs} epochs of {steps} steps are too few for the scheduler {name!r} with {dict(options)}. Train "
                "more epochs, change pct_start, or choose another --scheduler (scheduler= in Python)"
            ) from error

    @property
    def every_step(self) -> bool:
        """Whether it moves on after each step."""
        return self._kind.every == "step"

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step_done(self) -> None:
        """Move on after a step."""
        if self.every_step:
            self._torch.step()

    def epoch_done(self, val_loss: float) -> None:
        """Move on after an epoch.

        Args:
            val_loss: The validation loss after it.
        """
        if self._torch is not None and not self.every_step:
            self._torch.step(*([val_loss] if self._kind.watches else []))

    def state(self) -> dict[str, Any] | None:
        """Return plain values for a checkpoint; None for no schedule."""
        return None if self._torch is None else dict(self._torch.state_dict())

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state`` returned. The optimiser's own state holds the learning rate."""
        self._torch.load_state_dict(dict(state))
