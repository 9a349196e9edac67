"""Probes along training as finished numbers: what both renderers draw.

A band goes from the smallest to the largest value over the step sizes. Values of several seeds are averaged edge by
edge; the faint band behind the mean reaches from the smallest to the largest seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from landscape.figures.data import Scale, listed, number
from landscape.figures.data_band import Curve, axis_end_of, thin
from landscape.figures.networks import Network, is_deep_linear, layer_labels, networks
from landscape.records import SmoothnessTrace
from landscape.records.base import BoolArray, FloatArray, IntArray
from landscape.smoothness.published import Quantity, published

Axes = Literal["paper", "log", "linear"]
Values = tuple[FloatArray, FloatArray]
_TITLES = {
    "loss": ("Loss along the gradient", "cross-entropy [nats]"),
    "predictiveness": ("Gradient predictiveness", "‖g(w) − g(w − ηg)‖"),
    "beta_smoothness": ("beta_smoothness", "max ‖g(w) − g(w − ηg)‖ / (η‖g‖)"),
    "covariate_shift": ("Internal covariate shift", "‖G − G′‖"),
    "covariate_cosine": ("Internal covariate shift, cosine", "cosine of G and G′"),
    "accuracy": ("Accuracy on the mini-batch", "fraction classified right"),
}
PANELS = tuple(_TITLES)
BANDS = ("loss", "predictiveness")  # the others are single curves
_LOG_IN_THE_PAPER = ("loss",)  # figure 4a; the axes of figures 1, 3, 4b and 4c are linear
_NEVER_LOG = ("covariate_cosine", "accuracy")


@dataclass(frozen=True, slots=True, eq=False)
class TraceCurves:
    """One network in one panel, ready to draw.

    Args:
        name: The network.
        color: Its colour.
        low: Lower edge, or the curve.
        high: Upper edge; None for a single curve.
        faint: Smallest and largest seed, where several were averaged; for a band of its lower and its upper edge.
        saturated: Probes at which ``beta_smoothness`` is no more than 1 / smallest step size.
        seeds: Seeds that went in.
    """

    name: str
    color: str
    low: Curve
    high: Curve | None
    faint: tuple[Curve, Curve] | None
    saturated: Curve | None
    seeds: tuple[int, ...]

    @property
    def edges(self) -> tuple[Curve, ...]:
        """The lines that are drawn."""
        return (self.low,) if self.high is None else (self.low, self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """A published curve, to be drawn dashed.

    Args:
        name: Network and figure.
        color: Colour of its counterpart.
        low: Lower edge, or the curve.
        high: Upper edge; None for a single curve.
    """

    name: str
    color: str
    low: Curve
    high: Curve | None

    @property
    def edges(self) -> tuple[Curve, ...]:
        """The lines that are drawn."""
        return (self.low,) if self.high is None else (self.low, self.high)


@dataclass(frozen=True, slots=True, eq=False)
class TracePanel:
    """One quantity of several networks over training.

    Args:
        quantity: Which.
        title: Heading.
        unit: Title of the vertical axis.
        scale: Kind of vertical axis.
        networks: Those that have it.
        levels: Heights at which ``beta_smoothness`` saturates: 1 / smallest step size.
        published: Published curves.
    """

    quantity: str
    title: str
    unit: str
    scale: Scale
    networks: tuple[TraceCurves, ...]
    levels: tuple[float, ...] = ()
    published: tuple[Overlay, ...] = ()

    @property
    def _drawn(self) -> list[FloatArray]:
        lines = [edge for curves in self.networks for edge in curves.edges]
        return [edge.y for edge in (*lines, *(edge for overlay in self.published for edge in overlay.edges))]

    @property
    def decades(self) -> float:
        """Powers of ten between the smallest and the largest positive value."""
        values = np.concatenate([np.ones(0), *self._drawn])
        kept = np.log10(values[np.isfinite(values) & (values > 0)])
        return float(np.ptp(kept)) if kept.size else 0.0

    @property
    def end(self) -> float | None:
        """Where a linear axis ends when a few values would flatten all others; the values stay in the data."""
        if self.scale == "log" or self.quantity in _NEVER_LOG:
            return None
        end = axis_end_of(np.concatenate([np.zeros(0), *self._drawn]))
        return None if end is None else max(end, *(1.1 * level for level in self.levels), 0.0)

    @property
    def note(self) -> str:
        """What lies beyond the end of the axis; empty where nothing does."""
        top = max((float(y[np.isfinite(y)].max()) for y in self._drawn if np.isfinite(y).any()), default=0.0)
        return (
            ""
            if self.end is None or top <= self.end
            else f"axis ends at {number(self.end, 3)}, largest {number(top, 3)}"
        )


def values(trace: SmoothnessTrace, quantity: str, layer: str = "") -> Values:
    """Take one quantity out of a trace.

    Args:
        trace: The trace.
        quantity: One of ``PANELS``.
        layer: The layer, for the covariate shift, as ``layer_labels`` names it.

    Returns:
        Lower and upper edge of the band over the step sizes, or twice the same curve. What is not finite is NaN: a
        probe that diverged at one step size has no band.
    """
    if quantity in BANDS:
        source = trace.loss if quantity == "loss" else trace.gradient_distance
        low, high = source.min(axis=1), source.max(axis=1)
    elif quantity.startswith("covariate"):
        low = high = getattr(trace, quantity)[:, layer_labels(trace).index(layer)]
    else:
        low = high = getattr(trace, quantity)
    finite = np.isfinite(low) & np.isfinite(high)
    return np.where(finite, low, np.nan), np.where(finite, high, np.nan)


def trace_panels(
    traces: Sequence[SmoothnessTrace],
    *,
    seed: int | None = None,
    axes: Axes = "paper",
    layer: str | None = None,
    overlay: bool = False,
) -> tuple[TracePanel, ...]:
    """Prepare the panels of the figure.

    Args:
        traces: Traces of one or more networks, at one or more seeds.
        seed: The seed that is drawn; None for the mean over the seeds of each network.
        axes: Kinds of vertical axes: as in the paper (the loss logarithmic, everything for the deep linear setting),
            or all of one kind; cosine and accuracy are always linear.
        layer: Layer of the covariate shift; by default the first that was measured.
        overlay: Whether published curves are drawn.

    Returns:
        A panel for each quantity that a network has.
    """
    many = networks(traces)
    shown = (
        layer if layer is not None else next((name for net in many for t in net.traces for name in layer_labels(t)), "")
    )
    panels = []
    for quantity in PANELS:
        curves = [found for net in many if (found := _curves(net, quantity, seed, shown)) is not None]
        if curves:
            panel = _panel(quantity, many, tuple(curves), _scale(quantity, many, axes), shown)
            lines = tuple(_overlays(quantity, many, curves)) if overlay else ()
            panels.append(replace(panel, published=lines))
    return tuple(panels)


def _panel(
    quantity: str, many: Sequence[Network], curves: tuple[TraceCurves, ...], scale: Scale, layer: str
) -> TracePanel:
    title, unit = _TITLES[quantity]
    if quantity.startswith("covariate"):
        title += f" · {layer}"
    if quantity == "loss":
        unit = "loss" if not all(t.recipe.get("loss") == "cross_entropy" for net in many for t in net.traces) else unit
    levels = tuple(sorted({net.ceiling for net in many})) if quantity == "beta_smoothness" else ()
    if levels:  # beside the line it would lie on the curves
        title += f" · dotted: 1/min η = {listed([number(level, 3) for level in levels])}"
    return TracePanel(quantity, title, unit, scale, curves, levels)


def _scale(quantity: str, many: Sequence[Network], axes: Axes) -> Scale:
    if quantity in _NEVER_LOG or axes == "linear":
        return "linear"
    if axes == "log" or any(is_deep_linear(net.model) for net in many):  # all axes of figure 10 are logarithmic
        return "log"
    return "log" if quantity in _LOG_IN_THE_PAPER else "linear"


def _curves(net: Network, quantity: str, seed: int | None, layer: str) -> TraceCurves | None:
    chosen = [trace for trace, own in zip(net.traces, net.seeds, strict=True) if seed in (None, own)]
    if quantity.startswith("covariate"):
        chosen = [trace for trace in chosen if layer in layer_labels(trace)]
    if not chosen:
        return None
    steps = common_steps(chosen)
    rows = [tuple(edge[np.isin(trace.step, steps)] for edge in values(trace, quantity, layer)) for trace in chosen]
    low, high = (np.stack(edges) for edges in zip(*rows, strict=True))
    if not np.isfinite(low).any():
        return None
    x = steps.astype(np.float64)
    seeds = tuple(int(trace.recipe.get("seed", 0)) for trace in chosen)
    lower = _curve(x, low.mean(axis=0))
    upper = _curve(x, high.mean(axis=0)) if quantity in BANDS else None
    faint = (_curve(x, low.min(axis=0)), _curve(x, high.max(axis=0))) if len(chosen) > 1 else None
    marks = _saturated(chosen, steps, lower) if quantity == "beta_smoothness" else None
    return TraceCurves(net.name, net.color, lower, upper, faint, marks, seeds)


def _curve(x: FloatArray, y: FloatArray) -> Curve:
    return Curve(*thin(x, y))


def _saturated(traces: Sequence[SmoothnessTrace], steps: IntArray, drawn: Curve) -> Curve:
    """Mark the probes at which every seed's value is what the grid of step sizes allows."""
    flags: BoolArray = np.all([trace.saturated[np.isin(trace.step, steps)] for trace in traces], axis=0)
    kept = np.isin(drawn.x, steps[flags])
    return Curve(drawn.x[kept], drawn.y[kept])


