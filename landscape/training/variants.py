"""Every variant x learning rate x seed, and the runs as one labelled array."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from landscape import devices, engines
from landscape.errors import UsageError
from landscape.progress import Report, silent
from landscape.records import Run, VariantBands
from landscape.records.base import FloatArray
from landscape.storage import load, load_checkpoint, save_checkpoint
from landscape.training.config import TrainConfig, VariantsConfig
from landscape.training.data import TrainingData
from landscape.training.fit import check_batch
from landscape.training.fused import groups, train_together
from landscape.training.ledger import Ledger, listening
from landscape.training.trainer import Trainer

_PER_RUN = ("model", "model_options", "learning_rate", "seed", "steps_per_epoch")


def train_variants(config: VariantsConfig, *, progress: Report | None = None) -> list[Run]:
    """Train all runs of a comparison; finished ones are read, unfinished ones continued.

    Args:
        config: Variants, learning rates, seeds and the settings that they share.
        progress: Called with a ``Progress`` over the steps of all runs; first with an estimate of the whole.

    Returns:
        One record per run, in the order of ``config.runs()``.
    """
    engine, runs = engines.get(config.engine), config.runs()
    data = TrainingData.of(config.shared)
    for c in runs:
        if c.run_path is not None and c.run_path.exists():
            Trainer(c, data, silent).stored()  # a run of other settings is refused before any is trained
    together = _together(config, runs, data)
    inside = isinstance(engine, engines.SerialEngine)
    threads = None if inside else max(1, engines.usable_cores() // engine.workers)
    with devices.threads(threads):
        ledger = _ledger(runs, data, progress or silent, workers=min(engine.workers, len(together)))
    ledger.estimate()
    found: dict[int, Run] = {}
    with listening(ledger, inside=inside) as reporter:
        task = _Training(data, runs, config.fuse, threads, reporter)
        for group, records in engine.run(task, together):
            for number, record in zip(group, records, strict=True):
                found[number] = record
                ledger.tell(number, ledger.whole[number], runs[number].name)  # perhaps ended early, or finished before
    return [found[number] for number in range(len(runs))]


def _together(config: VariantsConfig, runs: Sequence[TrainConfig], data: TrainingData) -> list[tuple[int, ...]]:
    """The runs that are trained at once: an item for an engine each."""
    fusing = config.fuse == "on" or (config.fuse == "auto" and devices.resolve(config.shared.device).type == "cuda")
    return [tuple(group) for group in groups(runs, data)] if fusing else [(number,) for number in range(len(runs))]


def _ledger(runs: Sequence[TrainConfig], data: TrainingData, report: Report, *, workers: int) -> Ledger:
    steps = {c.model: Trainer(replace(c, out=None), data, silent).steps_per_epoch for c in runs}
    whole = [c.epochs * steps[c.model] for c in runs]
    left = [_epochs_left(c) * steps[c.model] for c in runs]
    unfinished = {c.model: c for c, n in zip(runs, left, strict=True) if n}
    pace = {model: seconds_per_step(c, data) for model, c in unfinished.items()}
    done = [a - b for a, b in zip(whole, left, strict=True)]
    return Ledger(report, whole, done, [pace.get(c.model, 0.0) for c in runs], workers)


@dataclass(frozen=True, eq=False)
class _Training:
    """What an engine runs: groups of numbered configurations to records, on images that are loaded once."""

    data: TrainingData
    runs: Sequence[TrainConfig]
    fuse: str
    threads: int | None
    reporter: Callable[[int], Report]

    @contextmanager
    def open(self) -> Iterator[Callable[[tuple[int, ...]], list[Run]]]:
        def work(group: tuple[int, ...]) -> list[Run]:
            configs, reports = [self.runs[n] for n in group], [self.reporter(n) for n in group]
            return train_together(configs, data=self.data, fuse=self.fuse, reports=reports)

        with devices.threads(self.threads):
            yield work


def _epochs_left(config: TrainConfig) -> int:
    """Epochs that a run still has to train, as far as its record says; ``train`` compares the settings."""
    if config.run_path is None or not config.run_path.exists():
        return config.epochs
    run = load(config.run_path)
    if not isinstance(run, Run) or run.provenance.get("ended_early"):
        return 0
    return max(config.epochs - len(run.epoch), 0)


def seconds_per_step(config: TrainConfig, data: TrainingData, *, steps: int = 2) -> float:
    """Time training steps on a throw-away network.

    Args:
        config: Settings of the run.
        data: The images.
        steps: Steps to time, after one that is not counted.

    Returns:
        Seconds of a step.

    Raises:
        UsageError: The network cannot be trained on single images.
    """
    trainer = Trainer(replace(config, out=None), data, silent)
    check_batch(trainer.model, data.train, config.batch_size)
    rows = torch.arange(min(config.batch_size, len(data.train)), device=trainer.device)
    trainer.model.train()
    started = 0.0
    with trainer.prepared(), torch.random.fork_rng(devices=[trainer.device] if trainer.device.type == "cuda" else []):
        for step in range(steps + 1):
            if step == 1:
                started = time.perf_counter()
            float(trainer.step(rows)[0])  # waits for the device
    return (time.perf_counter() - started) / steps


def collect(config: VariantsConfig, runs: Sequence[Run]) -> VariantBands:
    """Lay the runs of a comparison into labelled arrays.

    Args:
        config: What was trained.
        runs: Its runs, in the order of ``config.runs()``.

    Returns:
        Arrays over variant, seed, learning rate and step or epoch; a run that ended early is NaN from there on.

    Raises:
        UsageError: Number of runs and configuration do not fit.
    """
    rates = sorted(config.learning_rates)
    shape = (len(config.variants), len(config.seeds), len(rates))
    if len(runs) != int(np.prod(shape)):
        raise UsageError(f"{len(runs)} runs do not fill {shape[0]} variants x {shape[1]} seeds x {shape[2]} rates")
    epochs = config.shared.epochs
    steps = epochs * max(int(run.recipe["steps_per_epoch"]) for run in runs)
    shared = {k: v for k, v in runs[0].recipe.items() if k not in (*_PER_RUN, "data")}
    images = {"data_seed" if k == "seed" else k: v for k, v in runs[0].recipe.get("data", {}).items()}
    options = {run.recipe["model"]: run.recipe["model_options"] for run in runs}
    return VariantBands(
        np.array(config.variants),
        np.array(config.seeds),
        np.array(rates),
        np.arange(steps),
        np.arange(1, epochs + 1),
        np.stack([_padded(run.loss, steps) for run in runs]).reshape(*shape, steps),
        np.stack([_padded(run.val_loss, epochs) for run in runs]).reshape(*shape, epochs),
        np.stack([_padded(run.val_accuracy, epochs) for run in runs]).reshape(*shape, epochs),
        np.array([run.collapsed for run in runs]).reshape(shape),
        np.array([run.diverged for run in runs]).reshape(shape),
        recipe=shared | images | {"model_options": options, "steps_per_epoch": runs[0].recipe["steps_per_epoch"]},
        environment=dict(runs[0].environment),
    )


def _padded(values: FloatArray, length: int) -> FloatArray:
    return np.concatenate([values, np.full(length - len(values), np.nan)])


def keep_best(config: VariantsConfig, runs: Sequence[Run]) -> list[Path]:
    """Copy, for every variant, the checkpoint with the highest validation accuracy over learning rates and seeds.

    Args:
        config: What was trained.
        runs: Its runs, in the order of ``config.runs()``.

    Returns:
        The files ``<variant>.pth``; none without an output folder.
    """
    written = []
    for variant in config.variants:
        found = [(run, c) for run, c in zip(runs, config.runs(), strict=True) if c.model == variant]
        _, best = max(found, key=lambda pair: float(np.nanmax([-1.0, pair[0].best_accuracy])))
        source = best.checkpoint_path("best")
        if config.shared.out is None or source is None or not source.exists():
            continue
        checkpoint = load_checkpoint(source, best.model)
        target = config.shared.out / f"{variant.replace(':', '.')}.pth"
        save_checkpoint(
            target,
            checkpoint.state_dict,
            model_name=checkpoint.model_name,
            model_options=checkpoint.model_options,
            meta=checkpoint.meta,
        )
        written.append(target)
    return written
