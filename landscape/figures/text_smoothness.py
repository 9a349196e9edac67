"""Probes in words: title, conditions, notes and the facts behind them. No sentence here says what is smoother."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landscape.figures.data import DATASETS, Facts, count, fact_text, facts, listed, number
from landscape.figures.networks import Network, data_of, named_departures, networks, probe_of
from landscape.records import SmoothnessTrace
from landscape.smoothness.published import published

NOT_MEASURED = (
    "Measured at single training steps, along the gradient of one mini-batch: not in other directions, and not across "
    "training runs, which is what the loss band over learning rates compares."
)
_STATISTICS = {"batch": "BatchNorm with the statistics of the batch", "frozen": "BatchNorm with running statistics"}
_SETTINGS = ("optimizer", "learning_rate", "batch_size", "weight_decay", "precision")
_DATA = ("dataset", "split", "limit", "examples", "normalization", "mean", "std", "image_size", "channels", "digest")


def smoothness_title(traces: Sequence[SmoothnessTrace]) -> str:
    """State what was measured.

    Args:
        traces: All traces of the figure.

    Returns:
        For instance ``Loss and gradient along the gradient · vgg and vgg_bn · CIFAR-10 · 15,000 steps``.
    """
    many = networks(traces)
    parts = ["Loss and gradient along the gradient", listed([net.name for net in many])]
    data = {DATASETS.get(name, name) for trace in traces if (name := str(data_of(trace).get("dataset") or ""))}
    if len(data) == 1:
        parts.append(data.pop())
    return " · ".join([*parts, count(max(steps_spanned(trace) for trace in traces), "training step")])


def steps_spanned(trace: SmoothnessTrace) -> int:
    """Return the steps that a trace stands for: up to where the next probe would have been, or the training ended."""
    if not len(trace.step):
        return 0
    end = int(trace.step[-1]) + (int(trace.step[1] - trace.step[0]) if len(trace.step) > 1 else 1)
    trained = int(trace.recipe.get("epochs") or 0) * int(trace.recipe.get("steps_per_epoch") or 0)
    return min(end, trained or int(trace.recipe.get("steps") or end))


def smoothness_conditions(traces: Sequence[SmoothnessTrace]) -> tuple[str, ...]:
    """List the conditions that stand beside the figure.

    Args:
        traces: All traces of the figure.

    Returns:
        Batch, statistics, dropout, parameters, step sizes and settings, each as one short phrase.
    """
    first = traces[0].recipe
    phrases = ["same mini-batch at every η", "all parameters"]
    probe = probe_of(traces[0])
    if "bn" in probe:
        phrases.append(_STATISTICS.get(str(probe["bn"]), f"BatchNorm mode {probe['bn']}"))
    if "dropout" in probe:
        phrases.append(f"dropout {probe['dropout']}")
    grids = {tuple(trace.step_size.tolist()) for trace in traces}
    phrases += [f"η = {', '.join(number(size, 3) for size in grid)}" for grid in sorted(grids)]
    phrases.append(_seeds(networks(traces)))
    gaps = {int(gap) for trace in traces for gap in np.diff(trace.step)[:1]}
    if len(gaps) == 1:
        gap = gaps.pop()
        phrases.append("every step" if gap == 1 else f"every {count(gap, 'step')}")
    for name in _SETTINGS:
        values = {repr(trace.recipe.get(name)): trace.recipe.get(name) for trace in traces}
        if len(values) == 1 and first.get(name) is not None:
            phrases.append(f"{name.replace('_', ' ')} {fact_text(first[name])}")
    limit = data_of(traces[0]).get("limit")
    return (*phrases, f"{limit:,} images") if isinstance(limit, int) else tuple(phrases)


def _seeds(many: Sequence[Network]) -> str:
    sets = {net.seeds for net in many}
    if len(sets) > 1:
        return "seeds " + "; ".join(f"{net.name}: {', '.join(map(str, net.seeds))}" for net in many)
    seeds = sets.pop()
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def smoothness_notes(traces: Sequence[SmoothnessTrace]) -> tuple[str, ...]:
    """Collect what must be read with the figure.

    Args:
        traces: All traces of the figure.

    Returns:
        Sentences: what is not measured, gaps, and what was assumed.
    """
    notes = [NOT_MEASURED, *_gaps(networks(traces))]
    for key, word in (("assumed", "Assumed"), ("warnings", "Warning")):
        told = [trace.provenance.get(key) or () for trace in traces]
        lines = [text for value in told for text in ([value] if isinstance(value, str) else value)]
        notes += [f"{word}: {text}" for text in dict.fromkeys(lines)]
    return tuple(notes)


def smoothness_remarks(traces: Sequence[SmoothnessTrace]) -> tuple[str, ...]:
    """Say how the figure is read: what stands below it.

    Args:
        traces: All traces of the figure.

    Returns:
        Sentences: bands, seeds, saturation, published curves.
    """
    many = networks(traces)
    remarks = ["Bands reach from the smallest to the largest value over the step sizes η."]
    if any(len(net.seeds) > 1 for net in many):
        remarks.append(
            "Of several seeds the mean is drawn, over the steps at which all were probed; the faint band reaches from "
            "the smallest to the largest seed."
        )
    return (*remarks, *_saturation(many), *_published(many))


def _saturation(many: Sequence[Network]) -> list[str]:
    shares = []
    for net in many:
        flags = np.concatenate([trace.saturated for trace in net.traces])
        if flags.any():
            shares.append(f"{int(flags.sum()):,} of {flags.size:,} of {net.name}")
    if not shares:
        return []
    levels = listed([number(level, 3) for level in sorted({net.ceiling for net in many})])
    return [
        f"beta_smoothness is saturated (circles) at {listed(shares)} probes: it lies within 5 % of 1 / smallest η = "
        f"{levels}, the value that it takes whatever the curvature once the smallest step removes the batch's gradient."
    ]


def _gaps(many: Sequence[Network]) -> list[str]:
    lost = []
    for net in many:
        bad = sum(int((~np.isfinite(t.loss + t.gradient_distance)).any(axis=1).sum()) for t in net.traces)
        if bad:
            lost.append(f"{count(bad, 'probe')} of {net.name}")
    return [f"Not finite at one step size or more, and drawn as gaps: {listed(lost)}."] if lost else []


def _published(many: Sequence[Network]) -> list[str]:
    if any(net.counterpart for net in many):
        source = published()
        text = (
            f"Dashed: {source.citation}, figures 1 and 4. Their loss contains a weight-decay term, so levels of the "
            "loss are not comparable; gaps are."
        )
        beside = [net.traces[0] for net in many if net.counterpart]
        if said := list(dict.fromkeys(phrase for trace in beside for phrase in named_departures(trace))):
            text += f" Other than the paper's, networks here were trained {listed(said)}."
        return [text]
    differences = dict.fromkeys(text for net in many for text in net.differences if not text.startswith("network"))
    if all(net.model in published().protocol["model"] for net in many) and differences:
        return [f"No published curves are drawn, for the protocol is not the paper's: {listed(list(differences))}."]
    return []


def smoothness_facts(traces: Sequence[SmoothnessTrace]) -> tuple[Facts, ...]:
    """Collect how the traces were made: for the folded block.

    Args:
        traces: All traces of the figure.

    Returns:
        Groups of facts; empty groups are left out.
    """
    first = traces[0]
    shared = {k: v for k, v in first.recipe.items() if all(repr(t.recipe.get(k)) == repr(v) for t in traces)}
    shared.pop("data", None)
    networks_there = [(net.name, f"seeds {', '.join(map(str, net.seeds))}") for net in networks(traces)]
    provenance = {k: v for k, v in first.provenance.items() if v and k not in {"command", "name"}}
    commands = dict.fromkeys(str(t.provenance["command"]) for t in traces if t.provenance.get("command"))
    groups: Sequence[Facts] = (
        Facts("Networks", tuple(networks_there)),
        facts("Data", data_of(first), _DATA),
        facts("Training and probe", shared),
        facts("Environment", first.environment),
        facts("Origin", provenance),
        Facts("Published numbers", (("source", published().citation), ("read off", published().read_off))),
        Facts("Command that remakes it", tuple(("command", text) for text in commands), code=True),
    )
    return tuple(group for group in groups if group.items)