def common_steps(traces: Sequence[SmoothnessTrace]) -> IntArray:
    """Find the steps at which all of several traces were probed.

    Args:
        traces: At least one trace; one that ended early has fewer steps.

    Returns:
        Increasing steps.
    """
    steps = traces[0].step
    for trace in traces[1:]:
        steps = np.intersect1d(steps, trace.step)
    return np.asarray(steps, dtype=np.int64)


def _overlays(quantity: str, many: Sequence[Network], curves: Sequence[TraceCurves]) -> Iterator[Overlay]:
    known: dict[str, Quantity] = {
        "loss": "loss",
        "predictiveness": "predictiveness",
        "beta_smoothness": "beta_smoothness",
        "accuracy": "accuracy",
    }
    if quantity not in known:
        return
    last = max(float(curve.low.x[-1]) for curve in curves if len(curve.low.x))
    for net in many:
        if net.counterpart is not None and net.name in {curve.name for curve in curves}:
            line = published().curve(known[quantity], with_bn=net.counterpart == "with_bn").until(last)
            name = f"{net.name}, published (fig. {line.figure})"
            high = Curve(line.step, line.high) if quantity in BANDS else None
            yield Overlay(name, net.color, Curve(line.step, line.low), high)


def columns_for(panels: int) -> int:
    """Panels side by side: two rows of two or three."""
    return panels if panels < 4 else 2 if panels == 4 else 3
