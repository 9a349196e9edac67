"""``landscape smoothness``: networks trained and probed on the way, a page with the paper's panels, a picture."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn

from landscape import figures, models
from landscape.errors import UsageError
from landscape.progress import Progress, Report, silent
from landscape.records import Run, SmoothnessTrace
from landscape.smoothness import line_search_probe, probe_training
from landscape.smoothness.covariate_shift import layers_there
from landscape.storage import load, save
from landscape.tasks.places import check_writable
from landscape.training import TrainConfig, TrainingData, VariantsConfig
from landscape.training.trainer import Trainer
from landscape.training.variants import seconds_per_step

STEPS, INIT = 15_000, "xavier"  # the paper's training


@dataclass(frozen=True)
class SmoothnessConfig:
    """Every network x seed, trained with settings in common and probed on the way.

    Args:
        models: Names of the networks.
        seeds: Seeds; each gives a trace of every network.
        shared: All other settings of the runs. Model and seed are replaced; so are the epochs where ``steps`` is given.
        steps: Training steps, rounded up to whole epochs; None for the epochs of ``shared``.
        every: Steps from one probe to the next.
        multiples: Step sizes as multiples of the learning rate.
        step_sizes: The step sizes themselves, in place of ``multiples``.
        layers: Layers whose internal covariate shift is measured: positions from 1, or names of modules.
        fewer_layers: Whether positions that a network does not have are left out: nobody asked for these.

    Raises:
        UsageError: A list is empty or names something twice, or a number is out of range.
    """

    models: tuple[str, ...] = ("vgg", "vgg_bn")
    seeds: tuple[int, ...] = (0,)
    shared: TrainConfig = field(
        default_factory=lambda: TrainConfig(learning_rate=0.1, optimizer="sgd", weight_decay=0.0)
    )
    steps: int | None = STEPS
    every: int = 100
    multiples: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    step_sizes: tuple[float, ...] | None = None
    layers: tuple[int | str, ...] = ()
    fewer_layers: bool = False

    def __post_init__(self) -> None:
        """Check what no run checks."""
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"training takes at least one step; got steps={self.steps}")
        if self.every < 1:
            raise UsageError(f"probes are at least one step apart; got every={self.every}")
        self._variants()

    @property
    def etas(self) -> tuple[float, ...]:
        """The step sizes of the probes."""
        rate = self.shared.learning_rate
        return tuple(m * rate for m in self.multiples) if self.step_sizes is None else self.step_sizes

    def _variants(self) -> VariantsConfig:
        rates = (self.shared.learning_rate,)
        return VariantsConfig(variants=self.models, learning_rates=rates, seeds=self.seeds, shared=self.shared)

    def runs(self, data: TrainingData) -> list[TrainConfig]:
        """List the runs, network by network, then seed by seed.

        Args:
            data: The images: they say how many steps an epoch has.

        Returns:
            One configuration per run.
        """
        runs = [_initialised(run) for run in self._variants().runs()]
        if self.steps is None:
            return runs
        each = _steps_per_epoch(runs, data)
        return [replace(run, epochs=math.ceil(self.steps / each[run.model])) for run in runs]


def _steps_per_epoch(runs: Sequence[TrainConfig], data: TrainingData) -> dict[str, int]:
    return {run.model: Trainer(replace(run, out=None), data, silent).steps_per_epoch for run in runs}


def _initialised(run: TrainConfig) -> TrainConfig:
    """Initialise as the paper does where nothing else was asked for and the network takes the option."""
    asked = "init" in run.model_options or "init" not in models.family(run.model).options
    return run if asked else replace(run, model_options={**run.model_options, "init": INIT})


@dataclass(frozen=True)
class WrittenSmoothness:
    """What the task left behind.

    Args:
        runs: One record per network and seed.
        traces: What was probed along each.
        files: Files of the traces.
        page: ``smoothness.html``.
        image: ``smoothness.png``.
    """

    runs: tuple[Run, ...]
    traces: tuple[SmoothnessTrace, ...]
    files: tuple[Path, ...]
    page: Path
    image: Path


def smoothness_from_training(
    config: SmoothnessConfig,
    *,
    command: str = "",
    standalone: bool = False,
    progress: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> WrittenSmoothness:
    """Train and probe what is not there yet, and draw the traces.

    Args:
        config: Networks, seeds, probes and the settings that the runs share, among them the output folder.
        command: What the user typed, to be shown on the page.
        standalone: Whether the page carries plotly's script.
        progress: Called with a ``Progress`` over the steps of all runs; first with an estimate of the whole.
        say: Called with a sentence where more steps are trained than were asked for, before any is.

    Returns:
        Records and files.

    Raises:
        UsageError: The configuration has no output folder, or a network lacks a layer.
        StorageError: The folder cannot be written to; that is found out before anything is trained.
        ResumeError: The folder holds a run with other settings, or one that was trained without these probes.
    """
    out = config.shared.out
    if out is None:
        raise UsageError("traces need a folder to be written to: set out= (--out)")
    for folder in (out, config.shared.tensorboard):
        if folder is not None:
            check_writable(folder)
    data = TrainingData.of(config.shared)
    runs = config.runs(data)
    layers = _layers(config, runs, data)
    if say is not None:
        for text in _rounded_up(config, runs, data):
            say(text)
    tell = _announced(config, runs, data, layers, progress or silent)
    settings = {"every": config.every, "step_sizes": config.etas, "data": data}
    records: list[tuple[Run, SmoothnessTrace, Path]] = []
    for number, run in enumerate(runs):
        record, trace = probe_training(run, layers=layers[run.model], progress=tell(number), **settings)
        tell(number)(_finished(run, record))
        path = out / "traces" / f"{run.name}.h5"
        records.append((record, signed(trace, path, command), path))
    done, traces, files = zip(*records, strict=True)
    page, image = draw_traces(traces, out / "smoothness.h5", standalone=standalone)
    return WrittenSmoothness(done, traces, files, page, image)


def _layers(
    config: SmoothnessConfig, runs: Sequence[TrainConfig], data: TrainingData
) -> dict[str, tuple[int | str, ...]]:
    """The layers of every network, looked for before anything is timed or trained."""
    if not config.layers:
        return {run.model: () for run in runs}
    found = {}
    for run in {run.model: run for run in runs}.values():
        model, *batch = _network_and_batch(run, data)
        found[run.model] = layers_there(model, *batch, layers=config.layers, fewer=config.fewer_layers, loss=run.loss)
    return found


def _network_and_batch(run: TrainConfig, data: TrainingData) -> tuple[nn.Module, Tensor, Tensor]:
    trainer = Trainer(replace(run, out=None), data, silent)
    rows = torch.arange(min(run.batch_size, len(data.train)), device=trainer.device)
    return trainer.model, *data.train.batch(rows)


def _rounded_up(config: SmoothnessConfig, runs: Sequence[TrainConfig], data: TrainingData) -> list[str]:
    each = _steps_per_epoch(runs, data) if config.steps is not None else {}
    trained = {run.epochs * each[run.model]: each[run.model] for run in runs if run.model in each}
    return [
        f"{config.steps:,} steps are rounded up to {steps:,}: whole epochs of {epoch:,} steps."
        for steps, epoch in trained.items()
        if steps != config.steps
    ]


def _finished(run: TrainConfig, record: Run) -> Progress:
    total = run.epochs * int(record.recipe["steps_per_epoch"])
    return Progress(total, total, "step", 0.0, run.name)


def signed(trace: SmoothnessTrace, path: Path, command: str) -> SmoothnessTrace:
    """Add to a finished trace what made it; one that says so already keeps that.

    Args:
        trace: The trace.
        path: Its file.
        command: What the user typed.

    Returns:
        The trace with command and time, as the file holds it now.
    """
    stored = load(path)
    if isinstance(stored, SmoothnessTrace) and "created" in stored.provenance:
        return stored
    created = datetime.now(UTC).isoformat(timespec="seconds")
    signed = replace(trace, provenance={**trace.provenance, "command": command, "created": created})
    save(signed, path)
    return signed


def _announced(
    config: SmoothnessConfig,
    runs: Sequence[TrainConfig],
    data: TrainingData,
    layers: Mapping[str, Sequence[int | str]],
    report: Report,
) -> Callable[[int], Report]:
    """Time a few steps and a probe of every network, say what is ahead, and return what reports each run's steps."""
    trainers = [Trainer(run, data, silent) for run in runs]
    whole = [run.epochs * trainer.steps_per_epoch for run, trainer in zip(runs, trainers, strict=True)]
    left = [_steps_left(trainer, steps) for trainer, steps in zip(trainers, whole, strict=True)]
    unfinished = {run.model: run for run, steps in zip(runs, left, strict=True) if steps}
    pace = {model: _pace(config, run, data, len(layers[model])) for model, run in unfinished.items()}
    ahead = [steps * pace.get(run.model, 0.0) for run, steps in zip(runs, left, strict=True)]
    told = sum(whole) - sum(left)
    report(Progress(told, sum(whole), "step", sum(ahead), "timed a few steps", estimate=True))

    def teller(number: int) -> Report:
        before = sum(whole) - whole[number] - sum(left[number + 1 :])

        def tell(p: Progress) -> None:
            nonlocal told
            later = sum(ahead[number + 1 :])
            if before + p.done > told:  # a run that ended early, or was there, is told once
                told = before + p.done
                report(Progress(told, sum(whole), "step", p.seconds_left + later, p.detail))

        return tell

    return teller


