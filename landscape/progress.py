"""What a long call tells its caller. The library itself prints nothing."""

from __future__ import annotations

from collections.abc import Callable
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
    """

    done: int
    total: int
    unit: str
    seconds_left: float
    detail: str = ""
    estimate: bool = False


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report to nobody."""
