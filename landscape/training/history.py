"""What a run has recorded so far, and what that says of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.records import Measurement, Run


@dataclass
class History:
    """Values of the finished epochs of a run.

    Args:
        loss: Step losses.
        val_loss: Validation loss of every epoch.
        val_accuracy: Validation accuracy of every epoch.
        at_chance: For every epoch, whether all of it was spent at chance.
        train_accuracy: For every epoch, fraction of its images classified right as they were trained on.
        learning_rate: Learning rate of every step.
        val_steps: Validations by step: steps made before, loss, accuracy.
        epoch_steps: Steps of the last epoch.
        ended: Whether the weights are no longer finite, so that there is nothing left to train.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    at_chance: list[bool] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    val_steps: list[tuple[int, float, float]] = field(default_factory=list)
    epoch_steps: int = 0
    ended: bool = False

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return len(self.val_loss)

    @property
    def best_epoch(self) -> int:
        """The first epoch, counted from 1, with the highest validation accuracy."""
        return int(np.nanargmax([-1.0, *self.val_accuracy]))

    @property
    def best_accuracy(self) -> float:
        """The highest validation accuracy so far; -1 where there is none."""
        return float(np.nanmax([-1.0, *self.val_accuracy, *(accuracy for _, _, accuracy in self.val_steps)]))

    @property
    def mean_loss(self) -> float:
        """Mean of the last epoch's step losses; NaN before the first."""
        return float(np.mean(self.loss[-self.epoch_steps :])) if self.epoch_steps else math.nan

    def add(
        self,
        losses: Tensor,
        accuracy: float,
        value: Measurement,
        *,
        classes: int,
        examples: int,
        learning_rates: Sequence[float] | None = None,
    ) -> None:
        """Take in an epoch.

        Args:
            losses: Its step losses.
            accuracy: Fraction of its training images classified right as they were trained on.
            value: Loss and accuracy on the validation part after it.
            classes: Number of classes, which sets what chance is.
            examples: Number of training images.
            learning_rates: Learning rate of each step; None where it is not known.
        """
        values = losses.double().cpu()
        self.loss += values.tolist()
        self.epoch_steps = len(values)
        self.learning_rate += [math.nan] * len(values) if learning_rates is None else learning_rates
        self.train_accuracy.append(accuracy)
        self.val_loss.append(value.loss)
        self.val_accuracy.append(value.accuracy)
        self.at_chance.append(at_chance(values, accuracy, classes, examples=examples))

    def add_at_step(self, step: int, value: Measurement) -> None:
        """Take in a validation made at a step.

        Args:
            step: Steps made before it.
            value: Loss and accuracy on the validation part.
        """
        self.val_steps.append((step, value.loss, value.accuracy))

    def state(self) -> dict[str, Any]:
        """Return plain values and tensors for a checkpoint."""
        return {
            "loss": torch.tensor(self.loss, dtype=torch.float64),
            "val_loss": list(self.val_loss),
            "val_accuracy": list(self.val_accuracy),
            "at_chance": list(self.at_chance),
            "train_accuracy": list(self.train_accuracy),
            "learning_rate": torch.tensor(self.learning_rate, dtype=torch.float64),
            "val_steps": list(self.val_steps),
            "epoch_steps": self.epoch_steps,
            "ended": self.ended,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> History:
        """Make a history from what ``state`` returned, now or in a release that recorded less."""
        steps, epochs = len(state["loss"]), len(state["val_loss"])
        unknown: dict[str, Any] = {
            "train_accuracy": [math.nan] * epochs,
            "learning_rate": torch.full((steps,), math.nan, dtype=torch.float64),
            "epoch_steps": steps // epochs if epochs else 0,
        }
        known = unknown | dict(state)
        return cls(**known | {name: known[name].tolist() for name in ("loss", "learning_rate")})

    @classmethod
    def of_run(cls, run: Run) -> History:
        """Make a history from a record, which does not say which epochs were spent at chance."""
        at_steps = (run.val_step.tolist(), run.val_step_loss.tolist(), run.val_step_accuracy.tolist())
        return cls(
            loss=run.loss.tolist(),
            val_loss=run.val_loss.tolist(),
            val_accuracy=run.val_accuracy.tolist(),
            train_accuracy=run.train_accuracy.tolist(),
            learning_rate=run.learning_rate.tolist(),
            val_steps=list(zip(*at_steps, strict=True)),
            epoch_steps=len(run.loss) // len(run.epoch) if len(run.epoch) else 0,
        )

    def run(self, *, recipe: dict[str, Any], environment: dict[str, Any], provenance: dict[str, Any]) -> Run:
        """Make the record of the run so far.

        Args:
            recipe: What the values depend on.
            environment: Versions and device.
            provenance: Names of files, the command.

        Returns:
            The record.
        """
        return Run(
            np.arange(len(self.loss)),
            np.asarray(self.loss, dtype=np.float64),
            np.arange(1, self.epochs + 1),
            np.asarray(self.val_loss, dtype=np.float64),
            np.asarray(self.val_accuracy, dtype=np.float64),
            collapsed=self.at_chance[-1:] == [True],  # one that starts on the plateau and leaves it has learned
            diverged=self.ended or not np.isfinite(self.loss).all(),
            train_accuracy=np.asarray(self.train_accuracy, dtype=np.float64),
            learning_rate=np.asarray(self.learning_rate, dtype=np.float64),
            val_step=np.asarray([step for step, _, _ in self.val_steps], dtype=np.int64),
            val_step_loss=np.asarray([loss for _, loss, _ in self.val_steps], dtype=np.float64),
            val_step_accuracy=np.asarray([accuracy for _, _, accuracy in self.val_steps], dtype=np.float64),
            recipe=recipe,
            environment=environment,
            provenance=provenance,
        )


def at_chance(
    losses: Tensor, accuracy: float, classes: int, *, examples: int | None = None, tolerance: float = 0.01
) -> bool:
    """Say whether an epoch was spent at chance: every loss near ``ln(classes)``, accuracy near ``1/classes``.

    Args:
        losses: Step losses of the epoch.
        accuracy: Fraction of its training images classified right.
        classes: Number of classes.
        examples: Number of those images; few of them scatter further about chance than 0.02.
        tolerance: How near the mean loss has to be [nats]; single mini-batches may be five times as far.

    Returns:
        Whether it was.
    """
    chance = math.log(classes)
    mean_near = abs(float(losses.mean()) - chance) < tolerance
    all_near = bool(((losses - chance).abs() < 5 * tolerance).all())
    scatter = 3 * math.sqrt((classes - 1) / examples) / classes if examples else 0.0
    return mean_near and all_near and abs(accuracy - 1 / classes) < max(0.02, scatter)
