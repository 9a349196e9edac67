"""What a run tells while it trains."""

from __future__ import annotations

import time
from collections.abc import Callable

from landscape.progress import Progress, Report
from landscape.training.history import History


def step_teller(report: Report, history: History, *, name: str, steps: int, epochs: int) -> Callable[[int], None]:
    """Make what reports a step.

    Args:
        report: Told of every step, with the mean loss of the last finished epoch.
        history: The finished epochs.
        name: Name of the run.
        steps: Steps of an epoch.
        epochs: Epochs of the run.

    Returns:
        A function of the number of steps made within the present epoch.
    """
    started, first = time.perf_counter(), history.epochs * steps
    details: dict[int, str] = {}  # by finished epochs: made once an epoch, not at each step

    def tell(step: int) -> None:
        done = history.epochs * steps + step
        pace = (time.perf_counter() - started) / (done - first)
        if history.epochs not in details:
            details[history.epochs] = name + (f", loss {history.mean_loss:.3f}" if history.epochs else "")
        report(Progress(done, epochs * steps, "step", (epochs * steps - done) * pace, details[history.epochs]))

    return tell
