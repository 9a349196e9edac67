"""One training run as finished numbers: what both renderers draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from landscape.figures.data import number
from landscape.figures.data_band import Curve, thin
from landscape.records import Run
from landscape.records.base import FloatArray

TRAINING, VALIDATION = "#7b5aa6", "#12876b"  # not those of networks without and with BatchNorm, which stand elsewhere
Part = Literal["training", "validation", "rate"]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A curve of a panel.

    Args:
        curve: Places in epochs, and values.
        part: What it was taken from: decides the colour.
        name: Its name in the legend; empty for what stands behind another curve.
        what: What a value is, for the hover.
    """

    curve: Curve
    part: Part
    name: str
    what: str


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPanel:
    """A quantity over the epochs of a run.

    Args:
        title: What the panel shows.
        axis: Title of the vertical axis.
        lines: Its curves, those behind first.
        loss: Whether it is a loss, which may stand on a logarithmic axis.
        mark: Place and value of the network that is kept as the best; None where there is none.
        end: Where a linear axis ends, when a few values would flatten all others; None where it shows all.
    """

    title: str
    axis: str
    lines: tuple[Line, ...]
    loss: bool = False
    mark: tuple[float, float] | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Best:
    """The network that is kept as the best: the first with the highest validation accuracy.

    Args:
        place: Where it was taken, in epochs.
        loss: Its validation loss.
        accuracy: Its validation accuracy.
    """

    place: float
    loss: float
    accuracy: float


def steps_per_epoch(run: Run) -> int:
    """Return the steps of an epoch of a run, which its recipe says."""
    return int(run.recipe.get("steps_per_epoch") or max(1, len(run.step) // max(1, len(run.epoch))))


def epoch_losses(run: Run) -> FloatArray:
    """Return the mean training loss of every finished epoch, over its steps."""
    steps = steps_per_epoch(run)
    return np.array([run.loss[k * steps : (k + 1) * steps].mean() for k in range(len(run.epoch))])


def validations(run: Run) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Join the validations after epochs and within them.

    Args:
        run: The run.

    Returns:
        Places in epochs, increasing and none twice; losses; accuracies.
    """
    places = np.concatenate([run.epoch, run.val_step / steps_per_epoch(run)])
    places, first = np.unique(places, return_index=True)
    loss = np.concatenate([run.val_loss, run.val_step_loss])[first]
    return places, loss, np.concatenate([run.val_accuracy, run.val_step_accuracy])[first]


def best(run: Run) -> Best | None:
    """Find the network that is kept as the best.

    Args:
        run: The run.

    Returns:
        Where and what it is; None where no accuracy is finite.
    """
    places, loss, accuracy = validations(run)
    if not np.isfinite(accuracy).any():
        return None
    k = int(np.nanargmax(accuracy))
    return Best(float(places[k]), float(loss[k]), float(accuracy[k]))


def training_panels(run: Run) -> tuple[TrainingPanel, ...]:
    """Prepare the panels of a run: loss, accuracy and, where it moves, the learning rate.

    Args:
        run: The run.

    Returns:
        Two or three panels over the same axis.
    """
    steps, found = steps_per_epoch(run), best(run)
    within = run.step / steps
    places, val_loss, val_accuracy = validations(run)
    epochs = run.epoch.astype(np.float64)
    losses = (
        Line(Curve(*thin(within, _finite(run.loss))), "training", "", "loss of a mini-batch"),
        Line(Curve(epochs, _finite(epoch_losses(run))), "training", "training", "mean training loss of the epoch"),
        Line(Curve(places, _finite(val_loss)), "validation", "validation", "validation loss"),
    )
    accuracies = (
        Line(Curve(epochs, _finite(run.train_accuracy)), "training", "training", "training accuracy of the epoch"),
        Line(Curve(places, _finite(val_accuracy)), "validation", "validation", "validation accuracy"),
    )
    name = str(run.recipe.get("loss", "cross_entropy"))
    loss_axis = "cross-entropy [nats]" if name == "cross_entropy" else f"loss ({name})"
    panels = [
        TrainingPanel("loss", loss_axis, losses, True, (found.place, found.loss) if found else None, _axis_end(losses)),
        TrainingPanel(
            "accuracy", "fraction classified right", accuracies, False, (found.place, found.accuracy) if found else None
        ),
    ]
    rates = run.learning_rate[np.isfinite(run.learning_rate)]
    if rates.size and rates.min() < rates.max():
        rate = Line(Curve(*thin(within, _finite(run.learning_rate))), "rate", "", "learning rate")
        panels.append(TrainingPanel("learning rate", "learning rate", (rate,)))
    return tuple(panels)


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, np.nan)


def _axis_end(lines: tuple[Line, ...]) -> float | None:
    """Beyond three times what epochs came to, single mini-batches are cut off; the values stay in the data."""
    curves = np.concatenate([line.curve.y for line in lines[1:]])
    everything = np.concatenate([line.curve.y for line in lines])
    if not np.isfinite(curves).any():
        return None
    end = 3 * float(np.nanmax(curves))
    return end if 0 < end < float(np.nanmax(everything)) else None


def cut_note(panels: tuple[TrainingPanel, ...]) -> str:
    """Say what lies beyond the end of the linear loss axis; empty where nothing does."""
    panel = panels[0]
    if panel.end is None:
        return ""
    top = float(np.nanmax(panel.lines[0].curve.y))
    return f"the linear loss axis ends at {number(panel.end, 3)}, the largest loss of a mini-batch is {number(top, 3)}"
