"""Internal covariate shift, Definition 2.1: earlier layers moved, layer i and later ones not."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import LayoutError, ObjectiveError, UsageError
from landscape.smoothness import internal_covariate_shift


def stepped(net, x, y, *, lr=0.1, loss=None):
    """The parameters before one step of plain gradient descent in training mode, and the network after it."""
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    net.train()
    value = (loss or nn.functional.cross_entropy)(net(x.clone()), y)
    for p, g in zip(net.parameters(), torch.autograd.grad(value, list(net.parameters())), strict=True):
        p.data.add_(g, alpha=-lr)
    return before


def squared(outputs, targets):
    return (outputs - targets).square().mean(dim=1)


def test_two_linear_layers_in_closed_form(draw):
    """G2' - G2 = (E^T X dW1^T + dE^T X W1^T + dE^T X dW1^T) 2/(nk), dW1 = -lr G1, dE = X dW1^T W2^T."""
    n, p, h, k, lr = 20, 4, 5, 3, 0.3
    x, y = draw(n, p), draw(n, k, seed=1)
    net = nn.Sequential(nn.Linear(p, h, bias=False), nn.Linear(h, k, bias=False)).double()
    net[0].weight.data, net[1].weight.data = draw(h, p, seed=2), draw(k, h, seed=3)
    w1, w2 = net[0].weight.detach().clone(), net[1].weight.detach().clone()
    error = x @ w1.T @ w2.T - y
    g1, g2 = 2 / (n * k) * w2.T @ error.T @ x, 2 / (n * k) * error.T @ x @ w1.T
    dw = -lr * g1
    de = x @ dw.T @ w2.T
    change = 2 / (n * k) * (error.T @ x @ dw.T + de.T @ x @ w1.T + de.T @ x @ dw.T)
    before = stepped(net, x, y, lr=lr, loss=nn.functional.mse_loss)
    torch.testing.assert_close(net[0].weight.detach(), w1 + dw, rtol=1e-12, atol=0)
    found = internal_covariate_shift(net, before, x, y, layers=(1, 2), loss="mse")
    assert found.layer == ("0", "1")
    assert (found.norm[0], found.cosine[0]) == (0.0, pytest.approx(1.0, abs=1e-15))
    np.testing.assert_allclose(found.norm[1], float(change.norm()), rtol=1e-12)
    cosine = float(nn.functional.cosine_similarity(g2.flatten(), (g2 + change).flatten(), dim=0))
    np.testing.assert_allclose(found.cosine[1], cosine, rtol=1e-12)


def test_an_update_of_nothing_shifts_nothing(busy):
    net, x, y = busy
    before = stepped(net, x, y, lr=0.0)
    found = internal_covariate_shift(net, before, x, y, layers=(1, 2, 3))
    np.testing.assert_array_equal(found.norm, 0.0)
    np.testing.assert_allclose(found.cosine, 1.0, rtol=1e-12)


def by_hand(net, before, x, y, *, own, earlier):
    """G and G' of a float64 copy with batch statistics and without dropout."""
    net = copy.deepcopy(net).train()
    after = {n: p.detach().clone() for n, p in net.named_parameters()}
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    both = []
    for moved in ([], earlier):
        for name, p in net.named_parameters():
            p.data = (after if name in moved else before)[name].clone()
        chosen = [p for n, p in net.named_parameters() if n in own]
        both.append(torch.cat([g.flatten() for g in torch.autograd.grad(
            nn.functional.cross_entropy(net(x.clone()), y), chosen)]))  # fmt: skip
    g, other = both
    return float((g - other).norm()), float(nn.functional.cosine_similarity(g, other, dim=0))


ORDER = ["0.weight", "0.bias", "1.weight", "1.bias", "5.weight", "5.bias", "6.weight", "6.bias", "8.weight", "8.bias"]
CASES = [(2, "5", 4), (3, "8", 8), ("6", "6", 6), ("1", "1", 2), (1, "0", 0)]


