"""Numbers of probed runs: the paper's three measures, in windows of steps, without and with BatchNorm.

All of them are taken at one point of the training and along its own gradient. None is the width of a loss band over
learning rates, which compares different trainings.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from landscape.errors import UsageError
from landscape.records import SmoothnessTrace
from landscape.records.base import FloatArray, IntArray
from landscape.smoothness.band import window_edges
from landscape.smoothness.compare import caution, divide, spread

PAPER_WINDOWS = ((0, 3000), (3000, 7500), (7500, 15000))
_LIKE_THE_PAPER = 0.97  # of its steps: probes every 100 of 15,000 end at 14,900


def loss_variation(trace: SmoothnessTrace) -> FloatArray:
    """Range of the loss over the step sizes, shape ``(n,)``; NaN where one of the losses is not finite."""
    return _range(trace.loss)


def log_loss_variation(trace: SmoothnessTrace) -> FloatArray:
    """Range of log10 of the loss over the step sizes, shape ``(n,)``; NaN where one has no finite logarithm."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _range(np.log10(trace.loss))


def gradient_predictiveness(trace: SmoothnessTrace) -> FloatArray:
    """Largest change of the gradient over the step sizes, the upper edge of the paper's band, shape ``(n,)``."""
    return _finite(trace.gradient_distance).max(axis=1)  # type: ignore[no-any-return]


def gradient_range(trace: SmoothnessTrace) -> FloatArray:
    """Range of that distance over the step sizes: the width of the paper's band, shape ``(n,)``."""
    return _range(trace.gradient_distance)


def beta_smoothness(trace: SmoothnessTrace) -> FloatArray:
    """Largest distance of the gradients for the distance walked, shape ``(n,)``; it saturates at ``1 / eta_min``."""
    return trace.beta_smoothness


MEASURES: Mapping[str, Callable[[SmoothnessTrace], FloatArray]] = {
    "loss_variation": loss_variation,
    "log_loss_variation": log_loss_variation,
    "gradient_predictiveness": gradient_predictiveness,
    "gradient_range": gradient_range,
    "beta_smoothness": beta_smoothness,
}


def saturation(trace: SmoothnessTrace) -> float:
    """Return what ``beta_smoothness`` cannot tell from the grid: 1 / smallest step size."""
    return 1 / float(trace.step_size.min())


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, np.nan)


def _range(values: FloatArray) -> FloatArray:
    finite = _finite(values)
    return finite.max(axis=1) - finite.min(axis=1)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Window:
    """A measure over a stretch of training.

    Args:
        first: First step of the window.
        last: First step after it.
        mean: Mean over the probes that have a value; NaN where none has.
        median: Median over them.
        probes: Their number.
        total: Number of probes in the window; the others were not finite.
    """

    first: int
    last: int
    mean: float
    median: float
    probes: int
    total: int

    @property
    def name(self) -> str:
        """The window by its step numbers, for instance ``0-3000``."""
        return f"{self.first}-{self.last}"


def default_windows(step: IntArray, trained: int | None = None) -> tuple[tuple[int, int], ...]:
    """Choose windows for the probes of a run.

    Args:
        step: Steps of the probes, increasing.
        trained: Steps of the training, where the last window ends at the latest; None where that is not known.

    Returns:
        The paper's windows where the run has the paper's 15,000 steps, else the first tenth of the steps, up to a
        quarter, a half, three quarters, and the end; each as first step and first step after it.
    """
    if not len(step):
        return ()
    spacing = int(step[1] - step[0]) if len(step) > 1 else 1
    end = int(step[-1]) + spacing
    end = end if trained is None else max(min(end, trained), int(step[-1]) + 1)
    if _LIKE_THE_PAPER * PAPER_WINDOWS[-1][1] <= end <= PAPER_WINDOWS[-1][1] + spacing:
        return PAPER_WINDOWS
    edges = [*(int(step[a]) for a in window_edges(len(step))[:-1]), end]
    return tuple(itertools.pairwise(edges))


