"""Bands as finished numbers: what both renderers draw."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from landscape.figures.data import Scale, number
from landscape.records import LossBand, VariantBands
from landscape.records.base import FloatArray
from landscape.smoothness import (
    Panel,
    compare_bands,
    default_window,
    find_panels,
    flag,
    rate_names,
    running_mean,
    variant_band,
)

Show = Literal["mean", "raw", "val_loss", "val_accuracy"]
Members = Literal["all", "shared"]
FILL = 0.26
MOST_POINTS = 400  # a curve of a panel is some 350 pixels wide
AXES: dict[Show, tuple[str, str]] = {
    "mean": ("training step", "cross-entropy [nats]"),
    "raw": ("training step", "cross-entropy [nats]"),
    "val_loss": ("epoch", "validation cross-entropy [nats]"),
    "val_accuracy": ("epoch", "validation accuracy"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A curve, ready to draw.

    Args:
        x: Steps or epochs.
        y: Values; NaN is a gap.
        name: The learning rate, for a single run.
        flag: ``collapsed``, ``diverged``, or nothing.
    """

    x: FloatArray
    y: FloatArray
    name: str = ""
    flag: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class BandCurves:
    """One network's band, ready to draw.

    Args:
        variant: The network.
        with_bn: Whether it has BatchNorm.
        low: Smallest value over the members.
        high: Largest value over the members.
        rates: Names of the members in the band.
        runs: The runs, those outside the band included.
        legend: Its name in the legend.
        over: What the members differ in.
        faint: Raw minimum and maximum behind a running mean.
        fill: Opacity of the band; bands that lie over one another share it.
    """

    variant: str
    with_bn: bool
    low: Curve
    high: Curve
    rates: tuple[str, ...]
    runs: tuple[Curve, ...]
    legend: str
    over: str = "learning rate"
    faint: tuple[Curve, Curve] | None = None
    fill: float = FILL


@dataclass(frozen=True, slots=True, eq=False)
class BandPanel:
    """Networks with and without BatchNorm over one pair of axes.

    Args:
        title: What the panel compares, and the networks.
        networks: Those that are there, without BatchNorm first.
        window: Steps of the running mean; 0 where there is none.
        points: Points of the longest curve before it was thinned.
    """

    title: str
    networks: tuple[BandCurves, ...]
    window: int
    points: int

    @property
    def thinned(self) -> bool:
        """Whether fewer points are drawn than there are."""
        return self.points > MOST_POINTS


def axis_end(panels: Sequence[BandPanel], show: Show, scale: Scale) -> float | None:
    """Where a linear loss axis ends when a few values would flatten all others; the values stay in the data.

    Args:
        panels: Panels that share the axis.
        show: What their curves are.
        scale: Kind of axis; a logarithmic one shows everything.

    Returns:
        1.5 times the 98th percentile of what is drawn, or None where nothing lies above that.
    """
    if scale == "log" or show == "val_accuracy":
        return None
    curves = [c for p in panels for n in p.networks for c in (n.low, n.high, *(n.faint or ()))]
    return axis_end_of(np.concatenate([c.y for c in curves]) if curves else np.zeros(0))