@pytest.mark.parametrize(("layer", "name", "first"), CASES)
def test_earlier_layers_with_their_batchnorm_are_moved_and_no_others(busy, layer, name, first):
    """Against a plain loop. Layer 2 of the weights is module 5, before which BatchNorm 1 counts, and 6 does not."""
    net, x, y = busy
    net, x = net.double(), x.double()
    before = stepped(net, x, y)
    found = internal_covariate_shift(net, before, x, y, layers=[layer])
    own = [n for n in ORDER if n.startswith(f"{name}.")]
    norm, cosine = by_hand(net, before, x, y, own=own, earlier=ORDER[:first])
    assert found.layer == (name,)
    np.testing.assert_allclose(found.norm[0], norm, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.cosine[0], cosine, rtol=1e-9)


@pytest.mark.parametrize("wrong", ["5.weight", "6.weight", "8.weight"])
def test_the_update_of_the_layer_and_of_later_ones_is_not_seen(busy, wrong):
    """Whatever the step made of layer 2 and of what follows, its shift is the same to the last bit."""
    net, x, y = busy
    before = stepped(net, x, y)
    clean = internal_covariate_shift(net, before, x, y, layers=[2])
    dict(net.named_parameters())[wrong].data.mul_(-3)
    spoiled = internal_covariate_shift(net, before, x, y, layers=[2])
    assert (clean.norm[0], clean.cosine[0]) == (spoiled.norm[0], spoiled.cosine[0])
    for earlier in ("0.weight", "1.weight", "1.bias"):
        again = copy.deepcopy(net)
        dict(again.named_parameters())[earlier].data.mul_(-3)
        assert internal_covariate_shift(again, before, x, y, layers=[2]).norm[0] != clean.norm[0], earlier


def test_the_network_is_as_it_was(busy, state_of):
    net, x, y = busy
    before = stepped(net, x, y)
    kept, whole = state_of(net), {n: t.clone() for n, t in before.items()}
    internal_covariate_shift(net, before, x, y, layers=(1, 3))
    state_of.check(net, kept)
    assert all(torch.equal(whole[n], before[n]) for n in whole)
    assert not any(m._forward_pre_hooks for m in net.modules())


def test_order_is_that_of_the_pass_not_of_the_definition(draw):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(4, 2).double(), nn.Linear(3, 4).double()

        def forward(self, x):
            return self.last(torch.tanh(self.first(x)))

    net, x, y = Backwards(), draw(6, 3), torch.arange(6) % 2
    before = stepped(net, x, y)
    found = internal_covariate_shift(net, before, x, y, layers=(1, 2))
    assert found.layer == ("first", "last")
    assert found.norm[0] == 0 < found.norm[1]


def test_a_tied_layer_has_no_shift_of_its_own(draw):
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    net[2].weight = net[0].weight
    x, y = draw(6, 3), torch.arange(6) % 3
    before = stepped(net, x, y)
    with pytest.raises(ObjectiveError, match=r"'0.weight' is used before layer '2' and again in it or after it"):
        internal_covariate_shift(net, before, x, y, layers=["2"])
    assert internal_covariate_shift(net, before, x, y, layers=["0"]).norm[0] == 0


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((4,), "no layer 4: a pass reaches 3 layers with weights"),
        ((0,), "no layer 0"),
        (("7",), "no layer with parameters named '7'"),
        ((), "at least once"),
        ((1, "0"), "none twice"),
    ],
)
def test_layers_that_there_are_not_are_refused(busy, layers, message):
    net, x, y = busy
    with pytest.raises(UsageError, match=message):
        internal_covariate_shift(net, dict(net.named_parameters()), x, y, layers=layers)


def test_parameters_of_another_network_are_refused(busy):
    net, x, y = busy
    before = dict(net.named_parameters())
    before.pop("5.bias")
    with pytest.raises(LayoutError, match=r"the parameters before the step has no tensor '5.bias'"):
        internal_covariate_shift(net, before, x, y, layers=[1])
    for p in net[5].parameters():
        p.requires_grad_(False)
    with pytest.raises(ObjectiveError, match="no parameter that requires a gradient"):
        internal_covariate_shift(net, dict(net.named_parameters()), x, y, layers=[2])
