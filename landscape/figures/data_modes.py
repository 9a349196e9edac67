"""How far BN modes disagree on the same planes of one network, as numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from landscape.records import Surface

_NETWORK = ("model", "model_hash", "network")
_MEASUREMENT = ("data_hash", "dataset", "split", "examples", "loss", "normalize", "seed")


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two BN modes of one network, cell by cell. A factor is the larger loss divided by the smaller one.

    Args:
        first: Index of one surface.
        second: Index of the other.
        reason: Why they cannot be compared cell by cell; empty where they can, and the rest holds.
        pairs: Planes that both have.
        cells: Cells compared: both losses are finite and above zero.
        left_out: Cells of these planes where that is not so.
        one_sided: Those of them where one of the losses is finite and the other is not.
        interpolated: Compared cells where at least one loss was interpolated.
        median: Median factor.
        most: Factor that 95 % of the cells do not exceed.
        largest: Largest factor.
        place: Its pair, alpha and beta.
        first_larger: Share of the cells where the first loss is the larger one.
        center: Loss of the first at the center minus that of the second.
    """

    first: int
    second: int
    reason: str = ""
    pairs: int = 0
    cells: int = 0
    left_out: int = 0
    one_sided: int = 0
    interpolated: int = 0
    median: float = math.nan
    most: float = math.nan
    largest: float = math.nan
    place: tuple[int, float, float] | None = None
    first_larger: float = math.nan
    center: float = math.nan


def disagreements(surfaces: Sequence[Surface]) -> tuple[Disagreement, ...]:
    """Compare every pair of BN modes of one network.

    Args:
        surfaces: Surfaces drawn together.

    Returns:
        One entry per pair of surfaces that are of one network and of different modes.
    """
    return tuple(_compare(surfaces, i, j) for i, j in _twins(surfaces))


def _twins(surfaces: Sequence[Surface]) -> Iterator[tuple[int, int]]:
    for i, j in itertools.combinations(range(len(surfaces)), 2):
        a, b = surfaces[i].recipe, surfaces[j].recipe
        modes = a.get("bn") and b.get("bn") and a["bn"] != b["bn"]
        if modes and a.get("has_batchnorm", True) and _differing(a, b, _NETWORK) is None:
            yield i, j


def _differing(a: Mapping[str, Any], b: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    return next((key for key in keys if key in a and key in b and a[key] != b[key]), None)


def _shared_pairs(a: Surface, b: Surface) -> tuple[int, str]:
    """Number of leading pairs that are the same planes, or why there is none."""
    key = _differing(a.recipe, b.recipe, _MEASUREMENT)
    if key:
        return 0, f"{key.replace('_', ' ')} differs"
    if not (np.array_equal(a.grid.alpha, b.grid.alpha) and np.array_equal(a.grid.beta, b.grid.beta)):
        return 0, "the grids differ"
    many = min(a.pairs, b.pairs)
    hashes = zip(a.recipe.get("directions") or [None] * many, b.recipe.get("directions") or [None] * many, strict=False)
    same = list(itertools.takewhile(lambda pair: None in pair or pair[0] == pair[1], hashes))[:many]
    return len(same), "" if same else "the planes differ"


def _compare(surfaces: Sequence[Surface], i: int, j: int) -> Disagreement:
    a, b = surfaces[i], surfaces[j]
    center = a.center.loss - b.center.loss
    pairs, reason = _shared_pairs(a, b)
    if reason:
        return Disagreement(i, j, reason, center=center)
    one, other = (np.where(s.done, s.loss, np.nan)[:pairs] for s in (a, b))
    finite = np.isfinite(one), np.isfinite(other)
    both = finite[0] & finite[1] & (one > 0) & (other > 0)
    found = Disagreement(
        i,
        j,
        pairs=pairs,
        cells=int(both.sum()),
        left_out=int((~both).sum()),
        one_sided=int((finite[0] ^ finite[1]).sum()),
        interpolated=int((both & ~(a.measured[:pairs] & b.measured[:pairs])).sum()),
        center=center,
    )
    if not found.cells:
        return found
    log = np.full(one.shape, np.nan)
    log[both] = np.log(one[both]) - np.log(other[both])
    size = np.abs(log[both])
    with np.errstate(over="ignore"):
        median, most, largest = (float(v) for v in np.exp([np.median(size), np.percentile(size, 95), size.max()]))
    pair, m, n = np.unravel_index(int(np.nanargmax(np.abs(log))), log.shape)
    return replace(
        found,
        median=median,
        most=most,
        largest=largest,
        place=(int(pair), float(a.grid.alpha[m]), float(a.grid.beta[n])),
        first_larger=float((log[both] > 0).mean()),
    )
