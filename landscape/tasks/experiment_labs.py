"""Steps of an experiment that train classifiers: ``train``, one network, and ``sweep``, settings side by side.

A step whose ``requires`` names a file that is not there is not run, and says so: weights that nobody may fetch for the
reader. The file is looked for in the working directory and then in the folder of the images.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from landscape import figures
from landscape.datasets.options import DataOptions
from landscape.figures.data_sweep import Spread, sweep_rows
from landscape.figures.data_training import best, epoch_losses
from landscape.records import Run, Sweep
from landscape.storage import load_checkpoint
from landscape.tasks.experiment_steps import KINDS, Bench, Kind, Number, Outcome
from landscape.tasks.settings import Key, check_keys, known_keys, made
from landscape.tasks.sweep import SWEEP_KEYS, sweep_config, sweep_settings
from landscape.tasks.train import train_network
from landscape.training import TrainConfig, evaluate

_DATA = known_keys(DataOptions, without=("seed", "download", "root"))
_RUN = known_keys(TrainConfig, without=("data", "device", "out", "tensorboard"))
_OWN = (Key("requires", str), Key("log", bool))
_TRAIN = (*_RUN, *_DATA, Key("test_limit", int), *_OWN)
_SWEEP = (*(k for k in SWEEP_KEYS if k not in {"tensorboard", "root", "download"}), *_OWN)


def missing_file(settings: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Look for the file that a step requires, and put its place where the settings name it.

    Args:
        settings: Settings of a step, with ``requires`` or without.

    Returns:
        The settings without ``requires`` and ``log``, and why the step cannot be run: empty where it can.
    """
    plain = {k: v for k, v in settings.items() if k not in _OWN}
    name = settings.get("requires")
    if not name:
        return plain, ""
    root = Path(settings.get("root") or os.environ.get("LANDSCAPE_DATA") or "data")
    found = next((path for path in (Path(name), root / name) if path.is_file()), None)
    if found is None:
        return plain, f"not run: it needs the file {name}, which is neither here nor in the folder of the images"
    return _replaced(plain, name, str(found)), ""


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, Mapping):
        return {k: _replaced(v, old, new) for k, v in value.items()}
    return new if value == old else value


def _logs(settings: Mapping[str, Any], bench: Bench) -> dict[str, Any]:
    return {"tensorboard": bench.folder / "tensorboard"} if settings.get("log") else {}


def _train(settings: Mapping[str, Any], bench: Bench) -> Outcome:
    own, missing = missing_file(settings)
    if missing:
        return Outcome({}, (), missing=missing)
    logs = _logs(settings, bench)
    data = made(DataOptions, {k: v for k, v in own.items() if k != "seed"})
    config = made(TrainConfig, own, data=data, device=bench.device, out=bench.folder, **logs)
    written = train_network(config, command=bench.command, progress=bench.report)
    numbers = run_numbers(written.run)
    if "test_limit" in own:
        images = made(DataOptions, {**own, "limit": own["test_limit"], "seed": 0}).load("test")
        best_file = config.checkpoint_path("best")
        assert best_file is not None
        model = load_checkpoint(best_file, config.model).build()
        found = evaluate(model, images, loss=config.loss)
        numbers |= {"test": Number(found.accuracy), "test_loss": Number(found.loss, found.loss_sem, found.examples)}
    files = (written.file, written.image)
    said = figures.training_summary(written.run)
    return Outcome(numbers, files, written.page, said, environment=written.run.environment)


def run_numbers(run: Run) -> dict[str, Number]:
    """Name the numbers of a run.

    Args:
        run: The run.

    Returns:
        ``best`` and ``last`` validation accuracy, ``val_loss`` and ``train_loss`` of the last epoch, ``epochs``, and
        ``kept`` (epochs before the best network was kept).
    """
    found, losses = best(run), epoch_losses(run)
    return {
        "best": Number(run.best_accuracy),
        "last": Number(float(run.val_accuracy[-1])),
        "val_loss": Number(float(run.val_loss[-1])),
        "train_loss": Number(float(losses[-1])),
        "epochs": Number(float(len(run.epoch))),
        "kept": Number(found.place if found else float("nan")),
    }


def _check_train(settings: Mapping[str, Any]) -> None:
    own = {k: v for k, v in settings.items() if k not in _OWN}
    made(TrainConfig, own, data=made(DataOptions, {k: v for k, v in own.items() if k != "seed"}))


def _sweep(settings: Mapping[str, Any], bench: Bench) -> Outcome:
    own, missing = missing_file(settings)
    if missing:
        return Outcome({}, (), missing=missing)
    own |= _logs(settings, bench)
    config = sweep_config(own, where="sweep", out=bench.folder, device=bench.device)
    written = sweep_settings(config, command=bench.command, progress=bench.report)
    sweep = written.sweep
    return Outcome(
        sweep_numbers(sweep),
        (written.file, written.image),
        written.page,
        figures.sweep_summary(sweep),
        environment=sweep.environment,
        tables=(figures.sweep_table(sweep),),
    )


def sweep_numbers(sweep: Sweep) -> dict[str, Number]:
    """Name the numbers of a sweep.

    Args:
        sweep: The record.

    Returns:
        By setting ``accuracy.NAME`` (highest validation accuracy), ``last.NAME``, ``val_loss.NAME``,
        ``train_loss.NAME``, ``epochs.NAME``, ``flagged.NAME`` (collapsed, diverged or failed runs), and
        ``difference.NAME`` (accuracy to that of the baseline, seed by seed); ``best``, the accuracy of the best.
    """
    rows, names = sweep_rows(sweep), [str(name) for name in sweep.setting]
    flags = sweep.collapsed | sweep.diverged | sweep.failed
    found = {"best": _number(rows[0].accuracy)}
    for row in sorted(rows, key=lambda row: names.index(row.name)):
        found[f"accuracy.{row.name}"] = _number(row.accuracy)
        if sweep.baseline and not row.baseline:
            found[f"difference.{row.name}"] = _number(row.difference)
        found[f"last.{row.name}"] = _number(row.last_accuracy)
        found[f"val_loss.{row.name}"] = _number(row.val_loss)
        found[f"train_loss.{row.name}"] = _number(row.train_loss)
        found[f"epochs.{row.name}"] = _number(row.epochs)
        flagged = flags[names.index(row.name)]
        found[f"flagged.{row.name}"] = Number(float(np.sum(flagged)), count=flagged.size)
    return found


def _number(spread: Spread) -> Number:
    return Number(spread.mean, spread.sd, spread.count, spread.values)


def _check_sweep(settings: Mapping[str, Any]) -> None:
    own = {k: v for k, v in settings.items() if k not in _OWN}
    check_keys("sweep", own, SWEEP_KEYS)
    sweep_config(own, where="sweep", out=Path("nowhere"))


KINDS.add("train", Kind(_train, _TRAIN, _check_train))
KINDS.add("sweep", Kind(_sweep, _SWEEP, _check_sweep))
