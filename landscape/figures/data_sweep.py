"""Settings of a sweep as finished numbers, the best first: what tables and both renderers show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape.records import Sweep
from landscape.records.base import FloatArray

MOST_BARS = 40


@dataclass(frozen=True, slots=True)
class Spread:
    """A number over seeds.

    Args:
        mean: Over the finished runs; NaN for none.
        sd: Sample standard deviation; NaN for fewer than two.
        count: Number of finished runs.
        values: Of the single seeds.
    """

    mean: float
    sd: float
    count: int
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: FloatArray) -> Spread:
        """Take the mean and the spread of those that are there: a run that is not done is NaN."""
        kept = values[~np.isnan(values)]
        mean = float(kept.mean()) if kept.size else math.nan
        sd = float(kept.std(ddof=1)) if kept.size > 1 else math.nan
        return cls(mean, sd, int(kept.size), tuple(float(v) for v in kept))


@dataclass(frozen=True, slots=True)
class SweepRow:
    """A setting.

    Args:
        rank: Place by validation accuracy, from 1.
        name: Its name.
        values: The values that set it apart, by key.
        accuracy: Highest validation accuracy.
        difference: Of it to that of the baseline, seed by seed.
        last_accuracy: Validation accuracy after the last epoch.
        val_loss: Validation loss after the last epoch.
        train_loss: Training loss of the last epoch.
        epochs: Epochs trained.
        baseline: Whether it is the one that others are compared with.
        remarks: What became of runs that did not end well.
    """

    rank: int
    name: str
    values: Mapping[str, Any]
    accuracy: Spread
    difference: Spread
    last_accuracy: Spread
    val_loss: Spread
    train_loss: Spread
    epochs: Spread
    baseline: bool
    remarks: tuple[str, ...]


def sweep_rows(sweep: Sweep) -> tuple[SweepRow, ...]:
    """Sort the settings by mean validation accuracy, the highest first; those without a finished run come last.

    Args:
        sweep: The record.

    Returns:
        One row per setting.
    """
    names = [str(name) for name in sweep.setting]
    base = names.index(sweep.baseline) if sweep.baseline in names else None
    accuracy = [Spread.of(values) for values in sweep.val_accuracy]
    order = sorted(range(len(names)), key=lambda k: (math.isnan(accuracy[k].mean), -accuracy[k].mean, k))
    nothing = np.full(len(sweep.seed), np.nan)
    return tuple(
        SweepRow(
            rank=rank,
            name=names[k],
            values=sweep.settings.get(names[k], {}),
            accuracy=accuracy[k],
            difference=Spread.of(nothing if base is None else sweep.val_accuracy[k] - sweep.val_accuracy[base]),
            last_accuracy=Spread.of(sweep.last_accuracy[k]),
            val_loss=Spread.of(sweep.val_loss[k]),
            train_loss=Spread.of(sweep.train_loss[k]),
            epochs=Spread.of(np.where(sweep.done[k], sweep.epochs[k], np.nan)),
            baseline=k == base,
            remarks=_remarks(sweep, k),
        )
        for rank, k in enumerate(order, 1)
    )


def _remarks(sweep: Sweep, setting: int) -> tuple[str, ...]:
    kinds = {
        "failed": sweep.failed,
        "diverged": sweep.diverged,
        "collapsed": sweep.collapsed,
        "not done": ~(sweep.done | sweep.failed),
    }
    counts = {word: int(flags[setting].sum()) for word, flags in kinds.items()}
    return tuple(f"{n} {word}" for word, n in counts.items() if n)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the parallel coordinates.

    Args:
        name: What stands on it.
        places: Where every setting crosses it.
        ticks: Places of its labels; empty for a numeric axis with labels of its own.
        labels: The labels.
    """

    name: str
    places: tuple[float, ...]
    ticks: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


def shown_rows(rows: tuple[SweepRow, ...], most: int = MOST_BARS) -> tuple[SweepRow, ...]:
    """Choose the rows of a bar chart: the best with a finished run, and the baseline whatever its place.

    Args:
        rows: All rows, sorted.
        most: How many of the best.

    Returns:
        The rows, in their order.
    """
    finished = [row for row in rows if row.accuracy.count]
    return tuple(row for i, row in enumerate(finished) if i < most or row.baseline)


def parallel_axes(rows: tuple[SweepRow, ...], names: Mapping[str, str]) -> tuple[Axis, ...]:
    """Lay the finished settings on parallel axes: one for each key that differs, and their accuracy.

    Values of a key stand at equal distances in increasing order, words in alphabetic order: a grid is rarely even in
    its numbers.

    Args:
        rows: The rows.
        names: What a key is called, where that is not the key.

    Returns:
        The axes; none where fewer than two settings or no keys differ.
    """
    finished = [row for row in rows if row.accuracy.count]
    keys = [k for k in (finished[0].values if finished else {}) if len({word(r.values[k]) for r in finished}) > 1]
    if len(finished) < 2 or not keys:
        return ()
    axes = []
    for key in keys:
        values = {word(row.values[key]): row.values[key] for row in finished}
        labels = sorted(values, key=lambda label, values=values: _order(values[label], label))  # type: ignore[misc]
        places = tuple(float(labels.index(word(row.values[key]))) for row in finished)
        axes.append(Axis(names.get(key, key), places, tuple(map(float, range(len(labels)))), tuple(labels)))
    return (*axes, Axis("validation accuracy", tuple(row.accuracy.mean for row in finished)))


def _order(value: Any, label: str) -> tuple[bool, float, str]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (not number, float(value) if number else 0.0, label)


def word(value: Any) -> str:
    """Write a value of a setting: ``none`` for no value, ``+`` between several."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "+".join(word(item) for item in value)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
