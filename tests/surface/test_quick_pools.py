"""Pooling by maxima is max pooling, to the bit, and gives the layers back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.surface.evaluators.quick_pools import quick_pools


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (2, 3)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_it_is_max_pooling_of_relu_to_the_bit(size, layout, dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True), nn.MaxPool2d(2)).to(dtype)
    x = torch.randn(4, 3, *size, dtype=dtype).contiguous(memory_format=layout)
    x[0, :, 0, 0] = torch.nan  # a window with one is one, as torch has it
    with torch.no_grad():
        expected = net(x)
        layers = list(net)
        with quick_pools(net):
            assert isinstance(net[2], nn.ReLU)
            assert not isinstance(net[1], nn.MaxPool2d | nn.ReLU)
            torch.testing.assert_close(net(x), expected, rtol=0, atol=0, equal_nan=True)
    assert list(net) == layers


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(2, 1),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d(2, return_indices=True),
        nn.AvgPool2d(2),
    ],
)
def test_other_pools_are_left_alone(pool):
    net = nn.Sequential(nn.ReLU(), pool)
    with quick_pools(net):
        assert net[1] is pool


def test_relu_stays_where_somebody_looks_at_it_or_the_container_is_not_plain():
    class Both(nn.Sequential):
        def forward(self, x):
            y = self[0](x)
            return self[1](y).sum() + y.sum()

    seen = []
    hooked = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    hooked[0].register_forward_hook(lambda *args: seen.append(args[2]))
    own, x = Both(nn.ReLU(), nn.MaxPool2d(2)), torch.randn(2, 3, 4, 4)
    expected = own(x)
    with quick_pools(hooked), quick_pools(own):
        assert isinstance(own[0], nn.ReLU)
        torch.testing.assert_close(own(x), expected)
        hooked(x)
    torch.testing.assert_close(seen[0], x.relu())


def test_layers_are_back_after_an_error():
    net = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    layers = list(net)
    with pytest.raises(RuntimeError, match="stop"), quick_pools(net):
        raise RuntimeError("stop")
    assert list(net) == layers
