"""What a run puts on disk: its record, the best network, and the last one with all that a continued run needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from landscape import devices, models
from landscape.environment import environment
from landscape.records import Measurement, Run
from landscape.storage import save, save_checkpoint

if TYPE_CHECKING:
    from landscape.training.trainer import Trainer


def record_of(run: Trainer) -> Run:
    """Make the record of a run so far."""
    h, c = run.history, run.config
    early = run.stopped and h.epochs < c.epochs
    provenance = {"name": c.name, "ended_early": h.ended or early, "best_epoch": h.best_epoch}
    if c.early_stop is not None:
        provenance["stopped_by_validation_loss"] = early
    provenance |= {"method": run.method, "together": list(run.company)}
    return h.run(recipe=run.recipe, environment=environment(devices.describe(run.device)), provenance=provenance)


def write_record(run: Trainer) -> None:
    """Write the record, where records are kept."""
    if run.config.run_path is not None:
        save(record_of(run), run.config.run_path)


def write_checkpoints(run: Trainer, *, best: bool) -> None:
    """Write the best first, then the last, which a run is continued from: an epoch counts once that is on disk.

    Args:
        run: A run at the end of an epoch.
        best: Whether its network is the best so far.
    """
    if run.config.out is None:
        return
    h = run.history
    value = Measurement(h.val_loss[-1], math.nan, h.val_accuracy[-1], len(run.data.validation))
    if best:
        write_checkpoint(run, "best", len(h.loss), value)
    state: dict[str, Any] = {"history": h.state(), "threads": run.threads}
    state |= {"method": run.method, "company": list(run.company)}
    if not run.finished:
        state["optimizer"] = run.optimizer.state_dict()
        if (schedule := run.scheduler.state()) is not None:
            state["scheduler"] = schedule
    write_checkpoint(run, "last", len(h.loss), value, state)


def write_checkpoint(
    run: Trainer, which: str, step: int, value: Measurement, training: dict[str, Any] | None = None
) -> None:
    """Write a checkpoint, where checkpoints are kept.

    Args:
        run: The run.
        which: ``best`` or ``last``.
        step: Optimiser updates made.
        value: Loss and accuracy on the validation part.
        training: What a continued run needs.
    """
    c, path = run.config, run.config.checkpoint_path(which)
    if path is None:
        return
    meta = {
        "data": run.data.train.describe(),
        "kept": "highest validation accuracy" if which == "best" else "last epoch",
        "epoch": run.history.epochs,
        "step": step,
        "val_loss": value.loss,
        "val_accuracy": value.accuracy,
        "run": c.name,
        "recipe": run.recipe,
    }
    options = models.lasting(c.model, run.options)
    save_checkpoint(path, run.model, model_name=c.model, model_options=options, meta=meta, training=training)
