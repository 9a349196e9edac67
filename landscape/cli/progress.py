"""Progress on a terminal: a bar; elsewhere one line a minute. All of it on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from landscape.progress import Progress

Limit = int | Callable[[Progress], int] | None

_HOUR = 3600.0


def duration(seconds: float) -> str:
    """Word a duration: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _counted(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def announcement(first: Progress, limit: int | None) -> str:
    """Say how much is ahead, and what would fit an hour.

    Args:
        first: The estimate that a long call makes before it begins.
        limit: Number of images, where the time is in proportion to it.

    Returns:
        A sentence or two.
    """
    left = first.total - first.done
    if not left:
        return f"All {first.total:,} {first.unit}s were done before."
    resumed = f", {first.done:,} done before" if first.done else ""
    ahead, wait = f"{_counted(left, first.unit)} to go{resumed}", duration(first.seconds_left)
    text = f"At least {ahead}: {wait} or more." if first.rising else f"{ahead}: about {wait}."
    if first.seconds_left > _HOUR and limit is not None:
        fitting = max(1, int(limit * _HOUR / first.seconds_left))
        text += f" --limit {fitting} would fit an hour. Ctrl-C stops; the same command continues."
    return text


def _first(progress: Progress, limit: Limit) -> str:
    return announcement(progress, limit(progress) if callable(limit) else limit)


@contextmanager
def shown(quiet: bool, *, limit: Limit = None) -> Iterator[Callable[[Progress], None]]:
    """Show progress while a long call runs.

    Args:
        quiet: Show nothing.
        limit: Number of images, or what tells it from the first progress, for the advice on time.

    Yields:
        What the call reports to.
    """
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        with _Bar(limit) as bar:
            yield bar
    else:
        yield _Lines(limit)


class _Lines:
    """One line a minute."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._last = 0.0
        self._pace = _Pace()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.estimate:
            click.echo(_first(progress, self._limit), err=True)
            self._pace = _Pace(progress.done)
        elif now - self._last < 60 and progress.done < progress.total:
            return
        else:
            click.echo(_line(progress, self._pace(progress)), err=True)
        self._last = now


class _Pace:
    """Units a second since it was made."""

    def __init__(self, done: int = 0) -> None:
        self._start, self._first = time.monotonic(), done

    def __call__(self, progress: Progress) -> str:
        rate = (progress.done - self._first) / max(time.monotonic() - self._start, 1e-3)
        return f"{rate:.3g} {progress.unit}s/s"


def _line(progress: Progress, rate: str) -> str:
    least = "at least " if progress.rising else ""
    left = f", {least}{duration(progress.seconds_left)} left" if progress.done < progress.total else ""
    return f"{progress.done:,} of {least}{_counted(progress.total, progress.unit)}, {rate}{left}; {progress.detail}"


class _Bar:
    """A bar with rate and time left."""

    def __init__(self, limit: Limit) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._limit = limit
        self._console = Console(stderr=True, highlight=False)
        self._bar = RichProgress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
            console=self._console,
        )
        self._task: Any = None
        self._pace = _Pace()

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        if progress.estimate or self._task is None:
            self._console.print(_first(progress, self._limit))
            self._pace = _Pace(progress.done)
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task("", total=progress.total, rate="", left="")
        self._bar.update(
            self._task,
            completed=progress.done,
            total=progress.total,
            description=progress.detail,
            rate=self._pace(progress),
            left=f"{'at least ' if progress.rising else ''}{duration(progress.seconds_left)} left",
        )
