"""Max pooling by 2 as two maxima, before ReLU instead of after it.

``max_pool2d`` also notes where every maximum was found, eight bytes a number that nobody reads here. ReLU is monotonic,
so it may follow the pooling, where it has a quarter of the work: ``relu(max(x)) == max(relu(x))`` to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from landscape.space.folding import plain_layer


@contextmanager
def quick_pools(model: nn.Module) -> Iterator[None]:
    """Replace max pooling by 2 in a borrowed network on the CPU; on exit it is back.

    ReLU changes places with a pooling layer that follows it in an ``nn.Sequential``, where nothing else reads its
    output.

    Args:
        model: A network inside ``borrowed``.

    Yields:
        Nothing.
    """
    tables = [module._modules for module in model.modules()]
    before = [dict(table) for table in tables]
    try:
        for module in list(model.modules()):
            if type(module) is nn.Sequential:
                _pool_first(module._modules)
        for table in tables:
            for name in [k for k, layer in table.items() if _halves(layer)]:
                table[name] = _Maximum()
        yield
    finally:
        for table, layers in zip(tables, before, strict=True):
            table.update(layers)


def _pool_first(table: dict[str, nn.Module]) -> None:
    for first, second in pairwise(table):
        one, other = table[first], table[second]
        if one is not None and plain_layer(one, (nn.ReLU,)) and _halves(other):
            table[first], table[second] = other, one


def _halves(layer: nn.Module | None) -> bool:
    """Whether a layer is max pooling of 2 x 2 without overlap or border."""
    if layer is None or not plain_layer(layer, (nn.MaxPool2d,)):
        return False
    pool: Any = layer
    sizes = [pool.kernel_size, pool.stride, pool.padding, pool.dilation]
    pairs = [(size, size) if isinstance(size, int) else tuple(size) for size in sizes]
    return pairs == [(2, 2), (2, 2), (0, 0), (1, 1)] and not pool.return_indices and not pool.ceil_mode


class _Maximum(nn.Module):
    """Max pooling by 2; a last odd row or column is left out, as ``nn.MaxPool2d`` does."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = (size // 2 * 2 for size in x.shape[-2:])
        rows = torch.maximum(x[..., 0:height:2, :width], x[..., 1:height:2, :width])
        return torch.maximum(rows[..., 0::2], rows[..., 1::2])
