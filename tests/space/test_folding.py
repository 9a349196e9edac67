"""A BatchNorm layer with fixed statistics is an affine map: folded away, the network is the same function."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.space import batchnorm_layers, borrowed
from landscape.space.folding import folded


def seeded(net, seed=0):
    """float64, with statistics, affine parameters and an epsilon that are not trivial."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for p in net.parameters():
            nn.init.normal_(p, 0, 0.5)
        for layer in batchnorm_layers(net).values():
            layer.eps = 0.05
            nn.init.normal_(layer.running_mean, 0, 0.5)
            nn.init.uniform_(layer.running_var, 0.3, 2)
            if layer.affine:
                nn.init.uniform_(layer.weight, -1.5, 1.5)
                nn.init.normal_(layer.bias)
    return net.double().eval()


def inputs(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def state_of(net):
    return {
        "modules": [(n, id(m)) for n, m in net.named_modules(remove_duplicate=False)],
        "parameters": [(n, id(p), p.data_ptr(), p.tolist()) for n, p in net.named_parameters()],
        "slots": [(n, k, id(p)) for n, m in net.named_modules() for k, p in m._parameters.items()],
        "buffers": [(n, id(b), b.tolist()) for n, b in net.named_buffers()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in net.modules()],
    }


FOLDABLE = {
    "linear": (lambda: (nn.Linear(4, 3), nn.BatchNorm1d(3)), (5, 4)),
    "linear without bias": (lambda: (nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3)), (5, 4)),
    "conv1d": (lambda: (nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3)), (5, 2, 6)),
    "conv2d": (lambda: (nn.Conv2d(2, 3, 3, stride=2), nn.BatchNorm2d(3)), (5, 2, 6, 5)),
    "conv2d without bias": (lambda: (nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)), (5, 2, 6, 5)),
    "conv3d": (lambda: (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3)), (5, 2, 3, 4, 3)),
    "depthwise": (lambda: (nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.BatchNorm2d(4)), (5, 4, 6, 5)),
    "grouped, two a group": (lambda: (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)), (5, 4, 6, 5)),
    "reflected border": (
        lambda: (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(3)),
        (5, 2, 6, 5),
    ),
    "not affine": (lambda: (nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, affine=False)), (5, 2, 6, 5)),
    "not affine, without bias": (
        lambda: (nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3, affine=False)),
        (5, 4),
    ),
}


@pytest.mark.parametrize("kind", FOLDABLE)
def test_the_folded_network_is_the_same_function_at_every_point_and_comes_back(kind):
    make, shape = FOLDABLE[kind]
    net, x = seeded(nn.Sequential(*make(), nn.ReLU())), inputs(*shape)
    center = {n: p.detach().clone() for n, p in net.named_parameters()}
    moving = [n for n in center if n.startswith("0.")]
    direction = {n: inputs(*center[n].shape) for n in moving}
    with torch.no_grad():
        wanted = net(x)
        point = {n: p + 0.7 * direction[n] if n in moving else p for n, p in center.items()}
        moved = torch.func.functional_call(net, point, (x,))
    assert (moved - wanted).abs().max() > 0.1
    before = state_of(net)
    with borrowed(net), torch.inference_mode():
        with folded(net, lambda: net(x), moving) as fold:
            assert fold.layers == ("1",)
            assert isinstance(net[1], nn.Identity)
            torch.testing.assert_close(net(x), wanted, rtol=1e-12, atol=1e-12)
            for name, p in net.named_parameters():
                if name in moving:
                    step = direction[name].clone()
                    fold.apply(name, step, shift=False)
                    p.data.add_(step, alpha=0.7)
            torch.testing.assert_close(net(x), moved, rtol=1e-12, atol=1e-12)
            for name, p in net.named_parameters():
                if name in moving:  # a point is scaled and shifted, which is where the direction led
                    value = point[name].clone()
                    fold.apply(name, value)
                    torch.testing.assert_close(value, p, rtol=1e-12, atol=1e-12)
        assert not isinstance(net[1], nn.Identity)
    assert state_of(net) == before


def test_several_layers_in_nested_modules_and_an_output_that_is_used_twice():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.norm(self.conv(x))
            return x + y * torch.sigmoid(y)

    net = seeded(nn.Sequential(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)), nn.ReLU(), Residual(), Residual()))
    x, before = inputs(4, 2, 6, 5), state_of(net)
    wanted = net(x).detach()
    with borrowed(net), torch.inference_mode(), folded(net, lambda: net(x), ["0.0.weight"]) as fold:
        assert fold.layers == ("0.1", "2.norm", "3.norm")
        torch.testing.assert_close(net(x), wanted, rtol=1e-12, atol=1e-12)
    assert state_of(net) == before


