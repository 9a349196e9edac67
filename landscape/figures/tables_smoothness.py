"""Probes in numbers: ratios with their spread over seeds, values in windows of steps, and the published ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from landscape.errors import UsageError
from landscape.figures.data import Table, count, number, ratio_text, with_error
from landscape.figures.networks import Network, family, is_deep_linear, layer_labels, networks
from landscape.records import SmoothnessTrace
from landscape.records.base import FloatArray, IntArray
from landscape.smoothness import spread
from landscape.smoothness.measures import (
    MEASURES,
    PAPER_WINDOWS,
    MeasureRatio,
    compare_traces,
    trace_windows,
    windowed,
)
from landscape.smoothness.published import Quantity, published

Windows = Sequence[tuple[int, int]]
NAMES = {
    "loss_variation": "loss range",
    "log_loss_variation": "log10 loss range",
    "gradient_predictiveness": "‖Δg‖ largest",
    "gradient_range": "‖Δg‖ range",
    "beta_smoothness": "beta_smoothness",
}
_SHORT = {
    "loss_variation": "loss range",
    "gradient_predictiveness": "gradient predictiveness",
    "beta_smoothness": "beta_smoothness",
}
_MEANING = (
    ("loss range", "Largest minus smallest loss over the step sizes η, at one training step and on one mini-batch."),
    ("log10 loss range", "The same of the decimal logarithm of the loss: as wide as a band looks in figure 4a."),
    ("‖Δg‖ largest", "Gradient predictiveness: the largest ‖g(w) − g(w − ηg)‖ over η, the upper edge of the band."),
    ("‖Δg‖ range", "Largest minus smallest of these distances: the width of the band."),
    ("beta_smoothness", "Largest ‖g(w) − g(w − ηg)‖ / (η‖g‖) over η. It saturates at 1 / smallest η."),
)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A network without normalization and one with it.

    Args:
        without: The first.
        with_bn: The second.
        ratios: One per measure; empty where the two were not probed alike.
        reason: Why there is none.
    """

    without: Network
    with_bn: Network
    ratios: tuple[MeasureRatio, ...]
    reason: str = ""

    @property
    def name(self) -> str:
        """Both names, as a fraction."""
        return f"{self.without.name} / {self.with_bn.name}"


def pairs(many: Sequence[Network]) -> tuple[Pair, ...]:
    """Pair every network that has a normalization with the one of its family that has none.

    Args:
        many: The networks.

    Returns:
        One entry per network with normalization whose counterpart is there.
    """
    found = []
    for net in many:
        plain = [other for other in many if other.model == family(net.model) != net.model]
        plain.sort(key=lambda other: _rate(other) != _rate(net))  # one of the same learning rate, if it is there
        found += [_pair(plain[0], net)] if plain else []
    return tuple(found)


def _rate(net: Network) -> object:
    return net.traces[0].recipe.get("learning_rate")


def _pair(without: Network, with_bn: Network) -> Pair:
    try:
        ratios = compare_traces(without.traces, with_bn.traces)
    except UsageError as error:
        return Pair(without, with_bn, (), str(error))
    if is_deep_linear(without.model):  # a step takes the whole data: it is an epoch
        epochs = int(without.traces[0].step[-1]) + 1 if len(without.traces[0].step) else 0
        ratios = tuple(replace(ratio, epochs=epochs) for ratio in ratios)
    return Pair(without, with_bn, ratios)


def smoothness_summary(traces: Sequence[SmoothnessTrace]) -> str:
    """Say the finding in numbers: for a terminal, and above the figure.

    Args:
        traces: All traces of the figure.

    Returns:
        For each pair of networks, a line of the ratios without / with normalization, their spread over seeds, and
        whether there are enough runs for a claim. No line says which network is smoother.
    """
    many = networks(traces)
    found = pairs(many)
    lines = [_finding(pair) for pair in found]
    paired = {net.name for pair in found for net in (pair.without, pair.with_bn)}
    return "\n".join([*lines, *(_alone(net) for net in many if net.name not in paired)])


def _finding(pair: Pair) -> str:
    if not pair.ratios:
        return f"{pair.name}: no ratio. {pair.reason}."
    told = {ratio.measure: ratio for ratio in pair.ratios}
    texts = [
        f"{name} {ratio_text(*told[measure].mean(), len(told[measure].seeds))}" for measure, name in _SHORT.items()
    ]
    first = pair.ratios[0]
    caution = f" {first.caution[0].upper()}{first.caution[1:]}." if first.caution else ""
    steps = f"steps {_window_name(first.windows[0])}" if first.windows else "no probe"
    return f"{pair.name}, ratio of means over {steps}: {', '.join(texts)}.{caution}"


