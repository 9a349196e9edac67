"""What a run has recorded so far, and what that says of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
        ended: Whether the weights are no longer finite, so that there is nothing left to train.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    at_chance: list[bool] = field(default_factory=list)
    ended: bool = False

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return len(self.val_loss)

    @property
    def best_epoch(self) -> int:
        """The first epoch, counted from 1, with the highest validation accuracy."""
        return int(np.nanargmax([-1.0, *self.val_accuracy]))

    def add(self, losses: Tensor, accuracy: float, value: Measurement, *, classes: int, examples: int) -> None:
        """Take in an epoch.

        Args:
            losses: Its step losses.
            accuracy: Fraction of its training images classified right as they were trained on.
            value: Loss and accuracy on the validation part after it.
            classes: Number of classes, which sets what chance is.
            examples: Number of training images.
        """
        values = losses.double().cpu()
        self.loss += values.tolist()
        self.val_loss.append(value.loss)
        self.val_accuracy.append(value.accuracy)
        self.at_chance.append(at_chance(values, accuracy, classes, examples=examples))

    def state(self) -> dict[str, Any]:
        """Return plain values and tensors for a checkpoint."""
        return {
            "loss": torch.tensor(self.loss, dtype=torch.float64),
            "val_loss": list(self.val_loss),
            "val_accuracy": list(self.val_accuracy),
            "at_chance": list(self.at_chance),
            "ended": self.ended,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> History:
        """Make a history from what ``state`` returned."""
        return cls(**{**state, "loss": state["loss"].tolist()})

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
