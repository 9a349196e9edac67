"""Recalibrated statistics: those of each layer's own input, with population variance, exact in deep networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.errors import ObjectiveError
from landscape.space import batchnorm_layers, recalibrate


def deep(layers=10, width=6, seed=0):
    """Linear-BN-ReLU ten times, float64, with affine parameters that are not trivial."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blocks = [nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()) for _ in range(layers)]
        net = nn.Sequential(*blocks).double()
        for layer in batchnorm_layers(net).values():
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
    return net.eval()


def ordered(n=48, width=6):
    """Examples sorted by size, as a data set sorted by class: batches have different statistics."""
    x = torch.randn(n, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    scale = torch.linspace(0.2, 4, n, dtype=torch.float64)[:, None]
    return x * scale + 3 * scale


def statistics(net):
    return [(layer.running_mean.clone(), layer.running_var.clone()) for layer in batchnorm_layers(net).values()]


def oracle(net, x):
    """Textbook: normalize by the whole set's mean and population variance, layer by layer, without nn.BatchNorm."""
    found = []
    for linear, bn, _ in net:
        x = x @ linear.weight.T + linear.bias
        mean, var = x.mean(dim=0), ((x - x.mean(dim=0)) ** 2).mean(dim=0)
        found.append((mean, var))
        x = torch.relu((x - mean) / (var + bn.eps).sqrt() * bn.weight + bn.bias)
    return found


def gap(a, b):
    """Largest relative difference of mean (against the spread) and variance over layers and channels."""
    return max(
        float(torch.maximum((m - n).abs() / w.sqrt(), (v - w).abs() / w).max())
        for (m, v), (n, w) in zip(a, b, strict=True)
    )


def pooled(net, batches):
    """The common shortcut: one training-mode pass over batches, cumulative averages (momentum None)."""
    for layer in batchnorm_layers(net).values():
        layer.reset_running_stats()
        layer.momentum = None
    net.train()
    for batch in batches:
        net(batch)
    net.eval()
    return statistics(net)


def test_single_and_many_batches_equal_the_textbook_in_a_deep_network_with_ordered_data():
    x = ordered()
    with torch.no_grad():
        wanted = oracle(deep(), x)
        for sizes in ([48], [16, 16, 16], [5] * 9 + [3], [1] * 48):
            net = deep()
            recalibrate(net, x.split(sizes), net)
            assert gap(statistics(net), wanted) < 1e-10
        # what this guards against: pooled statistics of differently normalized inputs, wrong in the first digits
        assert gap(pooled(deep(), x.split(16)), wanted) > 1e-3
        assert gap(pooled(deep(), [x]), wanted) > 1e-3  # one batch: the variance is divided by n - 1


@pytest.mark.parametrize("m", [2, 3, 5])
def test_variance_is_the_population_one_for_few_examples(m):
    net = nn.Sequential(nn.BatchNorm1d(3)).double().eval()
    x = ordered(m, 3)
    for batches in ([x], list(x.split(1))):
        recalibrate(net, batches, net)
        torch.testing.assert_close(net[0].running_var, x.var(dim=0, correction=0), rtol=1e-14, atol=0)
        torch.testing.assert_close(net[0].running_mean, x.mean(dim=0), rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.BatchNorm1d(3), (7, 3, 5)), (nn.BatchNorm2d(3), (7, 3, 2, 4)), (nn.BatchNorm3d(3), (7, 3, 2, 2, 2))],
)
def test_positions_count_as_examples(layer, shape):
    net = nn.Sequential(layer).double().eval()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 + 5
    flat = x.transpose(0, 1).flatten(1)
    for batches in ([x], x.split([3, 4])):
        recalibrate(net, batches, net)
        torch.testing.assert_close(layer.running_mean, flat.mean(dim=1), rtol=1e-13, atol=0)
        torch.testing.assert_close(layer.running_var, flat.var(dim=1, correction=0), rtol=1e-13, atol=0)