def trace_windows(trace: SmoothnessTrace) -> tuple[tuple[int, int], ...]:
    """Choose windows for a trace: those of ``default_windows``, which end where its training was to end."""
    recipe = trace.recipe
    steps = recipe.get("steps") or (recipe.get("epochs") or 0) * (recipe.get("steps_per_epoch") or 0)
    return default_windows(trace.step, int(steps) or None)


def windowed(step: IntArray, values: ArrayLike, windows: Sequence[tuple[int, int]] | None = None) -> tuple[Window, ...]:
    """Take mean and median of a measure in windows of steps.

    Args:
        step: Steps of the probes, shape ``(n,)``.
        values: The measure, shape ``(n,)``.
        windows: First step and first step after each; by default ``default_windows(step)``.

    Returns:
        One entry per window, and first of all one for the whole run.
    """
    numbers = np.asarray(values, dtype=np.float64)
    chosen = default_windows(step) if windows is None else tuple(windows)
    if not chosen:
        return ()
    whole = (min(a for a, _ in chosen), max(b for _, b in chosen))
    return tuple(_window(numbers[(step >= a) & (step < b)], a, b) for a, b in (whole, *chosen))


def _window(values: FloatArray, first: int, last: int) -> Window:
    finite = values[np.isfinite(values)]
    mean, median = (float(np.mean(finite)), float(np.median(finite))) if finite.size else (np.nan, np.nan)
    return Window(first, last, mean, median, finite.size, values.size)


@dataclass(frozen=True, slots=True)
class MeasureRatio:
    """One measure without BatchNorm divided by the same with it, in windows, one value per seed.

    Args:
        measure: A name of ``MEASURES``.
        seeds: The seeds.
        without: Windows of every seed without BatchNorm, the whole run first.
        with_bn: The same with BatchNorm.
        epochs: Epochs trained; None for trainings in full batches, which have steps alone.
        steps: Steps trained.
    """

    measure: str
    seeds: tuple[int, ...]
    without: tuple[tuple[Window, ...], ...]
    with_bn: tuple[tuple[Window, ...], ...]
    epochs: int | None
    steps: int

    @property
    def windows(self) -> tuple[str, ...]:
        """Names of the windows, the whole run first."""
        return tuple(window.name for window in self.without[0])

    def mean(self, window: int = 0) -> tuple[float, float]:
        """Return the mean over seeds of the ratio of means, and its sample standard deviation (NaN for one seed).

        Args:
            window: Which window; 0 is the whole run.

        Returns:
            Both.
        """
        pairs = zip(self.without, self.with_bn, strict=True)
        return spread([divide(a[window].mean, b[window].mean) for a, b in pairs])

    def median(self, window: int = 0) -> tuple[float, float]:
        """Return the mean over seeds of the ratio of medians, and its sample standard deviation (NaN for one seed).

        Args:
            window: Which window; 0 is the whole run.

        Returns:
            Both.
        """
        pairs = zip(self.without, self.with_bn, strict=True)
        return spread([divide(a[window].median, b[window].median) for a, b in pairs])

    @property
    def left_out(self) -> tuple[int, int]:
        """Probes without a value, without and with BatchNorm, all seeds together."""
        whole = ([windows[0] for windows in side] for side in (self.without, self.with_bn))
        first, second = (sum(w.total - w.probes for w in side) for side in whole)
        return first, second

    @property
    def caution(self) -> str:
        """Why the ratio carries no claim; empty where seeds, epochs and steps suffice."""
        return caution(len(self.seeds), epochs=self.epochs, steps=self.steps)

    def sentence(self) -> str:
        """Say the ratio with its spread; a claim is made only where seeds, epochs, steps and spread allow one.

        Returns:
            One sentence.
        """
        mean, deviation = self.mean()
        name = self.measure.replace("_", " ") if self.measure != "beta_smoothness" else self.measure
        number = f"{mean:.3g}" if np.isnan(deviation) else f"{mean:.3g} ± {deviation:.2g}"
        count = f"{len(self.seeds)} {'seed' if len(self.seeds) == 1 else 'seeds'}"
        ratio = f"{name} without / with BatchNorm: {number} ({count}, steps {self.windows[0]})"
        if self.caution:
            return f"{ratio}; {self.caution}."
        if mean - deviation > 1:
            return f"{ratio}: smaller with BatchNorm along the gradient of its own training."
        if mean + deviation < 1:
            return f"{ratio}: larger with BatchNorm along the gradient of its own training."
        return f"{ratio}: no difference beyond the spread over seeds."


