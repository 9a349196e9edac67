"""Bands of networks with and without BatchNorm, side by side.

A ratio is taken over one set of learning rates only: those that survived in both networks at every seed. The width of
a band depends on its members, so a ratio over different sets would compare the sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.records import LossBand, VariantBands
from landscape.smoothness.band import BandGap, band_gap

_TITLES = {"vgg": "plain", "vgg_dropout": "dropout", "vgg_light": "light"}
ENOUGH_SEEDS, ENOUGH_EPOCHS, ENOUGH_STEPS = 2, 20, 2000


@dataclass(frozen=True, slots=True)
class Panel:
    """Two networks that differ in BatchNorm alone; one of them may be missing.

    Args:
        name: ``plain``, ``dropout``, ``light``, or the name of the network without BatchNorm.
        without: Variant without BatchNorm.
        with_bn: Variant with BatchNorm.
    """

    name: str
    without: str | None
    with_bn: str | None

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that are there, without BatchNorm first."""
        return tuple(name for name in (self.without, self.with_bn) if name is not None)


@dataclass(frozen=True, slots=True)
class RawGap:
    """Width of one network's band over all its learning rates at one seed.

    Args:
        variant: The network.
        seed: Seed of initial weights and batch order.
        gap: The numbers; its ``members`` name the learning rates.
        missing: Learning rates without a single recorded loss: not trained.
        flagged: Learning rates that collapsed or diverged, with that word. They are in the band.
    """

    variant: str
    seed: int
    gap: BandGap
    missing: tuple[str, ...]
    flagged: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Gap without BatchNorm divided by the gap with it, at one seed and over the same learning rates.

    Args:
        seed: The seed.
        without: Gap of the network without BatchNorm.
        with_bn: Gap of the network with BatchNorm.
    """

    seed: int
    without: BandGap
    with_bn: BandGap

    def __post_init__(self) -> None:
        """Refuse bands over different learning rates."""
        if self.without.members != self.with_bn.members:
            raise ValueError(f"a ratio over different members: {self.without.members} and {self.with_bn.members}")

    @property
    def mean(self) -> float:
        """Ratio of the mean gaps."""
        return divide(self.without.mean, self.with_bn.mean)

    @property
    def median(self) -> float:
        """Ratio of the median gaps."""
        return divide(self.without.median, self.with_bn.median)

    @property
    def windows(self) -> tuple[float, ...]:
        """Ratios of the mean gaps, window by window."""
        pairs = zip(self.without.windows, self.with_bn.windows, strict=True)
        return tuple(divide(a.mean, b.mean) for a, b in pairs)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a panel says in numbers.

    Args:
        panel: The two networks.
        raw: Every network's own band, by network and seed.
        learning_rates: Those that survived in both networks at every compared seed; the ratios use these alone.
        left_out: The other learning rates.
        ratios: One per seed; empty where fewer than two learning rates are left, or a network is missing.
        epochs: Epochs trained.
        steps: Steps trained.
    """

    panel: Panel
    raw: tuple[RawGap, ...]
    learning_rates: tuple[str, ...]
    left_out: tuple[str, ...]
    ratios: tuple[Ratio, ...]
    epochs: int
    steps: int

    @property
    def mean(self) -> tuple[float, float]:
        """Mean over seeds of the ratio of mean gaps, and its sample standard deviation (NaN for one seed)."""
        return spread([ratio.mean for ratio in self.ratios])

    @property
    def median(self) -> tuple[float, float]:
        """Mean over seeds of the ratio of median gaps, and its sample standard deviation (NaN for one seed)."""
        return spread([ratio.median for ratio in self.ratios])

    @property
    def windows(self) -> tuple[tuple[float, float], ...]:
        """As ``mean``, window by window."""
        return tuple(spread(list(values)) for values in zip(*(ratio.windows for ratio in self.ratios), strict=True))

    def gaps(self, variant: str) -> tuple[tuple[float, float], ...]:
        """Spread over seeds of a network's raw band: of its mean gap, its median gap, and its gap in each window.

        Args:
            variant: The network.

        Returns:
            Mean over seeds and sample standard deviation of each.
        """
        own = [raw.gap for raw in self.raw if raw.variant == variant]
        rows = [(gap.mean, gap.median, *(window.mean for window in gap.windows)) for gap in own]
        return tuple(spread(list(values)) for values in zip(*rows, strict=True))

    @property
    def caution(self) -> str:
        """Why these numbers carry no claim; empty where seeds, epochs and steps suffice."""
        return caution(len(self.ratios), epochs=self.epochs, steps=self.steps)


def caution(seeds: int, *, epochs: int | None, steps: int) -> str:
    """Say why a ratio carries no claim: a difference at one seed, or early in training, may be of either sign.

    Args:
        seeds: Seeds that were compared.
        epochs: Epochs trained; None for a training that has none, in full batches.
        steps: Steps trained: of few images many epochs are few steps.

    Returns:
        The reasons; empty where seeds, epochs and steps suffice, or where nothing was compared.
    """
    reasons = ["one seed"] if seeds < ENOUGH_SEEDS else []
    if epochs is not None and epochs < ENOUGH_EPOCHS:
        reasons.append(f"{epochs} {'epoch' if epochs == 1 else 'epochs'} (fewer than {ENOUGH_EPOCHS})")
    elif steps < ENOUGH_STEPS:
        reasons.append(f"{steps:,} {'step' if steps == 1 else 'steps'} (fewer than {ENOUGH_STEPS:,})")
    return f"{' and '.join(reasons)}: too little for a claim" if reasons and seeds else ""


