"""Bands in words: title, finding, table and the facts behind them. No sentence here says which network is smoother."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from landscape.figures.data import DATASETS, Facts, Table, count, facts, listed, number, ratio_text
from landscape.records import VariantBands
from landscape.smoothness import BandGap, Comparison, RawGap, compare_bands

NOT_MEASURED = (
    "A band is the spread of different training runs at the same step. It does not measure how the loss varies along a "
    "gradient or around one network."
)
SLOW = "A wide band may mean no more than that one learning rate trains slowly."
_DATA = ("dataset", "split", "limit", "examples", "normalization", "validation", "val_fraction", "classes")


def band_title(bands: VariantBands) -> str:
    """State what was measured.

    Args:
        bands: All runs.

    Returns:
        For instance ``Loss band (the labs' Lipschitz curves) over 4 learning rates · CIFAR-10 · 20 epochs``.
    """
    parts = [f"Loss band (the labs' Lipschitz curves) over {count(len(bands.learning_rate), 'learning rate')}"]
    name = bands.recipe.get("dataset")
    if name:
        parts.append(DATASETS.get(str(name), str(name)))
    if bands.epoch.size:
        parts.append(count(int(bands.epoch.max()), "epoch"))
    return " · ".join(parts)


def band_summary(bands: VariantBands) -> str:
    """Say the finding in numbers: for a terminal, and above the figure.

    Args:
        bands: All runs.

    Returns:
        The ratio of mean gaps without/with BN for each pair of networks, its learning rates, and whether there are
        enough runs for a claim.
    """
    found = compare_bands(bands)
    ratios = [f"{c.panel.name} {_ratio(c)} over {listed(list(c.learning_rates))}" for c in found if c.ratios]
    parts = [f"Mean gap of the bands without BN divided by that with BN: {'; '.join(ratios)}."] if ratios else []
    cautions = dict.fromkeys(c.caution for c in found if c.caution)
    parts += [f"{text[0].upper()}{text[1:]}." for text in cautions]
    return " ".join([*parts, *(_without(c) for c in found if not c.ratios)])


def _ratio(found: Comparison) -> str:
    return ratio_text(*found.mean, len(found.ratios))


def _share(raw: RawGap) -> str:
    return f" (over {raw.gap.steps} of {raw.gap.total} steps)" if raw.gap.steps < raw.gap.total else ""


def _without(found: Comparison) -> str:
    several = len({raw.seed for raw in found.raw}) > 1
    gaps = [
        f"{raw.variant}{f' (seed {raw.seed})' if several else ''} {number(raw.gap.mean, 3)}{_share(raw)}"
        for raw in found.raw
        if len(raw.gap.members) > 1  # one run has no width
    ]
    names = listed(list(dict.fromkeys(raw.variant for raw in found.raw)))
    told = f"mean gap [nats] of {listed(gaps)}; " if gaps else f"{names}; "
    if found.panel.without is None or found.panel.with_bn is None:
        return f"{found.panel.name}: {told}no ratio, for its twin with or without BN is not there."
    if all(len(raw.gap.members) < 2 for raw in found.raw):
        return f"{found.panel.name}: {told}no ratio, for a band needs two learning rates."
    rates = count(len(found.learning_rates), "learning rate")
    return f"{found.panel.name}: {told}no ratio, for {rates} survived in both networks and a band needs two."


def band_conditions(bands: VariantBands) -> tuple[str, ...]:
    """List the conditions that stand beside the figure.

    Args:
        bands: All runs.

    Returns:
        Learning rates, seeds, steps and other settings, each as one short phrase.
    """
    rates = ", ".join(format(float(rate), "g") for rate in bands.learning_rate)
    seeds = ", ".join(str(seed) for seed in bands.seed)
    phrases = [f"learning rates {rates}", f"{'seed' if len(bands.seed) == 1 else 'seeds'} {seeds}"]
    phrases.append(count(len(bands.step), "training step"))
    for key in ("limit", "optimizer", "batch_size", "weight_decay", "precision"):
        if bands.recipe.get(key) is not None:
            phrases.append(f"{key.replace('_', ' ')} {bands.recipe[key]}")
    return tuple(phrases)


def band_notes(bands: VariantBands) -> tuple[str, ...]:
    """Collect what must be read with the figure: what it does not measure, flagged runs, and what was assumed.

    Args:
        bands: All runs.

    Returns:
        Sentences.
    """
    flagged = [
        f"{raw.variant} at {rate}{f' (seed {raw.seed})' if len(bands.seed) > 1 else ''} {word}"
        for found in compare_bands(bands)
        for raw in found.raw
        for rate, word in raw.flagged
    ]
    notes = [NOT_MEASURED]
    if flagged:
        notes.append(f"Drawn dashed, kept in the raw band, left out of ratios: {listed(flagged)}.")
    for key, word in (("assumed", "Assumed"), ("warnings", "Warning")):
        value = bands.provenance.get(key) or ()
        notes += [f"{word}: {text}" for text in ([value] if isinstance(value, str) else value)]
    return tuple(notes)


def band_table(bands: VariantBands) -> Table:
    """Tabulate each network's raw band, and the ratio over the learning rates that both networks survived.

    Args:
        bands: All runs.

    Returns:
        Rows of networks, then of ratios, panel by panel.
    """
    found = compare_bands(bands)
    windows = next((raw.gap.windows for c in found for raw in c.raw), ())
    header = (
        "band",
        "seed",
        "learning rates",
        "mean",
        "median",
        *(f"{w.first}–{w.last}" for w in windows),
        "steps",
    )
    rows = [row for comparison in found for row in _rows(comparison, len(windows))]
    text = (
        "Gap = largest − smallest loss over the learning rates [nats], at steps where every run is finite: how many is "
        "in the last column. Columns named by steps are means over those steps. Ratios use "
        "only the learning rates that survived in both networks at every seed. ± is the standard deviation over seeds."
    )
    cautions = dict.fromkeys(f"{c.caution[0].upper()}{c.caution[1:]}." for c in found if c.caution)
    return Table("Width of the bands", header, tuple(rows), words=3, note=" ".join([text, *cautions]))


def _rows(found: Comparison, windows: int) -> list[tuple[str, ...]]:
    rows = [row for variant in found.panel.variants for row in _network_rows(found, variant)]
    name = f"{found.panel.name}: without / with BN"
    if not found.ratios:
        both = found.panel.without is not None and found.panel.with_bn is not None
        reason = "fewer than two survived in both"
        return [*rows, (name, "", reason, *["–"] * (windows + 3))] if both else rows
    rates = ", ".join(found.learning_rates)
    for ratio in found.ratios:
        numbers = [ratio_text(v) for v in (ratio.mean, ratio.median, *ratio.windows)]
        rows.append((name, str(ratio.seed), rates, *numbers, _steps(ratio.without)))
    if len(found.ratios) > 1:
        spreads = [ratio_text(m, sd) for m, sd in (found.mean, found.median, *found.windows)]
        rows.append((name, "all", rates, *spreads, ""))
    return rows


def _network_rows(found: Comparison, variant: str) -> list[tuple[str, ...]]:
    own = [raw for raw in found.raw if raw.variant == variant]
    rows = [(variant, str(raw.seed), _rates(raw), *_gap_cells(raw.gap)) for raw in own]
    if len(own) > 1:
        spreads = [f"{number(m, 3)} ± {number(sd, 2)}" for m, sd in found.gaps(variant)]
        rows.append((variant, "all", "", *spreads, ""))
    return rows


def _rates(raw: RawGap) -> str:
    words = dict(raw.flagged)
    return ", ".join(f"{name} ({words[name]})" if name in words else name for name in raw.gap.members)


def _gap_cells(gap: BandGap) -> list[str]:
    values = [gap.mean, gap.median, *(window.mean for window in gap.windows)]
    return [*(number(value) for value in values), _steps(gap)]


def _steps(gap: BandGap) -> str:
    return f"{gap.steps:,}" + (f" of {gap.total:,}" if gap.steps < gap.total else "")


def accuracy_table(bands: VariantBands) -> Table | None:
    """Tabulate the best validation accuracy of every run.

    Args:
        bands: All runs.

    Returns:
        One row per network and seed, one column per learning rate; None where nothing was validated.
    """
    if not np.isfinite(bands.val_accuracy).any():
        return None
    rates = [format(float(rate), "g") for rate in bands.learning_rate]
    rows = []
    for i, variant in enumerate(bands.variant):
        for k, seed in enumerate(bands.seed):
            curves = bands.val_accuracy[i, k]
            best = [float(c[np.isfinite(c)].max()) if np.isfinite(c).any() else math.nan for c in curves]
            rows.append((str(variant), str(seed), *(number(value, 3) for value in best)))
    header = ("network", "seed", *(f"learning rate {rate}" for rate in rates))
    return Table("Best validation accuracy of a run", header, tuple(rows), words=2)


def band_facts(bands: VariantBands) -> tuple[Facts, ...]:
    """Collect how the runs were made: for the folded block.

    Args:
        bands: All runs.

    Returns:
        Groups of facts; empty groups are left out.
    """
    recipe, provenance = dict(bands.recipe), dict(bands.provenance)
    rates = [float(rate) for rate in bands.learning_rate]
    runs = {"variants": [str(v) for v in bands.variant], "learning rates": rates, "seeds": [int(s) for s in bands.seed]}
    command = provenance.pop("command", None)
    groups: Sequence[Facts] = (
        facts("Runs", runs),
        facts("Data", recipe, _DATA),
        facts("Training", {k: v for k, v in recipe.items() if k not in {*_DATA, *runs, "learning_rates"}}),
        facts("Environment", bands.environment),
        facts("Origin", {k: v for k, v in provenance.items() if v}),
        Facts("Command that remakes it", (("command", str(command)),) if command else (), code=True),
    )
    return tuple(group for group in groups if group.items)
