"""Noisy BatchNorm and l_p normalization: moments, closed forms, BN modes, and what their checkpoints are taken for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import landscape as ls
from landscape import models
from landscape.errors import CheckpointError, UsageError
from landscape.models.norms import ActivationNoise, LpNorm, NoisyBatchNorm1d, NoisyBatchNorm2d
from landscape.space import apply_mode, batchnorm_layers, borrowed, recalibrate
from landscape.space.folding import folded
from landscape.storage import load_checkpoint

INF = float("inf")
ORDERS = (1, 2, INF)
SPREAD = 0.1


@pytest.fixture
def seeded():
    """torch's global generator, seeded for the test and put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def whitened(n, c):
    x = numbers(n, c)
    return (x - x.mean(dim=0)) / x.std(dim=0, correction=0)


def drawn_units(c, seed):
    """mu_j and sigma_j as the layer is about to draw them."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    unit = torch.empty(1, c, dtype=torch.float64)
    mean, scale = torch.empty_like(unit).uniform_(-0.5, 0.5), torch.empty_like(unit).uniform_(1, 1.25)
    torch.set_rng_state(state)
    return mean[0], scale[0]


def test_moments_of_the_noise(seeded):
    """Of whitened input: mean mu_j, variance sigma_j^2 + r_s^2 + r_m^2 / 3; 2e4 examples."""
    x, noise = whitened(20_000, 8), ActivationNoise()
    mean, scale = drawn_units(8, 11)
    torch.manual_seed(11)
    y = noise(x)
    assert ((y.mean(dim=0) - mean).abs() <= 0.03).all()
    ratio = y.var(dim=0) / (scale**2 + SPREAD**2 + SPREAD**2 / 3)
    assert ((ratio > 0.98) & (ratio < 1.02)).all()
    assert mean.abs().max() > 0.2 and scale.max() > 1.1, "units have distributions of their own"


def test_units_draw_from_their_ranges(seeded):
    """Constant input 1 and 0 shows the stretch and the shift; many units show their ranges."""
    noise = ActivationNoise()
    shift = noise(torch.zeros(500, 400, dtype=torch.float64))
    means = shift.mean(dim=0)
    assert means.min() < -0.45 and means.max() > 0.45
    assert (shift - means).abs().max() < SPREAD + 0.02  # uniform: nothing beyond the spread
    quiet = ActivationNoise(shift=0.0, spread=0.0)
    stretch = quiet(torch.ones(3, 400, dtype=torch.float64))
    assert torch.equal(stretch[0], stretch[1])
    assert 1 <= stretch.min() < 1.02 and 1.23 < stretch.max() <= 1.25


def test_positions_of_a_map_are_further_examples(seeded):
    y = ActivationNoise()(torch.zeros(2, 3, 40, 50, dtype=torch.float64))
    assert y.flatten(2).std(dim=2).min() > 0.04, "noise differs within a map"
    assert (y.mean(dim=(2, 3))[0] - y.mean(dim=(2, 3))[1]).abs().max() < 0.02, "the unit's mean is shared by the batch"


@pytest.mark.parametrize(("kind", "shape"), [(NoisyBatchNorm1d, (50, 4)), (NoisyBatchNorm2d, (6, 4, 5, 5))])
def test_noisy_batchnorm_is_batchnorm_but_for_its_noise(seeded, kind, shape):
    twin = kind.__mro__[1](4).double()
    noisy = kind(4).double()
    x = 2 * numbers(*shape) + 1
    first, second = noisy(x), noisy(x)
    assert not torch.equal(first, second), "other noise at the next step"
    assert (first - twin(x)).abs().max() > 0.1
    twin(x)
    assert list(noisy.state_dict()) == list(twin.state_dict())
    for name, tensor in twin.state_dict().items():
        assert torch.equal(tensor, noisy.state_dict()[name]), name
    assert torch.equal(noisy.eval()(x), twin.eval()(x))
    noisy.train()
    noisy.noise = ActivationNoise(shift=0.0, stretch=1.0, spread=0.0)
    assert torch.equal(noisy(x), twin.train()(x))


def test_noise_follows_the_global_seed():
    x, layer = numbers(5, 3), NoisyBatchNorm1d(3).double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = layer(x)
        torch.manual_seed(1)
        assert torch.equal(layer(x), first)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("shape", [(30, 3), (7, 3, 4, 5)])
def test_lp_norm_in_closed_form(p, shape):
    """(x - mean) / (mean |x|^p)^(1/p), per channel, of the input before the mean is off."""
    layer, x = LpNorm(3, p, eps=0.0).double(), numbers(*shape) + torch.tensor(2.0)
    layer.weight.data, layer.bias.data = numbers(3, seed=1), numbers(3, seed=2)
    y = layer(x)
    for c in range(3):
        v = x[:, c].flatten()
        norm = torch.linalg.vector_norm(v, p) / (1 if p == INF else len(v) ** (1 / p))
        expected = layer.weight[c] * (x[:, c] - v.mean()) / norm + layer.bias[c]
        torch.testing.assert_close(y[:, c], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", ORDERS)
def test_an_input_scaled_by_a_number_is_normalized_alike(p):
    layer, x = LpNorm(4, p, eps=0.0).double(), numbers(20, 4) + 1
    torch.testing.assert_close(layer(7 * x), layer(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", ORDERS)
def test_running_averages_are_those_of_the_batches_and_rule_in_evaluation(p):
    layer, name = LpNorm(2, p, momentum=0.25).double(), f"running_l{p:g}"
    a, b = numbers(9, 2) + 1, 3 * numbers(9, 2, seed=1)
    whole = LpNorm(2, p).double()
    mean, norm = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    for x in (a, b):
        layer(x)
        whole.keep(whole.gather(x, None))
        mean, norm = 0.75 * mean + 0.25 * whole.running_mean, 0.75 * norm + 0.25 * getattr(whole, name)
    torch.testing.assert_close(layer.running_mean, mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(getattr(layer, name), norm, rtol=1e-12, atol=0)
    torch.testing.assert_close(layer.eval()(a), (a - mean) / (norm + layer.eps), rtol=1e-12, atol=1e-15)
    assert set(layer.state_dict()) == {"weight", "bias", "running_mean", name}


def test_other_norms_are_refused():
    with pytest.raises(UsageError, match="p = 1, 2 and infinity; got 3"):
        LpNorm(2, 3)


VARIANTS = ["noisy_bn", "l1", "l2", "linf"]


@pytest.mark.parametrize("norm", VARIANTS)
def test_variants_stand_where_batchnorm_does(norm):
    with torch.device("meta"):
        for name, options, count in [
            (f"vgg_{norm}", {}, 9_756_426),
            (f"vgg_{norm}", {"bn_placement": "conv+fc"}, 9_758_474),
            (f"vgg_light_{norm}", {}, 285_258),
        ]:
            model = models.build(name, **options)
            assert sum(p.numel() for p in model.parameters()) == count
            assert len(batchnorm_layers(model)) == {9_756_426: 8, 9_758_474: 10, 285_258: 2}[count]
    twin, model = models.build("vgg_light_bn", seed=4), models.build(f"vgg_light_{norm}", seed=4)
    assert torch.equal(twin.features[0].weight, model.features[0].weight)


def small(p):
    """Two normalized layers; the second one's input depends on the first one's statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), LpNorm(4, p), nn.ReLU(), nn.Conv2d(4, 5, 3), LpNorm(5, p),
                            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 10)).double()  # fmt: skip
        net(torch.randn(16, 3, 8, 8, dtype=torch.float64))
    return net


