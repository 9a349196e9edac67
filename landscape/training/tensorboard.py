"""Scalars and hyperparameters of a run for TensorBoard.

A value stands at the number of updates with which it was complete: a step's loss at 1, 2, ..., an epoch's validation at
that of its last step. So what an interrupted epoch logged lies behind all that is kept, and can be hidden as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from landscape.errors import StorageError, require
from landscape.training.history import History


class Board:
    """The log of one run. Values are written once an epoch, so that no step waits for the device.

    Args:
        folder: Where the logs of several runs lie beside each other.
        name: Name of the run; its log is the folder of that name.
        recipe: The hyperparameters, logged as text.
        history: The finished epochs. What an earlier call logged beyond them is hidden: it is trained again.

    Raises:
        MissingExtraError: TensorBoard is not installed.
        StorageError: The folder cannot be written to.
    """

    def __init__(self, folder: Path, name: str, recipe: Mapping[str, Any], history: History) -> None:
        require("tensorboard", extra="tensorboard", purpose="a log for TensorBoard (--tensorboard)")
        from torch.utils.tensorboard import SummaryWriter

        self._place, self._history = folder / name, history
        with self._told():
            known = len(history.loss) + 1 if history.loss else 0
            self._writer: Any = SummaryWriter(str(self._place), purge_step=known)
        if not history.loss:
            self._writer.add_text("hyperparameters", _table(recipe), 0)

    def epoch_done(self, validations: int) -> None:
        """Log the epoch that the history has taken in last.

        Args:
            validations: How many of the validations within epochs belong to earlier ones.
        """
        h, add = self._history, self._writer.add_scalar
        first = len(h.loss) - h.epoch_steps
        with self._told():
            for step in range(first, len(h.loss)):
                add("loss/step", h.loss[step], step + 1)
                add("learning_rate", h.learning_rate[step], step + 1)
            end = len(h.loss)
            add("loss/train", h.mean_loss, end)
            add("loss/validation", h.val_loss[-1], end)
            add("accuracy/train", h.train_accuracy[-1], end)
            add("accuracy/validation", h.val_accuracy[-1], end)
            for step, loss, accuracy in h.val_steps[validations:]:
                add("loss/validation_step", loss, step)
                add("accuracy/validation_step", accuracy, step)
            self._writer.flush()

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


def _table(recipe: Mapping[str, Any]) -> str:
    rows = [f"| {key} | {value} |" for key, value in recipe.items()]
    return "\n".join(["| setting | value |", "| --- | --- |", *rows])
