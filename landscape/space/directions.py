"""Random direction pairs: the same plane on every device and machine, exactly normalized and exactly orthogonal.

Only tensors of two or more dimensions draw. The k-th of them has a CPU generator of its own, so a network with
BatchNorm or dropout shares the planes of its plain twin: layers without such tensors do not shift the draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index as integer
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import LayoutError, UsageError
from landscape.space.normalize import normalize as _normalized
from landscape.space.normalize import ratio, row_norms, scale_rows
from landscape.space.vector import Params, check_layout, parameters_of

SCHEME = 1  # part of every seed: a change of the draws is a new scheme, so that files of the old one are told apart


@dataclass(frozen=True, eq=False)
class DirectionPair:
    """Two directions that span a plane, as tensors under the center's names. Anyone may build one.

    Args:
        first: The direction that alpha multiplies.
        second: The direction that beta multiplies; all zero makes a line.
        recipe: How it was made; ``None`` for a pair of one's own, which is then known by its hash alone.

    Raises:
        LayoutError: The two differ in names or shapes.
    """

    first: Mapping[str, Tensor]
    second: Mapping[str, Tensor]
    recipe: Mapping[str, Any] | None = field(default=None)

    def __post_init__(self) -> None:
        """Check that the two fit each other."""
        check_layout(self.second, self.first, what="the second direction")

    @property
    def hash(self) -> str:
        """SHA-256 over names, shapes and values of both directions, first 16 hex digits."""
        return tensor_hash(
            {f"first.{n}": t for n, t in self.first.items()} | {f"second.{n}": t for n, t in self.second.items()}
        )

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the two, in float64; NaN where one of them is zero."""
        return cosine(self.first, self.second)


