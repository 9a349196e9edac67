"""``landscape train``: one network trained, its checkpoints, and a page and a picture of its curves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from landscape import figures
from landscape.errors import StorageError, UsageError
from landscape.progress import Progress, Report, silent
from landscape.records import Run
from landscape.tasks.places import check_writable
from landscape.training import TrainConfig, TrainingData, train
from landscape.training.fit import check_batch, check_fit
from landscape.training.trainer import Trainer
from landscape.training.variants import seconds_per_step


@dataclass(frozen=True)
class WrittenRun:
    """What the task left behind.

    Args:
        run: The record.
        file: ``runs/<run>.h5``.
        page: ``<run>.html``.
        image: ``<run>.png``.
        checkpoints: ``checkpoints/<run>-best.pth``, where a validation accuracy was finite, and ``<run>-last.pth``.
    """

    run: Run
    file: Path
    page: Path
    image: Path
    checkpoints: tuple[Path, ...]


def train_network(
    config: TrainConfig,
    *,
    resume: bool = True,
    command: str = "",
    standalone: bool = False,
    progress: Report | None = None,
) -> WrittenRun:
    """Train what is not trained yet, and draw the curves.

    Args:
        config: All settings, among them the output folder.
        resume: Continue, or return, the run that the folder holds; else remove that run first and begin anew.
        command: What the user typed, to be shown on the page.
        standalone: Whether the page carries plotly's script.
        progress: Called with a ``Progress`` over the steps; first with an estimate.

    Returns:
        Record and files.

    Raises:
        UsageError: The configuration has no output folder.
        StorageError: A folder cannot be written to; that is found out before anything is trained.
        ResumeError: The folder holds this run with other settings.
    """
    if config.out is None or config.run_path is None:
        raise UsageError("a run needs a folder to be written to: set out= (--out)")
    report = progress or silent
    for folder in (config.out, config.tensorboard):
        if folder is not None:
            check_writable(folder)
    data = TrainingData.of(config)
    trainer = Trainer(config, data, silent)
    check_fit(trainer.model, data.train, trainer.per_example)
    check_batch(trainer.model, data.train, config.batch_size)
    if not resume:
        _remove(config)
    finished = _announce(config, trainer, report)
    run = train(config, progress=report, data=data)
    if run.provenance.get("ended_early") and not finished:
        report(Progress(len(run.step), len(run.step), "step", 0.0, f"{config.name}, ended early"))
    shown = replace(run, provenance={**run.provenance, "command": command})
    section = figures.training_section(shown)
    stem = config.out / config.name
    page = figures.write_page(_beside(stem, "html"), section, title=section.title, standalone=standalone)
    image = figures.write_training_png(_beside(stem, "png"), shown)
    kept = [config.checkpoint_path(which) for which in ("best", "last")]
    return WrittenRun(run, config.run_path, page, image, tuple(path for path in kept if path and path.exists()))


def _beside(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}.{ending}")  # a learning rate has a dot of its own


def _announce(config: TrainConfig, trainer: Trainer, report: Report) -> bool:
    """Say what is ahead, from a few steps of a throw-away network; return whether that is nothing."""
    stored, steps = trainer.stored(), trainer.steps_per_epoch
    total = config.epochs * steps
    if stored is not None and trainer.is_finished(stored):
        report(Progress(len(stored.step), len(stored.step), "step", 0.0, config.name, estimate=True))
        return True
    done = 0 if stored is None else len(stored.step)
    pace = seconds_per_step(config, trainer.data)
    report(Progress(done, total, "step", (total - done) * pace, "timed a few steps", estimate=True))
    return False


def _remove(config: TrainConfig) -> None:
    """The last checkpoint first: without it nothing is continued, whatever else is left."""
    for path in (config.checkpoint_path("last"), config.run_path, config.checkpoint_path("best")):
        try:
            if path is not None:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot remove {path}, to begin anew: {error.strerror or error}") from error