def _alone(net: Network) -> str:
    told = [f"{name} {_mean_over_seeds(net, measure, None)[0]}" for measure, name in _SHORT.items()]
    seeds = count(len(net.seeds), "seed")
    return f"{net.name} (mean over the training, {seeds}): {', '.join(told)}."


def _mean_over_seeds(net: Network, measure: str, windows: Windows | None) -> list[str]:
    spans = [trace_windows(trace) if windows is None else windows for trace in net.traces]
    rows = [windowed(t.step, MEASURES[measure](t), span) for t, span in zip(net.traces, spans, strict=True)]
    columns = zip(*rows, strict=True) if len({len(row) for row in rows}) == 1 else [[row[0] for row in rows]]
    return [_spread([window.mean for window in column]) for column in columns] or ["–"]


def _spread(values: list[float]) -> str:
    mean, deviation = spread(values)
    return with_error(mean, 0.0 if deviation <= 1e-12 * abs(mean) else deviation)  # seeds that agree but for rounding


def _window_name(name: str) -> str:
    return name.replace("-", "–")


def smoothness_tables(traces: Sequence[SmoothnessTrace]) -> tuple[Table, ...]:
    """Tabulate ratios, values, covariate shifts, and beside them the published numbers where the protocol is theirs.

    Args:
        traces: All traces of the figure.

    Returns:
        The tables that have a row; the values of single networks last.
    """
    many = networks(traces)
    tables = (_ratio_table(pairs(many)), _deep_linear_table(many), _shift_table(many), _value_table(many))
    return tuple(table for table in tables if table.rows)


def _ratio_table(found: Sequence[Pair]) -> Table:
    usable = [pair for pair in found if pair.ratios and pair.ratios[0].windows]
    windows = usable[0].ratios[0].windows if usable else ()
    rows: list[tuple[str, ...]] = []
    for pair in usable:
        for ratio in pair.ratios:
            cells = [ratio_text(*ratio.mean(k)) for k in range(len(ratio.windows))]
            seeds = ", ".join(str(seed) for seed in ratio.seeds)
            rows.append((pair.name, NAMES[ratio.measure], seeds, *cells, ratio_text(*ratio.median())))
            rows += _published_ratio(pair, ratio)
    header = ("networks", "measure", "seeds", *(_window_name(w) for w in windows), "of medians")
    note = (
        "Means over the probes of a stretch of steps, without / with normalization; the last column is the ratio of "
        "the medians over all steps. ± is the standard deviation over seeds; one seed has none."
    )
    cautions = dict.fromkeys(f" {p.name}: {p.ratios[0].caution}." for p in usable if p.ratios[0].caution)
    lost = dict.fromkeys(text for pair in usable for text in _left_out(pair))
    note += "".join([*cautions, *lost])
    return Table("Ratios without / with normalization", header, tuple(rows), words=3, note=note, definitions=_MEANING)


def _left_out(pair: Pair) -> Iterator[str]:
    for ratio in pair.ratios:
        if any(ratio.left_out):
            a, b = ratio.left_out
            yield f" {pair.name}, {NAMES[ratio.measure]}: {a} and {b} probes that are not finite are left out."