def axis_end_of(values: FloatArray) -> float | None:
    """Where a linear axis ends when a few of these values would flatten all others.

    Args:
        values: What is drawn; what is not finite does not count.

    Returns:
        1.5 times the 98th percentile, or None where nothing lies above that.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    end = 1.5 * float(np.percentile(finite, 98))
    return end if 0 < end < finite.max() else None


def axis_note(panels: Sequence[BandPanel], show: Show, scale: Scale) -> str:
    """Say what lies beyond the end of the axis; empty where nothing does."""
    end = axis_end(panels, show, scale)
    if end is None:
        return ""
    curves = [c for p in panels for n in p.networks for c in (n.high, *(n.faint or ()), *n.runs)]
    top = max(float(c.y[np.isfinite(c.y)].max()) for c in curves if np.isfinite(c.y).any())
    return f"the linear axis ends at {number(end, 3)}, the largest loss is {number(top, 3)}"


def thin(x: FloatArray, y: FloatArray, *, most: int = MOST_POINTS) -> tuple[FloatArray, FloatArray]:
    """Leave out points that a screen cannot show; no minimum or maximum is lost.

    The curve is cut into equal stretches; of each the smallest and the largest value are kept, at their own places.

    Args:
        x: Places, shape ``(t,)``.
        y: Values; those that are not finite are gaps.
        most: Number of points that is not exceeded, apart from one per gap.

    Returns:
        Places and values; both unchanged where there are few.
    """
    if len(y) <= most:
        return x, y
    edges = np.linspace(0, len(y), most // 2 + 1).round().astype(int)
    kept: list[int] = []
    for a, b in itertools.pairwise(edges):
        part = y[a:b]
        finite = np.flatnonzero(np.isfinite(part))
        missing = ~np.isfinite(part)
        picks = {a + int(k) for k in np.flatnonzero(missing & ~np.append(False, missing[:-1]))}
        if len(finite):
            picks |= {a + int(finite[part[finite].argmin()]), a + int(finite[part[finite].argmax()])}
        kept += sorted(picks)
    return x[kept], np.where(np.isfinite(y[kept]), y[kept], np.nan)


def band_panels(
    bands: VariantBands, *, seed: int | None, show: Show = "mean", members: Members = "all"
) -> tuple[BandPanel, ...]:
    """Prepare the panels of a comparison.

    Args:
        bands: All runs.
        seed: The seed that is shown; None lays the bands of all seeds over one another.
        show: Training loss with a running mean, as it is, or validation loss or accuracy by epoch.
        members: A band over all learning rates, or over those that survived in both networks.

    Returns:
        One panel for each pair of networks that has a run at this seed.
    """
    shared = {c.panel.name: c.learning_rates for c in compare_bands(bands)}
    panels = []
    for panel in find_panels([str(name) for name in bands.variant]):
        rates = shared[panel.name] if members == "shared" and len(panel.variants) == 2 else None
        seeds = [int(s) for s in bands.seed] if seed is None else [seed]
        places = [(name, s) for name in panel.variants for s in seeds]
        found = [_curves(bands, panel, name, seed=s, show=show, rates=rates) for name, s in places]
        if seed is None:
            fill = 1 - (1 - FILL) ** (1 / len(seeds))
            found = [
                curves and replace(curves, variant=f"{name} (seed {s})", faint=None, fill=fill)
                for curves, (name, s) in zip(found, places, strict=True)
            ]
        networks = tuple(curves for curves in found if curves is not None)
        if networks:
            window = default_window(len(bands.step)) if show == "mean" else 0
            points = len(bands.step) if show in {"mean", "raw"} else len(bands.epoch)
            panels.append(
                BandPanel(f"{panel.name} · {' and '.join(_there(panel, networks))}", networks, window, points)
            )
    return tuple(panels)


def _there(panel: Panel, networks: Sequence[BandCurves]) -> list[str]:
    sides = {network.with_bn for network in networks}
    return [name for name in panel.variants if (name == panel.with_bn) in sides]


def _curves(
    bands: VariantBands, panel: Panel, variant: str, *, seed: int, show: Show, rates: tuple[str, ...] | None
) -> BandCurves | None:
    band = _values(bands, variant, seed, show, rates)
    if not band.members:
        return None
    smooth = show == "mean"
    drawn = [_curve(band.step, edge, smooth) for edge in (band.low, band.high)]
    names = rate_names(bands)
    every = _values(bands, variant, seed, show, None)
    runs = tuple(
        _curve(every.step, values, smooth, name, flag(bands, variant, seed, names.index(name)))
        for name, values in zip(every.members, every.values, strict=True)
    )
    faint = (_curve(band.step, band.low, False), _curve(band.step, band.high, False)) if smooth else None
    with_bn = variant == panel.with_bn
    legend = "with BN" if with_bn else "without BN"
    return BandCurves(variant, with_bn, drawn[0], drawn[1], band.members, runs, legend, faint=faint)


def _values(bands: VariantBands, variant: str, seed: int, show: Show, rates: tuple[str, ...] | None) -> LossBand:
    band = variant_band(bands, variant, seed, learning_rates=rates)
    if show in {"mean", "raw"}:
        return band
    source = bands.val_loss if show == "val_loss" else bands.val_accuracy
    i, k = list(bands.variant).index(variant), list(bands.seed).index(seed)
    kept = [rate_names(bands).index(name) for name in band.members]
    return LossBand(bands.epoch, source[i, k, kept], band.members, band.over, band.excluded)


def _curve(step: np.ndarray[Any, Any], values: FloatArray, smooth: bool, name: str = "", word: str = "") -> Curve:
    x = np.asarray(step, dtype=np.float64)
    if smooth and len(x):
        x, values = running_mean(x, values, window=default_window(len(x)))
    return Curve(*thin(x, np.where(np.isfinite(values), values, np.nan)), name, word)


def single_panel(title: str, band: LossBand, *, with_bn: bool = False, smooth: bool = True) -> BandPanel:
    """Prepare a single band, as ``loss_band`` makes it.

    Args:
        title: Title of the panel.
        band: The band.
        with_bn: Whether its network has BatchNorm: decides the colour.
        smooth: Whether a running mean is drawn before the raw band.

    Returns:
        A panel with one network.
    """
    runs = tuple(_curve(band.step, row, smooth, name) for name, row in zip(band.members, band.values, strict=True))
    edges = [_curve(band.step, edge, smooth) for edge in (band.low, band.high)]
    faint = (_curve(band.step, band.low, False), _curve(band.step, band.high, False)) if smooth else None
    over = band.over.replace("_", " ")
    curves = BandCurves(title, with_bn, edges[0], edges[1], band.members, runs, title, over, faint)
    return BandPanel(title, (curves,), default_window(len(band.step)) if smooth else 0, len(band.step))


def stretches(low: Curve, high: Curve) -> list[tuple[float, float]]:
    """Find where a band has no gap.

    Args:
        low: Its lower edge.
        high: Its upper edge; thinned, it has other places than the lower one, but its gaps are the same.

    Returns:
        First and last place of every stretch.
    """
    gaps = np.union1d(low.x[np.isnan(low.y)], high.x[np.isnan(high.y)])
    places = np.union1d(low.x, high.x)
    cuts = [-np.inf, *gaps, np.inf]
    found = []
    for a, b in itertools.pairwise(cuts):
        inside = places[(places > a) & (places < b)]
        if len(inside):
            found.append((float(inside[0]), float(inside[-1])))
    return found
