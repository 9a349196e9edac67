"""How far BN modes disagree, in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from landscape.figures.data import Table, count, listed, number, percent
from landscape.figures.data_modes import Disagreement, disagreements
from landscape.records import Surface

_SAME = 1.001  # a factor nearer to one is written as its distance from one


def modes_summary(surfaces: Sequence[Surface], names: Sequence[str]) -> tuple[str, ...]:
    """Say how far BN modes of one network disagree.

    Args:
        surfaces: Surfaces drawn together.
        names: Their names.

    Returns:
        A sentence for every two modes of one network; one for all where they can share it.
    """
    found = disagreements(surfaces)
    alike = {(one.reason, one.pairs, one.cells, one.one_sided) for one in found}
    if len(found) > 2 and len(alike) == 1 and not found[0].reason and not found[0].one_sided and found[0].cells:
        return (_together(found, names),)
    return tuple(_sentence(one, names) for one in found)


def _together(found: Sequence[Disagreement], names: Sequence[str]) -> str:
    factors = "; ".join(
        f"{names[one.first]} / {names[one.second]} {', '.join(map(_factor, (one.median, one.most, one.largest)))}"
        for one in found
    )
    apart = listed([number(abs(one.center), 3) for one in found])
    return (
        f"Factor between their losses on {_planes(found[0])} (median of {count(found[0].cells, 'cell')}, 95th "
        f"percentile, largest): {factors}. At the center they are {apart} apart."
    )


def _planes(found: Disagreement) -> str:
    return "the same plane" if found.pairs == 1 else f"the same {found.pairs} planes"


def _sentence(found: Disagreement, names: Sequence[str]) -> str:
    first, second = names[found.first], names[found.second]
    if found.reason:
        return f"{first} and {second} are not compared cell by cell: {found.reason}."
    planes = _planes(found)
    if found.place is None:
        return f"{first} and {second}, on {planes}: no cell has a loss above zero in both."
    larger, share = (first, found.first_larger) if found.first_larger >= 0.5 else (second, 1 - found.first_larger)
    cells = count(found.cells, "cell")
    if found.largest < _SAME:
        text = f"{first} and {second} agree on {planes} up to {number(found.largest - 1, 2)} of the loss, in {cells}."
    else:
        text = (
            f"{first} and {second} differ on {planes} by a factor of {_factor(found.median)} in the median of "
            f"{cells}, {_factor(found.most)} at the 95th percentile, {_factor(found.largest)} at most; {larger} is "
            f"larger in {percent(share)}; {number(abs(found.center), 3)} apart at the center."
        )
    if found.one_sided:
        text += f" In {count(found.one_sided, 'more cell')} only one of the two is finite."
    return text


def modes_table(surfaces: Sequence[Surface], names: Sequence[str]) -> Table | None:
    """Tabulate how far BN modes of one network disagree.

    Args:
        surfaces: Surfaces drawn together.
        names: Their names.

    Returns:
        One row for every two modes that were compared; None where there are none.
    """
    found = [one for one in disagreements(surfaces) if not one.reason]
    if not found:
        return None
    header = ("modes", "cells", "median", "95 % within", "largest", "at α, β", "first is larger", "center")
    note = (
        "Factor by which the losses of a cell differ: the larger one divided by the smaller one, over cells where both "
        "are finite and above zero. Last column: loss at the center, first mode minus second."
    )
    left_out = sum(one.left_out for one in found)
    note += f" {count(left_out, 'cell')} left out." if left_out else ""
    filled = sum(one.interpolated for one in found)
    note += f" {count(filled, 'cell')} interpolated in at least one mode." if filled else ""
    return Table("How far the BN modes disagree", header, tuple(_row(one, names) for one in found), note=note)


def _row(found: Disagreement, names: Sequence[str]) -> tuple[str, ...]:
    place = "–"
    if found.place is not None:
        pair, alpha, beta = found.place
        place = f"{number(alpha, 3)}, {number(beta, 3)}" + (f" of pair {pair + 1}" if found.pairs > 1 else "")
    factors = (_factor(value) for value in (found.median, found.most, found.largest))
    share = "–" if found.place is None else percent(found.first_larger)
    modes = f"{names[found.first]} / {names[found.second]}"
    return modes, f"{found.cells:,}", *factors, place, share, number(found.center, 3)


def _factor(value: float) -> str:
    return f"1 + {number(value - 1, 2)}" if value < _SAME else number(value, 3 if value > 1.1 else 4)
