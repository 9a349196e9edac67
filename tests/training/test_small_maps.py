"""Convolutions on tiny maps as products: outputs and gradients of the convolution, and nothing left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.training.small_maps import dense_small_maps


def passes(conv, x):
    x = x.clone().requires_grad_()
    y = conv(x)
    (y * torch.arange(y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    found = [y.detach(), x.grad, *(p.grad for p in conv.parameters())]
    conv.zero_grad()
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("size", "kernel"), [((2, 2), 3), ((1, 2), 3), ((1, 1), 3), ((3, 2), 5), ((3, 3), 3)])
def test_outputs_and_gradients_are_those_of_the_convolution(size, kernel, bias):
    """Other numbers of channels, heights and widths, so that nothing can be swapped; 3 x 3 is too large for a 3."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, kernel, padding=kernel // 2, bias=bias).double().to(memory_format=torch.channels_last)
    x = torch.randn(4, 3, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    expected = passes(conv, x)
    with dense_small_maps(conv):
        found = passes(conv, x)
        used = conv.eval()(x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert torch.equal(used, conv(x)), "evaluation is left as it is"


def test_small_maps_take_no_convolution_and_the_layers_come_back(monkeypatch):
    conv = nn.Conv2d(3, 5, 3, padding=1)
    with pytest.raises(ZeroDivisionError), dense_small_maps(conv):
        with monkeypatch.context() as patch:
            patch.setattr(nn.Conv2d, "_conv_forward", lambda *_: pytest.fail("a convolution was computed"))
            conv(torch.zeros(2, 3, 2, 2))
        raise ZeroDivisionError
    assert "forward" not in vars(conv)


@pytest.mark.parametrize(
    "options", [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"groups": 2}, {"padding": "same"}]
)
def test_other_convolutions_are_left_alone(options):
    conv = nn.Conv2d(4, 4, 3, **({"padding": 1} | options))
    with dense_small_maps(conv):
        assert "forward" not in vars(conv)