def _published_ratio(pair: Pair, ratio: MeasureRatio) -> Iterator[tuple[str, ...]]:
    if pair.without.counterpart != "without_bn" or pair.with_bn.counterpart != "with_bn":
        return
    spans = tuple((w.first, w.last) for w in ratio.without[0][1:])
    sides = [windowed(*published_measure(ratio.measure, with_bn=bn), spans) for bn in (False, True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [float(np.float64(a.mean) / np.float64(b.mean)) for a, b in zip(*sides, strict=True)]
        median = float(np.float64(sides[0][0].median) / np.float64(sides[1][0].median))
    yield (f"{pair.name}, published", NAMES[ratio.measure], "", *(ratio_text(v) for v in means), ratio_text(median))


def published_measure(measure: str, *, with_bn: bool) -> tuple[IntArray, FloatArray]:
    """Take a measure of the published curves.

    Args:
        measure: A name of ``MEASURES``.
        with_bn: Whether of the network with BatchNorm.

    Returns:
        Steps and values.
    """
    quantity: Quantity = "loss" if "loss" in measure else "predictiveness"
    curve = published().curve("beta_smoothness" if measure == "beta_smoothness" else quantity, with_bn=with_bn)
    step = curve.step.astype(np.int64)
    if measure == "log_loss_variation":
        return step, np.log10(curve.high) - np.log10(curve.low)
    return step, curve.high if measure in {
        "gradient_predictiveness",
        "beta_smoothness",
    } else curve.high - curve.low


def _value_table(many: Sequence[Network]) -> Table:
    first = many[0].traces[0]
    windows = trace_windows(first)
    alike = all(np.array_equal(trace.step, first.step) for net in many for trace in net.traces)
    spans = windows if alike and windows else ()
    whole = (first.step[0], int(first.step[-1]) + 1) if len(first.step) else (0, 0)
    names = [f"{a}–{b}" for a, b in spans]
    rows = []
    for net in many:
        saturated = sum(int(trace.saturated.sum()) for trace in net.traces)
        probes = sum(len(trace.step) for trace in net.traces)
        for measure, name in NAMES.items():
            cells = _mean_over_seeds(net, measure, spans or None)
            flags = f"{saturated:,} of {probes:,}" if measure == "beta_smoothness" else ""
            rows.append((net.name, name, *(cells if spans else cells[:1]), flags))
            if net.counterpart and spans:
                curve = published_measure(measure, with_bn=net.counterpart == "with_bn")
                rows.append((f"{net.name}, published", name, *(number(w.mean) for w in windowed(*curve, spans)), ""))
    title = f"{spans[0][0]}–{spans[-1][1]}" if spans else f"{whole[0]}–{whole[1]}" if alike else "all steps"
    header = ("network", "measure", title, *names, "saturated")
    note = "Means over the probes of a stretch of steps; ± is the standard deviation over seeds."
    return Table("Along the gradient, network by network", header, tuple(rows), words=2, note=note)


def _shift_table(many: Sequence[Network]) -> Table:
    measured = [net for net in many if any(len(trace.layer) for trace in net.traces)]
    stored = published().tables["medians"]
    rows: list[tuple[str, ...]] = []
    spans: Windows = ()
    if measured:
        spans = trace_windows(measured[0].traces[0])
        spans = tuple((a, b) for a, b in stored["covariate_shift"]["windows"]) if spans == PAPER_WINDOWS else spans
    for net in measured:
        for layer in layer_labels(net.traces[0]):
            for what, name in (("covariate_shift", "‖G − G′‖"), ("covariate_cosine", "cosine")):
                rows.append((net.name, layer, name, *_shift_medians(net, layer, what, spans)))
                asked = spans == tuple((a, b) for a, b in stored[what]["windows"])
                if net.counterpart and asked and layer == f"layer {stored[what]['layer']}":
                    numbers = (number(v) for v in stored[what][net.counterpart])
                    rows.append((f"{net.name}, published", layer, name, *numbers))
    header = ("network", "layer", "", *(f"{a}–{b}" for a, b in spans))
    note = (
        "Medians over the probes of a stretch of steps; ± is the standard deviation over seeds. G and G′ are gradients "
        "of one layer on one mini-batch, before and after the optimiser's step has moved the layers before it."
    )
    return Table("Internal covariate shift", header, tuple(rows), words=3, note=note)


def _shift_medians(net: Network, layer: str, what: str, spans: Windows) -> list[str]:
    rows = []
    for trace in net.traces:
        if layer in layer_labels(trace):
            curve = getattr(trace, what)[:, layer_labels(trace).index(layer)]
            rows.append([window.median for window in windowed(trace.step, curve, spans)[1:]])
    return [_spread(list(column)) for column in zip(*rows, strict=True)]


def _deep_linear_table(many: Sequence[Network]) -> Table:
    stored = published().tables["deep_linear_medians_log10"]
    first, last = stored["windows"][0]
    deep = [net for net in many if is_deep_linear(net.model) and int(net.traces[0].step[-1]) >= last - 100]
    rows = [row for net in deep for row in _deep_linear_rows(net, stored, first, last)]
    header = ("network", "largest loss", "‖Δg‖ largest", "beta_smoothness")
    note = f"log10 of the median over the probes of steps {first} to {last}; ± is the standard deviation over seeds."
    return Table("Deep linear networks, as figure 10 is read", header, tuple(rows), note=note)


def _deep_linear_rows(net: Network, stored: Mapping[str, Any], first: int, last: int) -> Iterator[tuple[str, ...]]:
    from landscape.smoothness.deep_linear import medians  # brings torch, which other figures do without

    names = {"loss": "loss_high", "gradient_distance": "predictiveness_high", "beta_smoothness": "beta_smoothness"}
    found = [medians(trace, first=first, last=last) for trace in net.traces]
    yield (net.name, *(_spread([m[name] for m in found]) for name in names))
    trace = net.traces[0]
    alike = np.array_equal(trace.step_size, stored["step_size"])
    if alike and trace.recipe.get("learning_rate") == stored["learning_rate"]:
        side = "with_bn" if net.model.endswith("_bn") else "without_bn"
        yield (f"{net.name}, published", *(number(stored[key][side]) for key in names.values()))