@pytest.mark.parametrize("p", ORDERS)
def test_modes_of_lp_norms(p):
    """``batch`` is training mode's function; ``recalibrated`` on its own batch is ``batch``, in parts or in one."""
    net, x = small(p), numbers(12, 3, 8, 8, seed=1)
    live = net.train()(x)
    net = small(p)
    kept = {n: t.clone() for n, t in net.state_dict().items()}
    frozen = net.eval()(x)
    found = {}
    for mode, batches in [("batch", None), ("frozen", None), ("recalibrated", [x]), ("parts", [x[:5], x[5:]])]:
        with borrowed(net) as model, torch.no_grad():
            apply_mode(model, "recalibrated" if mode == "parts" else mode)
            if batches:
                recalibrate(model, batches, model)
            found[mode] = model(x)
    torch.testing.assert_close(found["batch"], live, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found["frozen"], frozen, rtol=0, atol=0)
    torch.testing.assert_close(found["recalibrated"], live, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found["parts"], live, rtol=1e-10, atol=1e-12)
    assert (live - frozen).abs().max() > 1e-3
    assert all(torch.equal(t, kept[n]) for n, t in net.state_dict().items())


def test_recalibration_after_a_cell_that_diverged_is_finite():
    net, x = small(1), numbers(12, 3, 8, 8)
    with borrowed(net) as model, torch.no_grad():
        apply_mode(model, "recalibrated")
        recalibrate(model, [x * float("nan")], model)
        recalibrate(model, [x], model)
        assert model(x).isfinite().all()