def test_a_layer_held_under_two_names_is_replaced_in_both_and_back_in_both():
    net = seeded(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    net.register_module("again", nn.ModuleList([net[1]]))
    net.forward = lambda x: net.again[0](net[0](x))
    x, before = inputs(5, 4), state_of(net)
    wanted = net(x).detach()
    with borrowed(net), torch.inference_mode(), folded(net, lambda: net(x), []) as fold:
        assert len(fold.layers) == 1
        assert isinstance(net[1], nn.Identity)
        assert isinstance(net.again[0], nn.Identity)
        torch.testing.assert_close(net(x), wanted, rtol=1e-12, atol=1e-12)
    assert state_of(net) == before


class _Special(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).square()


class _SpecialNorm(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) + x


class _Net(nn.Module):
    """Two convolutions, two BatchNorm layers, and what a case does with them."""

    def __init__(self, forward, *, conv=nn.Conv2d, norm=nn.BatchNorm2d):
        super().__init__()
        self.conv, self.norm = conv(3, 3, 3, padding=1), norm(3)
        self.other, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def _shared():
    net = _Net(lambda n, x: n.other(n.norm(n.conv(x))))
    net.other.weight = net.conv.weight
    return net


def _shared_norm():
    net = _Net(lambda n, x: n.second(n.other(n.norm(n.conv(x)))))
    net.second = nn.BatchNorm2d(3)
    net.second.weight = net.norm.weight
    net.second.bias = net.norm.bias
    return net


def _hooked(which, register):
    net = _Net(lambda n, x: n.last(n.norm(n.conv(x))))
    getattr(getattr(net, which), register)(lambda module, *args: None)
    return net


def _training():
    net = _Net(lambda n, x: n.last(n.norm(n.conv(x))))
    net.after = net.norm.train
    return net


NOT_FOLDABLE = {
    "BatchNorm before the convolution": lambda: _Net(lambda n, x: n.conv(n.norm(x))),
    "something between": lambda: _Net(lambda n, x: n.last(n.norm(torch.relu(n.conv(x))))),
    "something between, in place": lambda: _Net(lambda n, x: n.last(n.norm(n.conv(x).relu_()))),
    "another convolution between": lambda: _Net(lambda n, x: n.last(n.norm(n.conv(x) + n.other(x)))),
    "convolution used twice": lambda: _Net(lambda n, x: n.norm(n.conv(n.conv(x)))),
    "convolution used again later": lambda: _Net(lambda n, x: n.conv(n.norm(n.conv(x)))),
    "layer used twice": lambda: _Net(lambda n, x: n.last(n.norm(n.norm(n.conv(x))))),
    "layer used after two convolutions": lambda: _Net(lambda n, x: n.norm(n.other(n.norm(n.conv(x))))),
    "shared weight": _shared,
    "shared affine parameters": _shared_norm,
    "hook on the convolution": lambda: _hooked("conv", "register_forward_hook"),
    "hook before the convolution": lambda: _hooked("conv", "register_forward_pre_hook"),
    "hook on the layer": lambda: _hooked("norm", "register_forward_hook"),
    "hook before the layer": lambda: _hooked("norm", "register_forward_pre_hook"),
    "convolution of another type": lambda: _Net(lambda n, x: n.last(n.norm(n.conv(x))), conv=_Special),
    "layer of another type": lambda: _Net(lambda n, x: n.last(n.norm(n.conv(x))), norm=_SpecialNorm),
    "layer in training mode": _training,
    "never reached": lambda: _Net(lambda n, x: n.last(n.conv(x))),
}


@pytest.mark.parametrize("kind", NOT_FOLDABLE)
def test_what_is_no_plain_chain_is_left_alone(kind):
    net = seeded(NOT_FOLDABLE[kind]())
    getattr(net, "after", lambda: None)()
    x, before = inputs(4, 3, 5, 5), state_of(net)
    with borrowed(net), torch.inference_mode(), folded(net, lambda: net(x), ["conv.weight"]) as fold:
        assert fold.layers == ()
        assert (fold.scale, fold.shift) == ({}, {})
        assert state_of(net)["modules"] == before["modules"]
    assert state_of(net) == before


def test_a_sequence_is_normalized_by_position_which_a_linear_layer_cannot_absorb():
    """BatchNorm1d after Linear on (n, positions, features): channels are the positions."""
    net, x = seeded(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))), inputs(5, 3, 4)
    with borrowed(net), torch.inference_mode(), folded(net, lambda: net(x), []) as fold:
        assert fold.layers == ()


@pytest.mark.parametrize("moved", ["1.weight", "1.bias"])
def test_a_layer_that_a_direction_moves_stays(moved):
    net, x = seeded(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 3), nn.BatchNorm1d(3))), inputs(5, 4)
    with borrowed(net), torch.inference_mode(), folded(net, lambda: net(x), ["0.weight", moved]) as fold:
        assert fold.layers == ("3",)


def test_a_layer_without_running_statistics_stays():
    net, x = seeded(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))), inputs(5, 4)
    net[1].running_mean = net[1].running_var = None
    with borrowed(net), torch.inference_mode(), folded(net, lambda: net(x), []) as fold:
        assert fold.layers == ()


@pytest.mark.parametrize("where", ["run", "body"])
def test_everything_comes_back_when_something_raises(where):
    net = seeded(nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3), nn.Linear(3, 2), nn.BatchNorm1d(2)))
    x, before = inputs(5, 4), state_of(net)

    def run():
        net(x)
        if where == "run":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), borrowed(net), torch.inference_mode(), folded(net, run, []):
        assert net[0].bias is not None
        raise KeyboardInterrupt
    assert state_of(net) == before
    assert net[0].bias is None
    names = ["0.weight", "1.weight", "1.bias", "2.weight", "2.bias", "3.weight", "3.bias"]
    assert [name for name, _ in net.named_parameters()] == names