def tensor_hash(tensors: Params) -> str:
    """Hash named tensors by value.

    Args:
        tensors: Any tensors; device and memory layout do not matter.

    Returns:
        The first 16 hex digits of SHA-256 over names, dtypes, shapes and values.
    """
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        t = tensor.detach().cpu().contiguous()
        digest.update(f"{name}|{t.dtype}|{tuple(t.shape)}|".encode())
        digest.update(t.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def cosine(first: Params, second: Params) -> float:
    """Return the cosine of the angle between two directions, summed in float64."""
    dot, a, b = (sum(_dot(x[n], y[n]) for n in first) for x, y in ((first, second), (first, first), (second, second)))
    return dot / (a * b) ** 0.5 if a > 0 and b > 0 else float("nan")


def _dot(x: Tensor, y: Tensor) -> float:
    return float(torch.dot(x.reshape(-1).double(), y.reshape(-1).double()))


def random_pair(
    center: Params | nn.Module,
    *,
    seed: int = 0,
    index: int = 0,
    normalize: str = "filter",
    orthogonal: bool = True,
) -> DirectionPair:
    """Draw a pair of random directions through ``center``.

    With ``normalize="filter"`` and ``orthogonal=True`` both hold exactly: the second direction is orthogonalised
    against the first filter by filter and each filter then rescaled to the center's norm. A filter of one element
    cannot be orthogonal to another; it is zero in the second direction, and ``recipe`` counts such filters. For the
    other normalizations the pair is orthogonalised over the tensors or the whole, whichever keeps them exact.

    Args:
        center: A network or its parameters. Tensors of fewer than two dimensions are not moved.
        seed: Seed of the draws.
        index: Number of the pair under that seed: 0, 1, 2, ...
        normalize: ``filter``, ``layer``, ``unit`` or ``none``.
        orthogonal: Whether the second direction is made orthogonal to the first.

    Returns:
        The pair, with the center's dtypes and devices.

    Raises:
        LayoutError: No parameter has two or more dimensions, so there is nothing to draw.

    Source: Li et al. 2018, arXiv:1712.09913, section 4; orthogonality within filters is this package's own.
    """
    seed, index = integer(seed), integer(index)  # NumPy's integers print differently, and so would seed differently
    params = parameters_of(center)
    if not any(w.ndim >= 2 for w in params.values()):
        raise LayoutError("no parameter has two or more dimensions: a random direction has nothing to move")
    drawn = {name: k for k, name in enumerate(n for n, w in params.items() if w.ndim >= 2)}
    apart = normalize in {
        "filter",
        "layer",
    }  # tensor by tensor: float64 copies of everything would be the peak of memory
    first: dict[str, Tensor] = {}
    second: dict[str, Tensor] = {}
    single = 0
    for names in [[name] for name in params] if apart else [list(params)]:
        some = {name: params[name] for name in names}
        draws = [_draw(some, drawn, seed, index, which) for which in ("first", "second")]
        one, other, found = _finished(draws, some, normalize, orthogonal=orthogonal)
        first, second, single = first | one, second | other, single + found
    recipe = {
        "scheme": SCHEME,
        "seed": seed,
        "index": index,
        "normalize": normalize,
        "orthogonal": orthogonal,
        "single_element_filters": single,
    }
    return DirectionPair(first, second, recipe)


def random_pairs(
    center: Params | nn.Module, count: int, *, seed: int = 0, normalize: str = "filter", orthogonal: bool = True
) -> list[DirectionPair]:
    """Draw the pairs 0 to ``count - 1`` of a seed.

    Args:
        center: A network or its parameters.
        count: Number of pairs, at least one.
        seed: Seed of the draws; a larger count begins with the same pairs.
        normalize: As in ``random_pair``.
        orthogonal: As in ``random_pair``.

    Returns:
        The pairs.

    Raises:
        UsageError: ``count`` is below one.
    """
    if count < 1:
        raise UsageError(f"at least one direction pair is needed; got {count}")
    return [random_pair(center, seed=seed, index=i, normalize=normalize, orthogonal=orthogonal) for i in range(count)]


def _draw(params: Params, drawn: Mapping[str, int], seed: int, index: int, which: str) -> dict[str, Tensor]:
    """Standard normal entries in float64, zero for vectors and scalars; ``drawn`` numbers those that draw."""
    direction: dict[str, Tensor] = {}
    for name, w in params.items():
        if name not in drawn:
            direction[name] = torch.zeros(w.shape, dtype=torch.float64)
            continue
        generator = torch.Generator("cpu").manual_seed(_seed_of(seed, index, which, drawn[name], tuple(w.shape)))
        direction[name] = torch.randn(w.shape, generator=generator, dtype=torch.float64)
    return direction


def _finished(
    draws: Sequence[Params], params: Params, normalize: str, *, orthogonal: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """Normalize and orthogonalise two draws; count the filters of one element."""
    center = {name: w.detach().cpu().double() for name, w in params.items()}
    first, second, single = _normalized(draws[0], center, normalize), draws[1], 0
    if orthogonal:
        second, single = _orthogonalize(second, first, per=normalize)
    second = _normalized(second, center, normalize)
    return _cast(first, params), _cast(second, params), single


def _seed_of(*key: object) -> int:
    digest = hashlib.sha256(repr((SCHEME, *key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # manual_seed takes 64 signed bits


def _orthogonalize(second: Params, first: Params, *, per: str) -> tuple[dict[str, Tensor], int]:
    """Take the part along ``first`` out of ``second``; count the filters of one element."""
    # the unit is that of the normalization: what is then rescaled as one stays orthogonal
    moved = [name for name, d in second.items() if d.ndim >= 2]
    if per not in {"filter", "layer"}:
        joined = [torch.cat([direction[n].reshape(-1) for n in moved])[None] for direction in (second, first)]
        pieces = torch.split(_reject(*joined)[0], [second[n].numel() for n in moved])
        return {**second, **{n: x.reshape(second[n].shape) for n, x in zip(moved, pieces, strict=True)}}, 0
    result, single = dict(second), 0
    for name in moved:
        rows = len(second[name]) if per == "filter" else 1
        d, against = (direction[name].reshape(rows, -1) for direction in (second, first))
        single += rows if d.shape[1] == 1 else 0
        result[name] = _reject(d, against).reshape(second[name].shape)
    return result, single


def _reject(d: Tensor, against: Tensor) -> Tensor:
    """Row by row ``d - <d, a> a / <a, a>``, twice: the second pass removes the rounding of the first."""
    if d.shape[1] == 1:
        return torch.zeros_like(d)  # one element is parallel to any other; what subtraction leaves is rounding
    unit = scale_rows(against, ratio(torch.ones(len(against), dtype=torch.float64), row_norms(against)))
    for _ in range(2):
        inner = (d * unit).reshape(len(d), -1).sum(dim=1)
        d = d - scale_rows(unit, inner)
    return d


def _cast(direction: Params, like: Params) -> dict[str, Tensor]:
    return {name: d.to(dtype=like[name].dtype, device=like[name].device) for name, d in direction.items()}
