"""The numbers of surfaces as a table: mean, spread and interval over the pairs, and what each means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from landscape.figures.data import Table, count, listed, number, percent, with_error
from landscape.records import Surface

if TYPE_CHECKING:
    from landscape.surface.metrics import Metric

_MOST_PAIRS = 6  # with a column of their own
_INTERVAL = "95 % interval"


def shared_budget(surfaces: Sequence[Surface]) -> float:
    """Choose the one loss below which a part of a plane counts as low.

    Args:
        surfaces: Surfaces drawn together.

    Returns:
        Five times the largest of the centers' losses plus one; NaN where none is finite.
    """
    from landscape.surface.metrics import budget_of  # its room brings torch along

    limits = [budget_of(surface) for surface in surfaces]
    return max((limit for limit in limits if math.isfinite(limit)), default=math.nan)


def share_sentence(surface: Surface) -> tuple[str, ...]:
    """Say which part of a plane has a low loss.

    Args:
        surface: A surface.

    Returns:
        A sentence; none where no plane has the number.
    """
    from landscape.surface.metrics import budget_of, metrics

    share = metrics(surface)["share_below"]
    if math.isnan(share.mean):
        return ()
    plane = "the plane" if surface.pairs == 1 else "a plane"
    rule = "" if isinstance(surface.recipe.get("budget"), int | float) else " (5 × the center + 1)"
    text = f"{percent(share.mean)} of {plane} lies below {number(budget_of(surface))}{rule}"
    if share.pairs < 2 or share.spread == 0:
        return (f"{text}.",)
    low, high = (percent(float(end(share.values[np.isfinite(share.values)]))) for end in (np.min, np.max))
    return (f"{text}: {low.removesuffix(' %')} to {high} on single planes.",)


def metrics_table(surfaces: Sequence[Surface], names: Sequence[str]) -> Table:
    """Tabulate the numbers of one or more surfaces.

    Args:
        surfaces: Surfaces drawn together.
        names: Their names.

    Returns:
        One row per metric. Of one surface: mean, spread, interval and each pair; of several: mean with spread, and
        interval. Of a single pair: its value.
    """
    from landscape.surface.metrics import metrics, roughness_index

    budget = shared_budget(surfaces)
    found = [metrics(surface, budget=budget) for surface in surfaces]
    columns = [_columns(surface.pairs, len(surfaces) == 1, name) for surface, name in zip(surfaces, names, strict=True)]
    rows = []
    for key, metric in found[0].items():
        cells = (_cells(one[key], header) for one, header in zip(found, columns, strict=True))
        rows.append(
            (f"{metric.label} [{metric.unit}]" if metric.unit else metric.label, *(t for c in cells for t in c))
        )
    index = (number(roughness_index(surface), 2) for surface in surfaces)
    cells = ((value, *("",) * (len(header) - 1)) for value, header in zip(index, columns, strict=True))
    rows.append(("roughness index", *(text for cell in cells for text in cell)))
    return Table(
        "Metrics over the pairs",
        ("metric", *(text for header in columns for text in header)),
        tuple(rows),
        note=_note(surfaces, found, names),
        definitions=_definitions(found, budget),
    )


def _columns(pairs: int, alone: bool, name: str) -> tuple[str, ...]:
    if pairs == 1:
        return (name or "value",)
    if not alone:
        return name, _INTERVAL
    each = [f"pair {k + 1}" for k in range(pairs)] if pairs <= _MOST_PAIRS else []
    return "mean", "spread", _INTERVAL, *each


def _cells(metric: Metric, header: tuple[str, ...]) -> tuple[str, ...]:
    each = tuple(with_error(float(v), float(e)) for v, e in zip(metric.values, metric.error, strict=True))
    if len(header) == 1:
        return each
    spread = 0.0 if metric.spread <= 1e-12 * abs(metric.mean) else metric.spread  # rounding is no spread
    interval = "–" if math.isnan(metric.low) else f"{number(metric.low, 3)} to {number(metric.high, 3)}"
    if len(header) == 2:
        return with_error(metric.mean, spread), interval
    return number(metric.mean), number(spread, 2), interval, *each[: len(header) - 3]


def _note(surfaces: Sequence[Surface], found: Sequence[dict[str, Metric]], names: Sequence[str]) -> str:
    many = [surface.pairs for surface in surfaces]
    over = listed([count(n, "pair") for n in dict.fromkeys(many)])
    between = "mean, standard deviation" if len(many) == 1 else "mean ± standard deviation"
    text = f"Over {over}: {between} and 95 % interval of the mean (Student's t). " if max(many) > 1 else ""
    text += (
        "Pairs are independent draws, so an interval speaks about random planes through this network, not about other "
        "trainings of it; of two or three pairs it is wide, and it is not cut off at 0. "
        if max(many) > 1
        else ""
    )
    text += "One pair has no spread and no interval. " if min(many) == 1 else ""
    single = "a pair's value" if max(many) > 1 else "a value"
    text += f"± behind {single} is its standard error over examples. " if len(many) == 1 or min(many) == 1 else ""
    for one, name in zip(found, names, strict=True):
        left_out = _by_count({m.label: int(m.left_out.sum()) for m in one.values()})
        fewer = [f"{m.label} {m.pairs}" for m in one.values() if 0 < m.pairs < m.values.size]
        start = f"{name}: c" if name else "C"
        text += f"{start}ells left out for want of a finite or measured loss: {left_out}. " if left_out else ""
        guessed = [m.label for m in one.values() if m.estimated.any()]
        text += f"Estimated from interpolated cells: {listed(guessed)}. " if guessed else ""
        text += f"Over fewer pairs: {listed(fewer)}. " if fewer else ""
    return text.strip()


def _by_count(counts: dict[str, int]) -> str:
    labels = {n: [label for label, other in counts.items() if other == n] for n in counts.values() if n}
    return "; ".join(f"{n:,} of {listed(names)}" for n, names in labels.items())


def _definitions(found: Sequence[dict[str, Metric]], budget: float) -> tuple[tuple[str, str], ...]:
    texts = {key: list(dict.fromkeys(one[key].definition for one in found)) for key in found[0]}
    items = [(found[0][key].label, " / ".join(text)) for key, text in texts.items()]
    several = "the largest of the centers' losses" if len(found) > 1 else "the center's loss"
    rule = f"{number(budget)} is five times {several} plus one."
    index = "Standard deviation through mean of the normalised variation over all lines through the center."
    return (*items, ("the budget", rule), ("roughness index", f"{index} Wu et al. 2021."))
