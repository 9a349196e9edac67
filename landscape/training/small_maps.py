"""Convolutions on tiny maps as one matrix product while training on a CPU.

On a 2 x 2 map a padded 3 x 3 convolution multiplies 36 pairs of positions, 20 of them with padding; VGG-A has two such
layers, and oneDNN's backward pass takes a sixth of a training step for them. Every output position reads every input
position there, so the layer is one dense product of the flattened map. Evaluation is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


@contextmanager
def dense_small_maps(model: nn.Module) -> Iterator[None]:
    """Compute convolutions on tiny maps as dense products in training mode; on exit the layers are as they were.

    Args:
        model: The network. Names and parameters stay what they are.

    Yields:
        Nothing.
    """
    found = [module for module in model.modules() if type(module) is nn.Conv2d and _fits(module)]
    found = [module for module in found if module.weight.device.type == "cpu" and "forward" not in vars(module)]
    for conv in found:
        conv.forward = partial(_forward, conv, conv.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for conv in found:
            del conv.forward


def _fits(conv: nn.Conv2d) -> bool:
    """Whether a square convolution keeps the size of its map."""
    k = conv.kernel_size[0]
    kept = conv.kernel_size == (k, k) and conv.padding == (k // 2, k // 2) and k % 2 == 1 and k > 1
    plain = conv.stride == (1, 1) and conv.dilation == (1, 1) and conv.groups == 1 and conv.padding_mode == "zeros"
    return kept and plain


def _forward(conv: nn.Conv2d, plain: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    reach = (conv.kernel_size[0] + 1) // 2  # of a map so small every pair of positions has a tap
    if not conv.training or x.ndim != 4 or max(x.shape[2:]) > reach:
        return plain(x)
    height, width = x.shape[2:]
    out, channels = conv.weight.shape[:2]
    taps = conv.weight.permute(0, 2, 3, 1).reshape(out, -1, channels)
    matrix = taps.index_select(1, _taps(height, width, conv.kernel_size[0])).view(out * height * width, -1)
    flat = x.permute(0, 2, 3, 1).reshape(len(x), -1)
    y = linear(flat, matrix).view(len(x), out, height, width)
    return y if conv.bias is None else y + conv.bias.to(y.dtype)[:, None, None]


def _taps(height: int, width: int, kernel: int) -> Tensor:
    """The tap that leads from an input position to an output position, output by output."""
    y, x = (axis.reshape(-1) for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    down, across = y[None] - y[:, None] + kernel // 2, x[None] - x[:, None] + kernel // 2
    return (down * kernel + across).reshape(-1)
