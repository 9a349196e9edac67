"""What a long call tells its caller. The library itself prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a long call is.

    Args:
        done: Units finished, those of earlier calls included.
        total: Units in all.
        unit: What is counted: ``cell``, ``step``.
        seconds_left: Estimate from what was timed so far.
        detail: A few words on what is being done, for instance the current loss.
        estimate: Whether this is the estimate made from a few timed units, before the work begins.
        rising: Whether more may turn out to be needed: total and time are the least that is ahead.
    """

    done: int
    total: int
    unit: str
    seconds_left: float
    detail: str = ""
    estimate: bool = False
    rising: bool = False


Report = Callable[[Progress], None]


def parts(report: Report, costs: Sequence[float]) -> list[Report]:
    """Join the progress of several calls of one size into that of the whole.

    Args:
        report: Told of the whole; the first call's estimate becomes an estimate of all.
        costs: What a unit of each call costs, relative to the others.

    Returns:
        What each call reports to, in their order.
    """
    pace = 0.0  # seconds of a unit at cost 1

    def part(number: int) -> Report:
        def tell(p: Progress) -> None:
            nonlocal pace
            if p.done < p.total:
                pace = p.seconds_left / (p.total - p.done) / costs[number]
            later = pace * p.total * sum(costs[number + 1 :])
            before, total = number * p.total, len(costs) * p.total
            first = p.estimate and number == 0
            report(Progress(before + p.done, total, p.unit, p.seconds_left + later, p.detail, first, p.rising))

        return tell

    return [part(number) for number in range(len(costs))]


def silent(_: Progress) -> None:
    """Report to nobody."""