def _steps_left(trainer: Trainer, whole: int) -> int:
    stored = trainer.stored()  # a run of other settings is refused here, before any is trained
    if stored is None:
        return whole
    return 0 if trainer.is_finished(stored) else whole - len(stored.step)


def _pace(config: SmoothnessConfig, run: TrainConfig, data: TrainingData, layers: int) -> float:
    """Seconds of a step, with its share of a probe."""
    step = seconds_per_step(run, data)
    model, inputs, targets = _network_and_batch(run, data)
    started = time.perf_counter()
    line_search_probe(model, inputs, targets, step_sizes=config.etas, loss=run.loss, precision=run.precision)
    gradient = (time.perf_counter() - started) / (1 + len(config.etas))
    shift = (1 + layers) * gradient if layers else 0.0  # once at the old weights, once a layer
    return step + ((1 + len(config.etas)) * gradient + shift) / config.every


def draw_traces(traces: Sequence[SmoothnessTrace], out: Path, *, standalone: bool = False) -> tuple[Path, Path]:
    """Write the page and the picture of traces.

    Args:
        traces: The records.
        out: Page and picture are written under its name, with endings of their own.
        standalone: Whether the page carries plotly's script.

    Returns:
        Page and picture.
    """
    section = figures.smoothness_section(traces)
    page = figures.write_page(out.with_suffix(".html"), section, title=section.title, standalone=standalone)
    return page, figures.write_smoothness_png(out.with_suffix(".png"), traces)
