"""Convolutions on maps smaller than their kernel, as one matrix product.

A 3 x 3 convolution of a 2 x 2 map multiplies 36 pairs of positions, of which 20 are padding. Written as a dense matrix
from all inputs to all outputs it multiplies 16, in one product that the processor is good at. The matrix is made
anew from the weights in every pass, which is cheap beside the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from landscape.space.folding import plain_layer

_WORTH = 32  # images of a batch: for fewer, making the matrix takes longer than the product saves


@contextmanager
def small_maps(model: nn.Module, run: Callable[[], Any]) -> Iterator[None]:
    """Replace convolutions on small maps in a borrowed network on the CPU; on exit they are back.

    Args:
        model: A network inside ``borrowed``.
        run: Runs it once.

    Yields:
        Nothing.
    """
    found, matrices = _small(model, run), dict[Any, Tensor]()
    places = [(m._modules, k, c) for m in model.modules() for k, c in m._modules.items() if c in found]
    try:
        for table, key, conv in places:
            if conv is not None:
                table[key] = _Dense(conv, found[conv], matrices)
        yield
    finally:
        for table, key, conv in places:
            table[key] = conv


def _small(model: nn.Module, run: Callable[[], Any]) -> dict[nn.Module, torch.Size]:
    """Convolutions that see maps with at most half as many positions as their kernel has, by size of the map."""
    sizes: dict[nn.Module, torch.Size] = {}

    def note(conv: Any, inputs: tuple[Any, ...]) -> None:
        size = inputs[0].shape[2:]
        if inputs[0].ndim == 4 and 2 * size.numel() <= conv.weight[0, 0].numel():
            sizes[conv] = size

    found: list[Any] = [m for m in model.modules() if plain_layer(m, (nn.Conv2d,))]
    plain = [m for m in found if m.groups == 1 and m.padding_mode == "zeros" and not isinstance(m.padding, str)]
    if not plain:
        return {}
    hooks = [m.register_forward_pre_hook(note) for m in plain]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return sizes


class _Dense(nn.Module):
    """A convolution on maps of one size.

    Args:
        conv: The convolution.
        size: Height and width of its maps.
        matrices: Where layers of one form share a matrix: each fills it before it multiplies.
    """

    def __init__(self, conv: Any, size: torch.Size, matrices: dict[Any, Tensor]) -> None:
        super().__init__()
        self._conv, self._size = [conv], size  # not as a submodule: its parameters keep their names
        self._copies = [list(_overlaps(conv, size, axis)) for axis in (0, 1)]
        out, channels = conv.weight.shape[:2]
        self._shape = (*(len(axis) for axis in self._copies), out, *size, channels)
        self._matrices = matrices
        self._form = (self._shape, conv.kernel_size, conv.stride, conv.padding, conv.dilation)

    def forward(self, x: Tensor) -> Tensor:
        (conv,) = self._conv
        if x.shape[2:] != self._size or len(x) < _WORTH:
            unchanged: Tensor = conv(x)
            return unchanged
        matrix = self._filled(conv.weight)
        rows, columns, out = self._shape[:3]
        flat = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        if matrix.dtype == torch.float32 and not torch.is_autocast_enabled("cpu"):
            # as a 1 x 1 convolution: oneDNN's float32 product is the faster one on processors that are not Intel's
            image, kernel = flat[None, :, None].permute(0, 3, 1, 2), matrix[:, :, None, None]
            y = conv2d(image, kernel)[0, :, :, 0].T
        else:
            y = linear(flat, matrix)
        y = y.reshape(len(x), rows, columns, out)
        if conv.bias is not None:
            y = y + conv.bias.to(y.dtype)
        return y.permute(0, 3, 1, 2)

    def _filled(self, weight: Tensor) -> Tensor:
        form = (self._form, weight.dtype)
        if form not in self._matrices:
            self._matrices[form] = weight.new_zeros(self._shape)
        matrix, taps = self._matrices[form], weight.detach().permute(0, 2, 3, 1)
        for oy, (iy, ky) in enumerate(self._copies[0]):
            for ox, (ix, kx) in enumerate(self._copies[1]):
                matrix[oy, ox][:, iy, ix].copy_(taps[:, ky, kx])
        rows, columns, out = self._shape[:3]
        return matrix.view(rows * columns * out, -1)


def _overlaps(conv: Any, size: torch.Size, axis: int) -> Iterator[tuple[slice, slice]]:
    """For every output position along an axis: which inputs it reads, and with which taps of the kernel."""
    length, kernel = size[axis], conv.weight.shape[2 + axis]
    stride, padding, dilation = conv.stride[axis], int(conv.padding[axis]), conv.dilation[axis]
    for start in range(-padding, length + padding - dilation * (kernel - 1), stride):
        taps = [k for k in range(kernel) if 0 <= start + k * dilation < length]
        if not taps:
            yield slice(0, 0), slice(0, 0)
            continue
        first, last = start + taps[0] * dilation, start + taps[-1] * dilation
        yield slice(first, last + 1, dilation), slice(taps[0], taps[-1] + 1)
