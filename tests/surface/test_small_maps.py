"""A convolution on a small map as a matrix product is the convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from landscape.surface.evaluators.small_maps import small_maps

CASES = [
    ((2, 2), {"kernel_size": 3, "padding": 1}),
    ((1, 1), {"kernel_size": 3, "padding": 1}),
    ((2, 2), {"kernel_size": (3, 5), "padding": (1, 2), "bias": False}),
    ((3, 4), {"kernel_size": 5, "padding": 2, "stride": 2}),
    ((2, 3), {"kernel_size": (5, 3), "padding": (4, 2), "dilation": (2, 2)}),
    ((2, 2), {"kernel_size": 3, "padding": 2, "stride": (1, 3)}),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("size", "options"), CASES)
def test_it_is_the_convolution_also_after_the_weights_moved(size, options, dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, **options)).to(dtype)
    x = torch.randn(32, 3, *size, dtype=dtype).contiguous(memory_format=torch.channels_last)
    conv = net[0]
    tolerance = {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 1e-5}
    with torch.no_grad(), small_maps(net, lambda: net(x)):
        assert net[0] is not conv
        for _ in range(2):
            arguments = (conv.stride, conv.padding, conv.dilation)
            torch.testing.assert_close(net(x), conv2d(x, conv.weight, conv.bias, *arguments), **tolerance)
            conv.weight.data = torch.randn_like(conv.weight)
        other = torch.randn(2, 3, size[0] + 2, size[1] + 2, dtype=dtype)
        torch.testing.assert_close(net(other), conv(other), **tolerance)  # another size takes the convolution
        assert torch.equal(net(x[:31]), conv(x[:31]))  # and so do few images
    assert net[0] is conv


def test_layers_of_one_form_share_a_matrix_and_not_their_weights():
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in range(2))).double()
    x = torch.randn(32, 4, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        expected = net(x)
        with small_maps(net, lambda: net(x)):
            torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-12)
            first, second = net
            assert first is not second
            assert [len(layer._matrices) for layer in net] == [1, 1]
            assert first._matrices is second._matrices


def test_bfloat16_is_autocasts():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1))
    x = torch.randn(32, 8, 2, 2)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected = net(x).float()
        with small_maps(net, lambda: net(x)):
            found = net(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("size", "conv"),
    [
        ((3, 3), nn.Conv2d(2, 2, 3, padding=1)),  # more than half as many positions as the kernel has
        ((2, 2), nn.Conv2d(2, 2, 3, padding=1, groups=2)),
        ((2, 2), nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")),
        ((2, 2), nn.Conv2d(2, 2, 3, padding="same")),
    ],
)
def test_others_are_left_alone(size, conv):
    net, x = nn.Sequential(conv), torch.randn(2, 2, *size)
    with small_maps(net, lambda: net(x)):
        assert net[0] is conv


def test_everything_is_back_after_an_error_and_parameters_keep_their_names():
    net, x = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1)), torch.randn(2, 2, 2, 2)
    conv = net[0]
    with pytest.raises(RuntimeError, match="stop"), small_maps(net, lambda: net(x)):
        assert conv not in list(net.modules())
        raise RuntimeError("stop")
    assert net[0] is conv
    assert list(dict(net.named_parameters())) == ["0.weight", "0.bias"]