@pytest.mark.parametrize("norm", VARIANTS)
def test_surfaces_in_every_mode(norm):
    """The objective's values are those of the network itself; the frozen one is not folded into something else."""
    model = models.build(f"vgg_light_{norm}")
    data = ls.datasets.load("fashion_mnist_mini", limit=20)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        model(data.inputs)
    values = {}
    for mode in ("frozen", "batch", "recalibrated"):
        objective = ls.Objective(model, data.inputs, data.targets, bn=mode, device="cpu")
        values[mode] = objective(objective.center).loss
        surface = ls.measure_surface(objective, ls.random_pairs(objective.center, 1), ls.Grid((0.0,), (0.0,)))
        assert surface.loss[0, 0, 0] == pytest.approx(values[mode], rel=1e-6)
    direct = nn.functional.cross_entropy(model.eval()(data.inputs), data.targets).item()
    assert values["frozen"] == pytest.approx(direct, rel=1e-6)
    assert values["batch"] == pytest.approx(values["recalibrated"], rel=1e-6)
    assert abs(values["batch"] - values["frozen"]) > 1e-4


def test_noise_is_off_in_every_mode():
    """Also where a pass in training mode takes the statistics: the values are those of BatchNorm, bit for bit."""
    noisy, plain = models.build("vgg_light_noisy_bn"), models.build("vgg_light_bn")
    data = ls.datasets.load("fashion_mnist_mini", limit=20)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        noisy(data.inputs)
    plain.load_state_dict(noisy.state_dict())
    for mode in ("frozen", "batch", "recalibrated"):
        pair = [ls.Objective(m, data.inputs, data.targets, bn=mode, device="cpu") for m in (noisy, plain)]
        assert len({o(o.center).loss for o in pair}) == 1, mode
    for batches in ([data.inputs], [data.inputs[:7], data.inputs[7:]]):
        values = [recalibrated(m, batches, data.inputs) for m in (noisy, plain)]
        assert torch.equal(*values)


def recalibrated(net, batches, x):
    with borrowed(net) as model, torch.no_grad():
        apply_mode(model, "recalibrated")
        recalibrate(model, batches, model)
        return model(x)


@pytest.mark.parametrize("norm", VARIANTS)
def test_nothing_is_folded_that_is_not_understood(norm):
    model, x = models.build(f"vgg_light_{norm}").eval(), torch.randn(2, 3, 32, 32)
    with borrowed(model) as net, folded(net, lambda: net(x), ()) as fold:
        assert fold.layers == ()


@pytest.fixture
def written(tmp_path):
    def write(state):
        torch.save(state, tmp_path / "a.pth")
        return tmp_path / "a.pth"

    return write


@pytest.mark.parametrize("size", ["vgg_light"])
def test_a_bare_noisy_checkpoint_is_batchnorm_which_is_said(written, size):
    found = load_checkpoint(written(models.build(f"{size}_noisy_bn").state_dict()))
    assert found.model_name == f"{size}_bn"
    assert f"fit {size}_bn, {size}_noisy_bn, which agree in evaluation mode" in found.notes[1]


@pytest.mark.parametrize("norm", VARIANTS[1:])
def test_the_norms_are_told_apart_by_their_names_alone(written, norm):
    state = models.build(f"vgg_light_{norm}", num_classes=4).state_dict()
    found = load_checkpoint(written(state))
    assert (found.model_name, dict(found.model_options)) == (f"vgg_light_{norm}", {"num_classes": 4})
    renamed = {f"block{i}.{name.rsplit('.', 1)[-1]}": t for i, (name, t) in enumerate(state.items())}
    assert load_checkpoint(written(renamed)).model_name == "vgg_light_bn", "the sequence of shapes is BatchNorm's"
    other = "vgg_light_l1" if norm != "l1" else "vgg_light_l2"
    with pytest.raises(CheckpointError, match=f"do not fit {other}"):
        load_checkpoint(written(state), other)


def test_a_checkpoint_of_ours_says_which_it_is(tmp_path):
    for norm in VARIANTS:
        net = models.build(f"vgg_light_{norm}")
        ls.save_checkpoint(tmp_path / "a.pth", net, model_name=f"vgg_light_{norm}")
        assert type(load_checkpoint(tmp_path / "a.pth").build().features[1]) is type(net.features[1])
