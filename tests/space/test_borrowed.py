"""A network that was lent out comes back as it was: values, storage, layout, gradients, flags, generators."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import ObjectiveError, UsageError
from landscape.space import apply_mode, batchnorm_layers, borrowed


def state_of(net):
    """All that must come back, as comparable values; tensors as (storage pointer, strides, bytes)."""

    def seen(t):
        return None if t is None else (t.data_ptr(), t.stride(), t.dtype, t.detach().cpu().numpy().tobytes())

    return {
        "parameters": {n: (id(p), seen(p), p.requires_grad, seen(p.grad)) for n, p in net.named_parameters()},
        "buffers": {n: (id(b), seen(b)) for n, b in net.named_buffers(remove_duplicate=False)},
        "keys": list(net.state_dict()),
        "flags": [(n, m.training) for n, m in net.named_modules()],
        "momenta": [layer.momentum for layer in batchnorm_layers(net).values()],
        "generators": (torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()),  # noqa: NPY002
    }


@pytest.fixture
def net(build):
    """The odd network with gradients, running statistics, a mix of flags, and weights in channels_last."""
    net = build("odd").to(memory_format=torch.channels_last)
    net.train()
    generator = torch.Generator().manual_seed(0)
    net(torch.randn(5, 3, 5, 7, dtype=torch.float64, generator=generator)).sum().backward()
    net[5].eval()
    net[1].momentum = None
    net[6].weight.requires_grad_(False)
    net[6].bias.grad = None
    return net


def ravage(net):
    """Change everything that a borrower may touch."""
    net.eval()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2)
    for p in net.parameters():
        p.data = torch.zeros_like(p.data)
        p.grad = torch.ones_like(p)
        p.requires_grad_(not p.requires_grad)
    for layer in batchnorm_layers(net).values():
        layer.running_mean.fill_(9)
        layer.momentum = 0.5
        layer.running_var = None
        layer.num_batches_tracked = torch.tensor(77)
    torch.rand(3)
    np.random.rand(3)  # noqa: NPY002
    random.random()


def test_everything_comes_back(net):
    before = state_of(net)
    with borrowed(net) as lent:
        assert lent is net
        ravage(net)
        assert state_of(net) != before
    assert state_of(net) == before


def test_everything_comes_back_when_the_body_raises(net):
    before = state_of(net)
    with pytest.raises(KeyboardInterrupt), borrowed(net):
        ravage(net)
        raise KeyboardInterrupt
    assert state_of(net) == before


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_lent_network_stands_on_its_own_storage_with_equal_values(net, channels_last):
    before = state_of(net)
    values = {n: t.clone() for n, t in net.state_dict().items()}
    with borrowed(net, channels_last=channels_last):
        for name, tensor in net.state_dict().items():
            assert torch.equal(tensor, values[name])
            pointer = (before["parameters"].get(name) or (0, before["buffers"].get(name, (0, (0,)))[1]))[1][0]
            assert tensor.data_ptr() != pointer
        assert all(p.grad is None for p in net.parameters())
    assert state_of(net) == before


def test_tied_tensors_stay_tied_while_lent(build):
    net = build("tied")
    with borrowed(net):
        assert net.decode.weight is net.encode.weight
        assert net.decode.weight.data_ptr() == net.encode.weight.data_ptr()
    shared = nn.Module()
    shared.register_buffer("a", torch.ones(2))
    shared.register_buffer("b", shared.a)
    with borrowed(shared):
        shared.a.add_(1)
        assert shared.b.tolist() == [2, 2]
    assert shared.b is shared.a
    assert shared.a.tolist() == [1, 1]


def test_a_network_can_be_lent_while_it_is_lent(net):
    before = state_of(net)
    with borrowed(net):
        ravage(net)
        middle = state_of(net)
        with borrowed(net):
            ravage_again = [p.data.fill_(3) for p in net.parameters()]
            assert ravage_again
        assert state_of(net) == middle
    assert state_of(net) == before


def test_modes_set_flags_and_statistics(net):
    for mode in ("frozen", "batch", "recalibrated"):
        with borrowed(net):
            apply_mode(net, mode)
            assert not any(m.training for m in net.modules())
            assert (net[1].running_mean is None) == (mode == "batch")
    with pytest.raises(UsageError, match=r"'train'.*frozen, batch, recalibrated"):
        apply_mode(net, "train")


def test_a_layer_without_running_statistics_has_only_the_batch_mode():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False))
    apply_mode(net, "batch")
    for mode in ("frozen", "recalibrated"):
        with pytest.raises(ObjectiveError, match=r"'1' keeps no running statistics.*batch"):
            apply_mode(net, mode)
