"""Loss bands: the spread of training losses over named members, and how wide it is.

A band over learning rates is what the labs call Lipschitz curves. It compares different training trajectories at the
same step; it says nothing about how the loss changes along a gradient at one point.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from landscape.errors import UsageError
from landscape.records import LossBand, Run
from landscape.records.base import FloatArray, IntArray

_EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # early training changes fastest, so it gets the shorter windows
_COURSE = (0, 300, 1_000, 2_000, 4_000, 6_000)  # windows of the course's figure, of 20 epochs of 352 to 391 steps
_COURSE_STEPS = (7_000, 7_900)


@dataclass(frozen=True, slots=True)
class GapWindow:
    """Mean gap over a stretch of steps.

    Args:
        first: First step of the window.
        last: Last step of the window.
        mean: Mean gap over the steps that have one [unit of the loss]; NaN where none has.
        steps: Number of steps that have a gap.
    """

    first: int
    last: int
    mean: float
    steps: int

    @property
    def name(self) -> str:
        """The window by its step numbers, for instance ``0-781``."""
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class BandGap:
    """How wide a band is: ``high - low`` in the unit of the loss, over the steps where every member is finite.

    Args:
        mean: Mean gap; NaN where no step has one.
        median: Median gap.
        windows: Mean gap in consecutive windows of steps.
        steps: Number of steps that have a gap.
        total: Number of steps.
        members: Names of the members in the band.
    """

    mean: float
    median: float
    windows: tuple[GapWindow, ...]
    steps: int
    total: int
    members: tuple[str, ...]


def loss_band(
    values: Sequence[Run] | ArrayLike,
    *,
    over: str = "learning_rate",
    members: Sequence[str] | None = None,
    excluded: Sequence[str] = (),
) -> LossBand:
    """Collect the losses of several members into one band.

    Args:
        values: Runs, or an array of shape ``(members, t)``.
        over: What the members differ in. Runs are named by this entry of their recipe.
        members: Names of the members; for an array without names they are ``0``, ``1``, ...
        excluded: Names of members to leave out; the band keeps them in ``.excluded``.

    Returns:
        The band over the members that are left, its steps taken from the runs (``0..t-1`` for an array).

    Raises:
        UsageError: Members differ in length or steps, a name is unknown, or no member is left.
    """
    step, table, names = _table(values, over, members)
    unknown = [name for name in excluded if name not in names]
    if unknown:
        raise UsageError(f"cannot exclude {', '.join(unknown)}: the members of the band are {', '.join(names)}")
    kept = [i for i, name in enumerate(names) if name not in set(excluded)]
    if not kept:
        raise UsageError(f"a band needs at least one member; all of {', '.join(names)} are excluded")
    return LossBand(step, table[kept], tuple(names[i] for i in kept), over, tuple(excluded))


def _table(
    values: Sequence[Run] | ArrayLike, over: str, members: Sequence[str] | None
) -> tuple[IntArray, FloatArray, list[str]]:
    rows = list(cast("Sequence[Any]", values))
    if not rows:
        raise UsageError("a band needs at least one member; got none")
    runs = [row for row in rows if isinstance(row, Run)]
    if runs and len(runs) < len(rows):
        raise UsageError(
            f"a band is made of runs or of numbers, not of both; got {len(runs)} runs of {len(rows)} members"
        )
    curves = [np.asarray(row.loss if isinstance(row, Run) else row, dtype=np.float64) for row in rows]
    names = [_name(run, over) for run in runs] if runs and members is None else [str(n) for n in members or ()]
    names = names or [str(i) for i in range(len(rows))]
    if len(names) != len(rows):
        raise UsageError(f"{len(rows)} members need as many names; got {len(names)}: {', '.join(names)}")
    for name, curve in zip(names, curves, strict=True):
        if curve.ndim != 1:
            raise UsageError(f"a band takes values of shape (members, t); member {name} has shape {curve.shape}")
        if len(curve) != len(curves[0]):
            raise UsageError(
                f"members of a band have equal lengths: {names[0]} has {len(curves[0])} steps, {name} has {len(curve)}"
                ". Cut them to the same steps first."
            )
    step = runs[0].step if runs else np.arange(len(curves[0]), dtype=np.int64)
    for name, run in zip(names, runs, strict=False):
        if not np.array_equal(run.step, step):
            raise UsageError(f"members of a band share their steps: those of {name} differ from those of {names[0]}")
    return step, np.stack(curves), names


def _name(run: Run, over: str) -> str:
    if over not in run.recipe:
        raise UsageError(
            f"a band over {over!r} names its runs by it, and a run's recipe has no {over!r}; pass members="
        )
    value = run.recipe[over]
    return format(value, "g") if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def running_mean(step: ArrayLike, values: ArrayLike, *, window: int) -> tuple[FloatArray, FloatArray]:
    """Average over a centred window of steps. Nothing is padded, so the ends are shorter by half a window.

    A window that holds a value which is not finite gives NaN.

    Args:
        step: Steps of the values, shape ``(t,)``.
        values: Shape ``(..., t)``.
        window: Odd number of steps, at most ``t``.

    Returns:
        Steps at the middle of each window, shape ``(t - window + 1,)``, and the means, shape ``(..., t - window + 1)``.

    Raises:
        UsageError: The window is even, not positive, or longer than the values.
    """
    values = np.asarray(values, dtype=np.float64)
    steps = np.asarray(step, dtype=np.float64)
    length = values.shape[-1]
    if window < 1 or window % 2 == 0 or window > length:
        raise UsageError(f"a centred window is an odd number of steps, from 1 to the {length} there are; got {window}")
    half = window // 2
    finite = np.where(np.isfinite(values), values, np.nan)
    means = np.lib.stride_tricks.sliding_window_view(finite, window, axis=-1).mean(axis=-1)
    return steps[half : length - half], means


def default_window(steps: int) -> int:
    """Choose a window for ``running_mean``: about a fiftieth of the steps.

    Args:
        steps: Number of steps.

    Returns:
        An odd number, at most a fifth of the steps.
    """
    window = min(max(5, steps // 50), max(steps // 5, 1))
    return window if window % 2 else window - 1


def band_gap(band: LossBand) -> BandGap:
    """Measure the width of a band.

    Its windows are those of ``window_edges``.

    Args:
        band: A band over one or more members; of a single member the width is zero.

    Returns:
        Mean, median and windowed gap over the steps where every member is finite.
    """
    gap = band.high - band.low
    edges = window_edges(len(gap))
    windows = tuple(
        GapWindow(int(band.step[a]), int(band.step[b - 1]), _mean(gap[a:b]), int(np.isfinite(gap[a:b]).sum()))
        for a, b in itertools.pairwise(edges)
    )
    finite = gap[np.isfinite(gap)]
    median = float(np.median(finite)) if finite.size else float("nan")
    return BandGap(_mean(gap), median, windows, len(finite), len(gap), band.members)


def window_edges(count: int) -> IntArray:
    """Divide training into windows: a tenth, up to a quarter, a half, three quarters, and the end.

    Runs as long as those of the course (20 epochs of CIFAR-10 in batches of 128) get the windows in which its bands
    were published: up to 300, 1,000, 2,000, 4,000, 6,000 steps, and the end.

    Args:
        count: Number of steps.

    Returns:
        Positions where windows begin, and the end; with few steps those that would be empty are left out.
    """
    if _COURSE_STEPS[0] <= count <= _COURSE_STEPS[1]:
        return np.array([*_COURSE, count], dtype=np.int64)
    return np.unique(np.round(np.array(_EDGES) * count).astype(np.int64))


def _mean(gap: FloatArray) -> float:
    finite = gap[np.isfinite(gap)]
    return float(finite.mean()) if finite.size else float("nan")