def test_a_large_mean_costs_no_precision():
    """Merged from deviations, not from a sum of squares: at mean 1e6 the latter keeps four digits in float64."""
    net = nn.Sequential(nn.BatchNorm1d(1)).double().eval()
    x = torch.randn(64, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1e6
    recalibrate(net, x.split(8), net)
    # the data themselves are rounded to 1e-10, so the oracle is taken on deviations
    wanted = float((x - 1e6).var(correction=0))
    assert float(net[0].running_var) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("batches", [1, 3])
def test_statistics_that_are_not_finite_do_not_survive(batches):
    x = ordered(12)
    clean, net = deep(3), deep(3)
    recalibrate(clean, x.chunk(batches), clean)
    for layer in batchnorm_layers(net).values():
        layer.running_mean.fill_(torch.nan)
        layer.running_var.fill_(torch.inf)
    recalibrate(net, x.chunk(batches), net)
    for (m, v), (n, w) in zip(statistics(net), statistics(clean), strict=True):
        assert torch.equal(m, n)
        assert torch.equal(v, w)


class _Branches(nn.Module):
    """Registered in another order than used, with a branch and a layer that is never reached."""

    def __init__(self):
        super().__init__()
        self.last, self.left, self.right, self.never = (nn.BatchNorm1d(6) for _ in range(4))
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return self.last(torch.relu(self.left(self.a(x))) + self.right(self.b(x)))


@pytest.mark.parametrize("parts", [1, 4])
def test_order_is_that_of_the_pass_and_layers_not_reached_are_harmless(parts):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = _Branches().double().eval()
    x = ordered(20)
    recalibrate(net, x.chunk(parts), net)
    with torch.no_grad():
        h = torch.relu(net.left(net.a(x))) + net.right(net.b(x))
        for layer, z in ((net.left, net.a(x)), (net.right, net.b(x)), (net.last, h)):
            torch.testing.assert_close(layer.running_mean, z.mean(dim=0), rtol=1e-12, atol=1e-13)
            torch.testing.assert_close(layer.running_var, z.var(dim=0, correction=0), rtol=1e-12, atol=0)


@pytest.mark.parametrize("parts", [1, 3])
def test_afterwards_flags_momenta_and_hooks_are_as_before(parts):
    net = deep(3)
    net[1][1].momentum = None
    recalibrate(net, ordered(12).chunk(parts), net)
    assert [layer.momentum for layer in batchnorm_layers(net).values()] == [0.1, None, 0.1]
    assert not any(m.training or m._forward_pre_hooks for m in net.modules())

    def broken(_):
        raise RuntimeError("forward failed")

    with pytest.raises(RuntimeError, match="forward failed"):
        recalibrate(net, ordered(12).chunk(parts), broken)
    assert [layer.momentum for layer in batchnorm_layers(net).values()] == [0.1, None, 0.1]
    assert not any(m.training or m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize("parts", [1, 3])
def test_a_layer_used_twice_is_refused_by_name(parts):
    net = nn.Sequential(nn.BatchNorm1d(6)).double().eval()
    with pytest.raises(ObjectiveError, match="'0' is used more than once"):
        recalibrate(net, ordered(12).chunk(parts), lambda x: net(net(x)))


def test_dropout_stays_off_and_no_random_number_is_drawn():
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(6)).double().eval()
    x, state = ordered(12), torch.get_rng_state()
    recalibrate(net, [x], net)
    torch.testing.assert_close(net[1].running_mean, x.mean(dim=0), rtol=1e-13, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_without_batchnorm_is_not_even_run():
    def forward(_):
        raise AssertionError("a pass without need")

    recalibrate(nn.Linear(2, 2), [torch.zeros(1, 2)], forward)


def test_layers_above_the_one_in_hand_are_not_run():
    """Four batches, three layers: one whole pass finds the order, the others end where the statistics are taken."""
    net, runs = deep(3), {"first": 0, "last": 0}
    net[0][0].register_forward_hook(lambda *_: runs.update(first=runs["first"] + 1))
    net[2][2].register_forward_hook(lambda *_: runs.update(last=runs["last"] + 1))
    recalibrate(net, ordered(12).chunk(4), net)
    assert runs == {"first": 1 + 3 * 4, "last": 1}