def spread(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation.

    Args:
        values: Numbers of the seeds.

    Returns:
        Both; NaN where there are too few numbers for them.
    """
    mean = float(np.mean(values)) if values else float("nan")
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def divide(a: float, b: float) -> float:
    """Divide as NumPy does: by zero gives infinity or NaN.

    Args:
        a: Numerator.
        b: Denominator.

    Returns:
        The quotient.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(a) / np.float64(b))


def find_panels(variants: list[str]) -> tuple[Panel, ...]:
    """Find the networks that belong together by name: ``x`` and ``x_bn``.

    Args:
        variants: Names of the networks.

    Returns:
        Plain, dropout and light first, then others in the order given.
    """
    bases = list(dict.fromkeys(name.removesuffix("_bn") for name in variants))
    known = [base for base in _TITLES if base in bases]
    ordered = known + [base for base in bases if base not in _TITLES]
    return tuple(
        Panel(
            _TITLES.get(base, base),
            base if base in variants else None,
            f"{base}_bn" if f"{base}_bn" in variants else None,
        )
        for base in ordered
    )


def variant_band(
    bands: VariantBands, variant: str, seed: int, *, learning_rates: tuple[str, ...] | None = None
) -> LossBand:
    """Take the band of one network at one seed out of a comparison.

    Args:
        bands: All runs.
        variant: The network.
        seed: The seed.
        learning_rates: Members, as ``format(lr, "g")``; by default all that were trained.

    Returns:
        The band; learning rates left out are named in ``.excluded``.
    """
    i, k = list(bands.variant).index(variant), list(bands.seed).index(seed)
    names = rate_names(bands)
    kept = [
        n
        for n, name in enumerate(names)
        if (_trained(bands)[i, k, n] if learning_rates is None else name in learning_rates)
    ]
    out = tuple(name for n, name in enumerate(names) if n not in kept)
    return LossBand(bands.step, bands.loss[i, k, kept], tuple(names[n] for n in kept), "learning_rate", out)


def rate_names(bands: VariantBands) -> list[str]:
    """Name the learning rates as files and labels do.

    Args:
        bands: All runs.

    Returns:
        ``format(lr, "g")`` of each.
    """
    return [format(float(rate), "g") for rate in bands.learning_rate]


def flag(bands: VariantBands, variant: str, seed: int, rate: int) -> str:
    """Say what became of a run.

    Args:
        bands: All runs.
        variant: The network.
        seed: The seed.
        rate: Index of the learning rate.

    Returns:
        ``diverged``, ``collapsed``, or nothing.
    """
    at = list(bands.variant).index(variant), list(bands.seed).index(seed), rate
    return "diverged" if bands.diverged[at] else "collapsed" if bands.collapsed[at] else ""


def compare_bands(bands: VariantBands) -> tuple[Comparison, ...]:
    """Compare each network with its BatchNorm twin.

    Args:
        bands: All runs.

    Returns:
        One comparison per panel: the raw band of every network over all its learning rates, and the ratio without/with
        BatchNorm over the learning rates that neither collapsed nor diverged, and are finite, in both networks.
    """
    return tuple(_compare(bands, panel) for panel in find_panels([str(name) for name in bands.variant]))


def _compare(bands: VariantBands, panel: Panel) -> Comparison:
    trained = _trained(bands)
    index = np.array([list(bands.variant).index(name) for name in panel.variants])
    raw = tuple(
        _raw(bands, name, int(seed))
        for i, name in zip(index, panel.variants, strict=True)
        for k, seed in enumerate(bands.seed)
        if trained[i, k].any()
    )
    names = rate_names(bands)
    epochs = int(bands.epoch.max()) if bands.epoch.size else 0
    if panel.without is None or panel.with_bn is None:
        return Comparison(panel, raw, (), tuple(names), (), epochs, len(bands.step))
    seeds = np.flatnonzero(trained[index].any(axis=-1).all(axis=0))
    survived = ~bands.collapsed & ~bands.diverged & np.isfinite(bands.loss).all(axis=-1)
    common = np.asarray(survived[index][:, seeds].all(axis=(0, 1)) & (len(seeds) > 0))
    kept = tuple(name for name, ok in zip(names, common, strict=True) if ok)
    left_out = tuple(name for name in names if name not in kept)
    ratios = tuple(_ratio(bands, panel, int(bands.seed[k]), kept) for k in seeds) if len(kept) > 1 else ()
    return Comparison(panel, raw, kept, left_out, ratios, epochs, len(bands.step))


def _trained(bands: VariantBands) -> np.typing.NDArray[np.bool_]:
    # a run that left a trace: a loss, or a flag
    return np.asarray(np.isfinite(bands.loss).any(axis=-1) | bands.diverged | bands.collapsed)


def _raw(bands: VariantBands, variant: str, seed: int) -> RawGap:
    band = variant_band(bands, variant, seed)
    flags = [(name, flag(bands, variant, seed, n)) for n, name in enumerate(rate_names(bands))]
    return RawGap(variant, seed, band_gap(band), band.excluded, tuple((name, word) for name, word in flags if word))


def _ratio(bands: VariantBands, panel: Panel, seed: int, rates: tuple[str, ...]) -> Ratio:
    gaps = [band_gap(variant_band(bands, name, seed, learning_rates=rates)) for name in panel.variants]
    return Ratio(seed, gaps[0], gaps[1])