def compare_traces(
    without: Sequence[SmoothnessTrace],
    with_bn: Sequence[SmoothnessTrace],
    *,
    windows: Sequence[tuple[int, int]] | None = None,
) -> tuple[MeasureRatio, ...]:
    """Compare probed runs without BatchNorm with those with it, seed by seed.

    Args:
        without: Traces without BatchNorm, one per seed.
        with_bn: Traces with BatchNorm, of the same seeds, steps, step sizes and learning rate.
        windows: Windows of steps; by default those of ``trace_windows``.

    Returns:
        One ratio per measure, over the seeds that both sides have.

    Raises:
        UsageError: No seed is on both sides, a seed is there twice, or the traces were not probed alike.
    """
    first, second = _by_seed(without), _by_seed(with_bn)
    seeds = tuple(seed for seed in first if seed in second)
    if not seeds:
        raise UsageError(f"no seed has a trace on both sides: {list(first)} without, {list(second)} with BatchNorm")
    chosen = [first[seed] for seed in seeds], [second[seed] for seed in seeds]
    reference = chosen[0][0]
    for trace in (*chosen[0], *chosen[1]):
        _check_alike(trace, reference)
    windows = trace_windows(reference) if windows is None else windows
    sides = [
        {name: tuple(windowed(t.step, measure(t), windows) for t in traces) for name, measure in MEASURES.items()}
        for traces in chosen
    ]
    trained = (*chosen[0], *chosen[1])
    epochs = min((int(t.recipe["epochs"]) for t in trained if t.recipe.get("epochs")), default=None)
    steps = min(_steps(t) for t in trained)
    return tuple(MeasureRatio(name, seeds, sides[0][name], sides[1][name], epochs, steps) for name in MEASURES)


def _steps(trace: SmoothnessTrace) -> int:
    """Steps trained, as the recipe has them; else up to where the next probe would have been."""
    recipe = trace.recipe
    told = int(recipe.get("epochs") or 0) * int(recipe.get("steps_per_epoch") or 0) or int(recipe.get("steps") or 0)
    return told or max((last for _, last in default_windows(trace.step)), default=0)


def _by_seed(traces: Sequence[SmoothnessTrace]) -> dict[int, SmoothnessTrace]:
    found: dict[int, SmoothnessTrace] = {}
    for trace in traces:
        seed = int(trace.recipe.get("seed", 0))
        if seed in found:
            raise UsageError(f"seed {seed} has two traces on one side; compare one configuration at a time")
        found[seed] = trace
    return found


def _check_alike(trace: SmoothnessTrace, reference: SmoothnessTrace) -> None:
    """Refuse a ratio over different step sizes or steps: it would compare the grids."""
    for what in ("step_size", "step"):
        a, b = getattr(trace, what), getattr(reference, what)
        if not np.array_equal(a, b):
            raise UsageError(
                f"traces are compared over one grid: {trace.recipe.get('model', 'one')} was probed at {len(a)} values "
                f"of {what} ({a[:3]}...), {reference.recipe.get('model', 'the other')} at {len(b)} ({b[:3]}...)"
            )
    rates = [t.recipe.get("learning_rate") for t in (trace, reference)]
    if rates[0] != rates[1]:
        raise UsageError(f"traces are compared at one learning rate; got {rates[1]} and {rates[0]}")
