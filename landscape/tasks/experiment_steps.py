"""What a step of an experiment can be: the tasks behind the commands, each with the numbers that it leaves.

A step is given its settings, a folder and what all steps share, and returns named numbers with the files that made
them. Numbers over several seeds or planes carry their spread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from landscape.datasets.options import DataOptions
from landscape.errors import UsageError
from landscape.figures.data import Table
from landscape.progress import Report, silent
from landscape.records import VariantBands
from landscape.registry import Registry
from landscape.smoothness import compare_bands, rate_names, spread
from landscape.surface.metrics import metrics
from landscape.tasks.data import DataChoice
from landscape.tasks.settings import Key, known_keys, made
from landscape.tasks.surface import SurfaceOptions, surface_from_checkpoint
from landscape.tasks.variants import bands_from_training
from landscape.training import TrainConfig, VariantsConfig


@dataclass(frozen=True)
class Number:
    """One number of an outcome.

    Args:
        value: The number; over several seeds or planes their mean.
        spread: Standard deviation over them; NaN for one.
        count: How many of them there are.
        values: They themselves, in the order of the seeds, where it is known; no other number is equal by them.
    """

    value: float
    spread: float = float("nan")
    count: int = 1
    values: tuple[float, ...] = field(default=(), compare=False)

    @classmethod
    def over(cls, values: Sequence[float]) -> Number:
        """Take the mean and the spread of several; what is not finite makes the mean so."""
        own = tuple(float(v) for v in values)
        return cls(*spread(list(own)), len(own), own)


@dataclass(frozen=True)
class Outcome:
    """What a step left behind.

    Args:
        numbers: Numbers by name.
        files: Records and pictures that are worth keeping.
        page: The page to open.
        said: The finding in a sentence.
        environment: Versions and device.
        tables: Tables for the page of the outcome.
        missing: Why the step was not run; empty where it was.
    """

    numbers: Mapping[str, Number]
    files: tuple[Path, ...]
    page: Path | None = None
    said: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Bench:
    """What all steps of an experiment share.

    Args:
        folder: Where the step writes.
        work: Folder of all steps: what an earlier one wrote is found there by its name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        command: What the user typed.
        report: Called with progress.
    """

    folder: Path
    work: Path
    device: str = "auto"
    command: str = ""
    report: Report = silent


@dataclass(frozen=True)
class Kind:
    """One kind of step.

    Args:
        run: Does it.
        keys: Settings that it takes.
        check: Looks at the settings when a file is read, and raises what is wrong with them; None looks at keys alone.
    """

    run: Callable[[Mapping[str, Any], Bench], Outcome]
    keys: tuple[str, ...]
    check: Callable[[Mapping[str, Any]], None] | None = None


KINDS: Registry[Kind] = Registry("step", group="landscape.steps")
DATA_KEYS = known_keys(DataOptions, without=("seed", "download", "root"))
_SET = ("model", "seed", "learning_rate", "data", "device", "out", "shared")
_VARIANTS = known_keys(VariantsConfig, TrainConfig, without=_SET) + DATA_KEYS


def _train_variants(settings: Mapping[str, Any], bench: Bench) -> Outcome:
    data = made(DataOptions, settings)
    shared = made(TrainConfig, settings, data=data, device=bench.device, out=bench.folder)
    config = made(VariantsConfig, settings, shared=shared)
    written = bands_from_training(config, command=bench.command, progress=bench.report)
    files = (written.file, written.image)
    return Outcome(band_numbers(written.bands), files, written.page, environment=written.bands.environment)


def _check_variants(settings: Mapping[str, Any]) -> None:
    made(VariantsConfig, settings, shared=made(TrainConfig, settings, data=made(DataOptions, settings)))


KINDS.add("train-variants", Kind(_train_variants, _VARIANTS, _check_variants))


def band_numbers(bands: VariantBands) -> dict[str, Number]:
    """Name the numbers of a comparison of variants.

    Args:
        bands: All runs.

    Returns:
        ``ratio.PANEL`` (mean gap without / with BatchNorm), ``gap.VARIANT`` in all and by window of steps, and by
        learning rate ``accuracy.VARIANT.LR`` and ``best.VARIANT.LR`` (validation accuracy, last and highest),
        ``loss.VARIANT.LR`` (training loss, mean of the last epoch), ``flagged.VARIANT.LR`` (collapsed or diverged).
    """
    found: dict[str, Number] = {}
    for comparison in compare_bands(bands):
        if comparison.ratios:
            name = f"ratio.{comparison.panel.name}"
            found[name] = Number.over([ratio.mean for ratio in comparison.ratios])
            found[f"{name}.median"] = Number.over([ratio.median for ratio in comparison.ratios])
        for variant in dict.fromkeys(raw.variant for raw in comparison.raw):
            gaps = [raw.gap for raw in comparison.raw if raw.variant == variant]
            found[f"gap.{variant}"] = Number.over([gap.mean for gap in gaps])
            for window in zip(*(gap.windows for gap in gaps), strict=True):
                found[f"gap.{variant}.{window[0].name}"] = Number.over([w.mean for w in window])
    steps = int(bands.recipe["steps_per_epoch"])
    for i, variant in enumerate(bands.variant):
        for n, rate in enumerate(rate_names(bands)):
            at = (i, slice(None), n)
            found[f"accuracy.{variant}.{rate}"] = Number.over(list(bands.val_accuracy[at][:, -1]))
            found[f"best.{variant}.{rate}"] = Number.over(list(_highest(bands.val_accuracy[at])))
            found[f"loss.{variant}.{rate}"] = Number.over(list(bands.loss[at][:, -steps:].mean(axis=-1)))
            flags = bands.collapsed[at] | bands.diverged[at]
            found[f"flagged.{variant}.{rate}"] = Number(float(flags.sum()), count=flags.size)
    return found


def _highest(values: Any) -> Any:
    return np.where(np.isnan(values).all(axis=-1), np.nan, np.max(np.nan_to_num(values, nan=-1.0), axis=-1))


_SURFACE = known_keys(SurfaceOptions, without=("data", "device"))
_CHOICE = known_keys(DataChoice, without=("download", "root", "fewer"))


def _surface(settings: Mapping[str, Any], bench: Bench) -> Outcome:
    if "ckpt" not in settings:
        raise UsageError("a step of kind 'surface' needs a ckpt: STEP/NAME.pth, as an earlier step wrote it")
    data = made(DataChoice, settings)
    options = made(SurfaceOptions, settings, data=data, device=bench.device)
    out = bench.folder / f"{Path(str(settings['ckpt'])).stem}.h5"
    ckpt = bench.work / str(settings["ckpt"])
    written = surface_from_checkpoint(ckpt, out, options, command=bench.command, progress=bench.report)
    numbers: dict[str, Number] = {}
    for surface in written.surfaces:
        mode = str(surface.recipe["bn"])
        numbers[f"center.{mode}"] = Number(surface.center.loss, surface.center.loss_sem, surface.center.examples)
        for name, metric in metrics(surface).items():
            numbers[f"{name}.{mode}"] = Number(metric.mean, metric.spread, metric.pairs)
            with np.errstate(divide="ignore", invalid="ignore"):
                share = float(np.float64(metric.spread) / np.abs(np.float64(metric.mean)))
            numbers[f"{name}.{mode}.relative_spread"] = Number(share, count=metric.pairs)
    return Outcome(numbers, (*written.files, written.image), written.page, environment=written.surfaces[0].environment)


KINDS.add("surface", Kind(_surface, (Key("ckpt", str), *_SURFACE, *_CHOICE)))
