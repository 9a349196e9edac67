"""Scalars and hyperparameters of a run for TensorBoard.

A value stands at the number of updates with which it was complete: a step's loss at 1, 2, ..., an epoch's validation at
that of its last step. So what an interrupted epoch logged lies behind all that is kept, and can be hidden as one.

A small file beside the log says how many epochs of which run it holds. What it lacks is written from the history, so a
run that was trained without a log, in part or whole, has the log of one that was logged from the start.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from landscape.errors import StorageError, require
from landscape.records import Run
from landscape.training.config import TrainConfig
from landscape.training.history import History

_MARK = "logged.json"


class Board:
    """The log of one run. Values are written once an epoch, so that no step waits for the device.

    Args:
        folder: Where the logs of several runs lie beside each other.
        name: Name of the run; its log is the folder of that name.
        recipe: The hyperparameters, logged as text.
        history: The finished epochs. Those that the log lacks are written. What an earlier call logged beyond them, or
            of another run of that name, is hidden: it is trained again.

    Raises:
        MissingExtraError: TensorBoard is not installed.
        StorageError: The folder cannot be written to.
    """

    def __init__(self, folder: Path, name: str, recipe: Mapping[str, Any], history: History) -> None:
        require("tensorboard", extra="tensorboard", purpose="a log for TensorBoard (--tensorboard)")
        from torch.utils.tensorboard import SummaryWriter

        self._place, self._recipe, self._history = folder / name, recipe, history
        known = min(_logged(self._place, recipe), history.epochs)
        with self._told():
            self._mark(known)  # first: what lies beyond is hidden as soon as the writer is there
            purge = known * history.epoch_steps + 1 if known else 0
            self._writer: Any = SummaryWriter(str(self._place), purge_step=purge)
        if not known:
            self._writer.add_text("hyperparameters", _table(recipe), 0)
        if known < history.epochs:
            self._log(range(known, history.epochs))

    def epoch_done(self) -> None:
        """Log the epoch that the history has taken in last."""
        self._log(range(self._history.epochs - 1, self._history.epochs))

    def _log(self, epochs: range) -> None:
        with self._told():
            for epoch in epochs:
                self._add(epoch)
            self._writer.flush()
            self._mark(epochs.stop)

    def _add(self, epoch: int) -> None:
        h, add = self._history, self._writer.add_scalar
        first, end = epoch * h.epoch_steps, (epoch + 1) * h.epoch_steps
        for step in range(first, end):
            add("loss/step", h.loss[step], step + 1)
            add("learning_rate", h.learning_rate[step], step + 1)
        add("loss/train", float(np.mean(h.loss[first:end])), end)
        add("loss/validation", h.val_loss[epoch], end)
        add("accuracy/train", h.train_accuracy[epoch], end)
        add("accuracy/validation", h.val_accuracy[epoch], end)
        for step, loss, accuracy in h.val_steps:
            if first < step <= end:
                add("loss/validation_step", loss, step)
                add("accuracy/validation_step", accuracy, step)

    def _mark(self, epochs: int) -> None:
        self._place.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"epochs": epochs, "recipe": self._recipe})
        (self._place / _MARK).write_text(text, encoding="utf-8")

    def close(self) -> None:
        """Write what is left and let the file go."""
        with self._told():
            self._writer.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"cannot write the log for TensorBoard in {self._place}: {error.strerror or error}. Finished epochs "
                "are kept. Make room or choose another folder (--tensorboard), and give the same command again."
            ) from error


def log_finished(config: TrainConfig, run: Run) -> None:
    """Complete the log of a finished run, where one is asked for; a log that holds all of it is left alone.

    Args:
        config: Its settings.
        run: Its record.

    Raises:
        MissingExtraError: TensorBoard is not installed.
        StorageError: The folder cannot be written to.
    """
    folder = config.tensorboard
    if folder is not None and _logged(folder / config.name, run.recipe) != len(run.epoch):
        Board(folder, config.name, run.recipe, History.of_run(run)).close()


def _logged(place: Path, recipe: Mapping[str, Any]) -> int:
    """Epochs of this run that the log in a folder is known to hold; what cannot be read says of none."""
    try:
        found = json.loads((place / _MARK).read_text(encoding="utf-8"))
        same = json.dumps(found["recipe"], sort_keys=True) == json.dumps(recipe, sort_keys=True)
        return int(found["epochs"]) if same and any(place.glob("*tfevents*")) else 0
    except (OSError, ValueError, TypeError, KeyError):
        return 0


def _table(recipe: Mapping[str, Any]) -> str:
    rows = [f"| {key} | {value} |" for key, value in recipe.items()]
    return "\n".join(["| setting | value |", "| --- | --- |", *rows])
