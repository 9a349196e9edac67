"""Every setting x seed of a sweep: trained by an engine, one failure harming no other; all as one labelled array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape import devices, engines
from landscape.datasets.options import DataOptions
from landscape.errors import LandscapeError, StorageError
from landscape.progress import Report, silent
from landscape.records import Run, Sweep
from landscape.records.base import BoolArray
from landscape.training.changes import value_in
from landscape.training.config import TrainConfig
from landscape.training.data import TrainingData
from landscape.training.fit import check_batch, check_fit
from landscape.training.ledger import Ledger, listening
from landscape.training.schedules import check_schedule
from landscape.training.sweep_config import SweepConfig
from landscape.training.tensorboard import log_finished
from landscape.training.trainer import Trainer, train
from landscape.training.variants import seconds_per_step

_NUMBERS = ("val_accuracy", "last_accuracy", "val_loss", "train_loss", "train_accuracy", "epochs")
_Images = tuple[DataOptions, float]


@dataclass(frozen=True)
class Failure:
    """A run that ended with an error.

    Args:
        reason: The error in one paragraph.
    """

    reason: str


def train_sweep(config: SweepConfig, *, progress: Report | None = None) -> list[Run | Failure | None]:
    """Train all runs of a sweep; finished ones are read, unfinished ones continued, failed ones begun again.

    A run that ends with an error becomes a ``Failure`` and the others go on. What would stop all of them is raised: a
    disk that is full, images that are missing, a network that cannot take its images, Ctrl-C. A run that diverged is a
    finished one, which is flagged: it would diverge again.

    Args:
        config: What to train.
        progress: Called with a ``Progress`` over the steps of this part's runs; first with an estimate.

    Returns:
        In the order of ``config.runs()``; None for a run of another part that is not finished.

    Raises:
        ResumeError: The folder holds a run with other settings; nothing was trained.
        LandscapeError: A setting cannot be trained at all; nothing was trained.
    """
    engine, runs = engines.get(config.engine), config.runs()
    data = {_images(c): TrainingData.of(c) for c in {_images(c): c for c in runs}.values()}
    inside = isinstance(engine, engines.SerialEngine)
    threads = None if inside else max(1, engines.usable_cores() // engine.workers)
    with devices.threads(threads):
        plans = _plans(config, runs, data)
        mine = [plans[number] for number in config.mine()]
        ledger = _ledger(mine, data, progress or silent, workers=engine.workers)
    for plan in mine:
        if plan.stored is not None:
            log_finished(plan.config, plan.stored)
    ledger.estimate()
    results: list[Run | Failure | None] = [plan.stored for plan in plans]
    with listening(ledger, inside=inside) as reporter:
        items = ((place, plan.config) for place, plan in enumerate(mine) if plan.stored is None)
        for (place, _), result in engine.run(_Training(data, threads, reporter), items):
            number = config.mine()[place]
            results[number] = result
            ledger.tell(place, mine[place].total, config.label(number))  # perhaps it ended early, or failed
    return results


def _images(config: TrainConfig) -> _Images:
    """What decides the images of a run; runs that agree in it share them."""
    return config.data, config.validation


@dataclass(frozen=True)
class _Plan:
    """What a run is to cost: epochs and steps left, and its finished record where there is one."""

    config: TrainConfig
    steps_per_epoch: int
    stored: Run | None
    epochs_left: int

    @property
    def total(self) -> int:
        return self.config.epochs * self.steps_per_epoch

    @property
    def left(self) -> int:
        return self.epochs_left * self.steps_per_epoch


def _plans(config: SweepConfig, runs: Sequence[TrainConfig], data: Mapping[_Images, TrainingData]) -> list[_Plan]:
    """Look at every run, and once at every network on its images."""
    networks: dict[str, Any] = {}
    plans = []
    for number, c in enumerate(runs):
        images = data[_images(c)]
        key = repr((c.model, c.model_options, _images(c), c.loss, c.batch_size == 1))
        try:
            if key not in networks:
                trainer = Trainer(c, images, silent)
                check_fit(trainer.model, images.train, trainer.per_example)
                check_batch(trainer.model, images.train, c.batch_size)
                networks[key] = trainer.model.to("meta")  # only its layers are asked for: no memory for its weights
            steps = images.steps(c, networks[key])
            check_schedule(c.scheduler, c.scheduler_options, c.learning_rate, steps=steps, epochs=c.epochs)
            plans.append(_plan(c, images, steps))
        except StorageError:
            raise
        except LandscapeError as error:
            raise type(error)(f"{config.label(number)}: {error}") from error
    return plans


def _plan(config: TrainConfig, images: TrainingData, steps: int) -> _Plan:
    if config.run_path is None or not config.run_path.exists():
        return _Plan(config, steps, None, config.epochs)
    trainer = Trainer(config, images, silent)
    run = trainer.stored()
    if run is None or not trainer.is_finished(run):
        return _Plan(config, steps, None, config.epochs - (0 if run is None else len(run.epoch)))
    return _Plan(config, steps, run, 0)


def _ledger(plans: Sequence[_Plan], data: Mapping[_Images, TrainingData], report: Report, *, workers: int) -> Ledger:
    """Time a few steps of every kind of run that is not finished."""
    paces: dict[str, float] = {}
    costs = []
    for plan in plans:
        c = plan.config
        key = repr((c.model, c.model_options, c.batch_size, c.augment, c.precision, _images(c)))
        if plan.left and key not in paces:
            paces[key] = _pace(c, data[_images(c)])
        costs.append(paces.get(key, 0.0))
    left = sum(plan.left > 0 for plan in plans)
    whole, done = [plan.total for plan in plans], [plan.total - plan.left for plan in plans]
    return Ledger(report, whole, done, costs, max(1, min(workers, left)))


def _pace(config: TrainConfig, data: TrainingData) -> float:
    try:
        return seconds_per_step(config, data)
    except Exception:  # it will fail again when its turn comes, and is recorded then
        return 0.0


@dataclass(frozen=True, eq=False)
class _Training:
    """What an engine runs: numbered configurations to records, on images that are loaded once."""

    data: Mapping[_Images, TrainingData]
    threads: int | None
    reporter: Callable[[int], Report]

    @contextmanager
    def open(self) -> Iterator[Callable[[tuple[int, TrainConfig]], Run | Failure]]:
        with devices.threads(self.threads):
            yield self._work

    def _work(self, item: tuple[int, TrainConfig]) -> Run | Failure:
        place, config = item
        try:
            return train(config, progress=self.reporter(place), data=self.data[_images(config)])
        except StorageError:  # the disk is full, or not to be written to: it is so for all
            raise
        except Exception as error:
            said = str(error) if isinstance(error, LandscapeError) else f"{type(error).__name__}: {error}"
            return Failure(" ".join(said.split()))

    def lost(self, item: tuple[int, TrainConfig], error: engines.EngineError) -> Failure:
        """A worker that died over a run, as when memory runs out, leaves the other runs alone."""
        return Failure(str(error))


def collect_sweep(config: SweepConfig, results: Sequence[Run | Failure | None]) -> Sweep:
    """Lay the runs of a sweep into labelled arrays.

    Args:
        config: What was trained.
        results: What ``train_sweep`` returned.

    Returns:
        Arrays over setting and seed. A run that failed or is not done is NaN.
    """
    shape = (len(config.settings), len(config.seeds))
    values = np.array([_numbers(result) for result in results]).reshape(*shape, -1)
    runs = [result for result in results if isinstance(result, Run)]

    def flags(kind: Callable[[Any], bool]) -> BoolArray:
        return np.array([kind(result) for result in results]).reshape(shape)

    one = {s.name: config.runs()[i * len(config.seeds)] for i, s in enumerate(config.settings)}
    arrays: dict[str, Any] = {name: values[..., k] for k, name in enumerate(_NUMBERS)}
    return Sweep(
        np.array(list(one)),
        np.array(config.seeds),
        **arrays,
        collapsed=flags(lambda r: isinstance(r, Run) and r.collapsed),
        diverged=flags(lambda r: isinstance(r, Run) and r.diverged),
        failed=flags(lambda r: isinstance(r, Failure)),
        done=flags(lambda r: isinstance(r, Run)),
        settings={name: {key: _plain(value_in(c, key)) for key in config.keys} for name, c in one.items()},
        reasons={config.label(i): r.reason for i, r in enumerate(results) if isinstance(r, Failure)},
        recipe=_shared(runs) | {"baseline": config.baseline_name, "keys": list(config.keys)},
        environment=dict(runs[0].environment) if runs else {},
    )


def _numbers(result: Run | Failure | None) -> list[float]:
    if not isinstance(result, Run) or not len(result.epoch):
        return [np.nan] * 5 + [0]  # no epochs
    steps = int(result.recipe["steps_per_epoch"])
    last = len(result.epoch) * steps
    train_loss = float(result.loss[last - steps : last].mean())
    final = (result.val_accuracy[-1], result.val_loss[-1], train_loss, result.train_accuracy[-1], len(result.epoch))
    return [result.best_accuracy, *(float(value) for value in final)]


def _shared(runs: Sequence[Run]) -> dict[str, Any]:
    """What the recipes of all runs agree in."""
    if not runs:
        return {}
    first = dict(runs[0].recipe)
    return {k: v for k, v in first.items() if k != "seed" and all(run.recipe.get(k) == v for run in runs)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
