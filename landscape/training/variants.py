"""Every variant x learning rate x seed, one run after the other, and the runs as one labelled array."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from landscape import engines
from landscape.errors import UsageError
from landscape.progress import Progress, Report, silent
from landscape.records import Run, VariantBands
from landscape.records.base import FloatArray
from landscape.storage import load, load_checkpoint, save_checkpoint
from landscape.training.config import TrainConfig, VariantsConfig
from landscape.training.data import TrainingData
from landscape.training.trainer import Trainer, train

_PER_RUN = ("model", "model_options", "learning_rate", "seed", "steps_per_epoch")


def train_variants(config: VariantsConfig, *, progress: Report | None = None) -> list[Run]:
    """Train all runs of a comparison; finished ones are read, unfinished ones continued.

    Args:
        config: Variants, learning rates, seeds and the settings that they share.
        progress: Called with a ``Progress`` over the steps of all runs; first with an estimate of the whole.

    Returns:
        One record per run, in the order of ``config.runs()``.
    """
    report, engine = progress or silent, engines.get(config.engine)
    runs = config.runs()
    data = TrainingData.of(config.shared)
    networks = {c.model: replace(c, out=None) for c in runs}
    for c in runs:
        if c.run_path is not None and c.run_path.exists():
            Trainer(c, data, silent).stored()  # a run of other settings is refused before any is trained
    steps = {model: Trainer(c, data, silent).steps_per_epoch for model, c in networks.items()}
    whole = [c.epochs * steps[c.model] for c in runs]
    left = [_epochs_left(c) * steps[c.model] for c in runs]
    unfinished = {c.model: c for c, n in zip(runs, left, strict=True) if n}
    pace = {model: seconds_per_step(c, data) for model, c in unfinished.items()}
    ahead = [n * pace.get(c.model, 0.0) for c, n in zip(runs, left, strict=True)]
    done = sum(whole) - sum(left)
    report(Progress(done, sum(whole), "step", sum(ahead), "timed a few steps", estimate=True))

    def teller(number: int) -> Report:
        others = sum(whole) - whole[number] - sum(left[number + 1 :])
        later = sum(ahead[number + 1 :])

        def tell(p: Progress) -> None:
            nonlocal done
            done = others + p.done
            report(Progress(done, sum(whole), "step", p.seconds_left + later, p.detail))

        return tell

    results: dict[int, Run] = {}
    for (number, run), record in engine.run(_Training(data, teller), enumerate(runs)):
        results[number] = record
        if done < sum(whole) - sum(left[number + 1 :]):  # it ended early, or was finished
            teller(number)(Progress(whole[number], whole[number], "step", 0.0, run.name))
    return [results[number] for number in range(len(runs))]


@dataclass(frozen=True, eq=False)
class _Training:
    """What an engine runs: numbered configurations to records, on images that are loaded once."""

    data: TrainingData
    teller: Callable[[int], Report]

    @contextmanager
    def open(self) -> Iterator[Callable[[tuple[int, TrainConfig]], Run]]:
        def work(item: tuple[int, TrainConfig]) -> Run:
            number, run = item
            return train(run, progress=self.teller(number), data=self.data)

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
    """
    trainer = Trainer(replace(config, out=None), data, silent)
    rows = torch.arange(min(config.batch_size, len(data.train)), device=trainer.device)
    trainer.model.train()
    started = 0.0
    with torch.random.fork_rng(devices=[trainer.device] if trainer.device.type == "cuda" else []):
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
