"""Random pairs: distribution, exact norms and orthogonality at once, one scheme for every network and machine."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import LayoutError, UsageError
from landscape.space import DirectionPair, cosine, parameters_of, random_pair, random_pairs, tensor_hash


def rows(tensor):
    return tensor.double().flatten(1)


def inner(x, y):
    return sum(float((x[n].double() * y[n].double()).sum()) for n in x)


def length(x):
    return math.sqrt(inner(x, x))


@pytest.mark.parametrize("name", ["odd", "single", "tied"])
def test_filter_norms_and_orthogonality_hold_at_once(build, name):
    center = parameters_of(build(name))
    pair = random_pair(center, seed=3)
    for key, w in center.items():
        if w.ndim < 2:
            assert not pair.first[key].any()
            assert not pair.second[key].any()
            continue
        norms = rows(w).norm(dim=1)
        single = w[0].numel() == 1
        torch.testing.assert_close(rows(pair.first[key]).norm(dim=1), norms, rtol=1e-13, atol=0)
        wanted = torch.zeros_like(norms) if single else norms
        torch.testing.assert_close(rows(pair.second[key]).norm(dim=1), wanted, rtol=1e-13, atol=0)
        dots = (rows(pair.first[key]) * rows(pair.second[key])).sum(dim=1)
        assert (dots.abs() <= 1e-13 * norms.square()).all()  # filter by filter, a few roundings
    assert abs(inner(pair.first, pair.second)) < 1e-12 * length(pair.first) * length(pair.second)
    assert abs(pair.cosine) < 1e-12


def test_single_precision_keeps_both_to_rounding(build):
    center = parameters_of(build("odd", dtype=torch.float32))
    pair = random_pair(center)
    assert abs(pair.cosine) < 1e-7  # rounding of ~200 entries of relative size 6e-8, with random signs
    for key in (k for k, w in center.items() if w.ndim >= 2):
        for d in (pair.first[key], pair.second[key]):
            assert d.dtype == torch.float32
            torch.testing.assert_close(rows(d).norm(dim=1), rows(center[key]).norm(dim=1), rtol=1e-6, atol=0)


def test_filters_of_two_elements_stay_exactly_orthogonal():
    """In two dimensions the rest after projection can be tiny: the second pass keeps it orthogonal."""
    center = {"w": torch.ones(20_000, 2, dtype=torch.float64)}
    pair = random_pair(center)
    dots = (pair.first["w"] * pair.second["w"]).sum(dim=1)
    assert float(dots.abs().max()) < 1e-14  # both have norm sqrt(2); one rounding of each product


def test_filters_of_one_element_are_counted_and_zero_in_the_second_direction(build):
    net = build("single")
    pair = random_pair(net)
    assert pair.recipe["single_element_filters"] == 3 + 4
    assert not pair.second["0.weight"].any()
    assert not pair.second["3.weight"].any()
    assert pair.second["1.weight"].any()
    torch.testing.assert_close(pair.first["0.weight"].abs(), net[0].weight.detach().abs(), rtol=1e-15, atol=0)
    loose = random_pair(net, orthogonal=False)
    assert loose.recipe["single_element_filters"] == 0
    torch.testing.assert_close(loose.second["0.weight"].abs(), net[0].weight.detach().abs(), rtol=1e-15, atol=0)


def test_a_zero_filter_is_never_moved(build):
    pair = random_pair(build("odd"))
    for d in (pair.first, pair.second):
        assert not d["0.weight"][2].any()
        assert all(t.isfinite().all() for t in d.values())


@pytest.mark.parametrize("orthogonal", [True, False])
@pytest.mark.parametrize("normalize", ["layer", "unit", "none"])
def test_other_normalizations_hold_with_and_without_orthogonality(build, normalize, orthogonal):
    center = parameters_of(build("odd"))
    pair = random_pair(center, normalize=normalize, orthogonal=orthogonal)
    assert (abs(pair.cosine) < 1e-12) == orthogonal
    raw = random_pair(center, normalize="none", orthogonal=False)
    for d in (pair.first, pair.second):
        if normalize == "unit":
            assert length(d) == pytest.approx(1, rel=1e-13)
        for key, w in center.items():
            if w.ndim < 2:
                assert not d[key].any()
            elif normalize == "layer":
                assert float(d[key].norm()) == pytest.approx(float(w.norm()), rel=1e-13)
    if normalize == "layer" and orthogonal:  # tensor by tensor, because each is rescaled by itself
        for key in center:
            assert abs(float((pair.first[key] * pair.second[key]).sum())) <= 1e-13 * float(center[key].norm()) ** 2
    if normalize == "none":
        assert all(torch.equal(pair.first[n], raw.first[n]) for n in center)
        if orthogonal:  # Gram-Schmidt by the textbook
            share = inner(raw.second, raw.first) / inner(raw.first, raw.first)
            for n in center:
                torch.testing.assert_close(pair.second[n], raw.second[n] - share * raw.first[n], rtol=0, atol=1e-13)


def test_the_second_direction_is_the_draw_without_its_part_along_the_first(build):
    """Filter by filter Gram-Schmidt, then the norm: an oracle without the library's helpers."""
    center = parameters_of(build("odd"))
    pair = random_pair(center, seed=5)
    raw = random_pair(center, seed=5, normalize="none", orthogonal=False)
    for key in (k for k, w in center.items() if w.ndim >= 2):
        for d, first, w, found in zip(raw.second[key], raw.first[key], center[key], pair.second[key], strict=True):
            rest = d - first * float((d * first).sum() / (first * first).sum()) if w.any() else torch.zeros_like(d)
            wanted = rest * float(w.norm() / rest.norm()) if w.any() else rest
            torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_statistics_of_many_draws():
    """Mean cosine 0 and its closed-form spread; entries standard normal per filter. Catches uniform draws."""
    generator = torch.Generator().manual_seed(0)
    center = {"a": torch.randn(3, 4, generator=generator).double(), "b": 2 * torch.ones(2, 2, 3).double()}
    draws = 2000
    pairs = random_pairs(center, draws, seed=11, orthogonal=False)
    cosines = np.array([p.cosine for p in pairs])
    sizes = [(float(r.norm()), r.numel()) for w in center.values() for r in rows(w)]
    spread = math.sqrt(sum(s**4 / n for s, n in sizes)) / sum(s**2 for s, _ in sizes)
    assert abs(cosines.mean()) < 3 * spread / math.sqrt(draws)
    assert cosines.std() == pytest.approx(spread, rel=0.05)
    for key, w in center.items():
        n = w[0].numel()
        first, second = (torch.stack([rows(getattr(p, d)[key]) for p in pairs]) for d in ("first", "second"))
        for entries in (first, second):
            z = (entries * math.sqrt(n) / rows(w).norm(dim=1)[:, None]).numpy()
            assert abs(z.mean(axis=0)).max() < 4 / math.sqrt(draws)  # 4 standard errors for 24 entries
            assert z.var(axis=0) == pytest.approx(np.ones_like(z[0]), abs=0.15)  # 4 sqrt(2 / 2000)
            # on a sphere of n dimensions E z^4 = 3 n / (n + 2); sd of the mean below 0.04. Uniform entries fall short
            assert (z**4).mean() == pytest.approx(3 * n / (n + 2), abs=0.2)


def test_raw_draws_are_standard_normal():
    center = {"w": torch.zeros(100, 200, dtype=torch.float64)}
    pair = random_pair(center, normalize="none", orthogonal=False)
    for d in (pair.first["w"], pair.second["w"]):
        z = np.sort(d.flatten().numpy())
        cdf = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in z])
        gap = np.abs(cdf - (np.arange(len(z)) + 0.5) / len(z)).max()
        assert gap < 1.95 / math.sqrt(len(z))  # Kolmogorov-Smirnov at 0.1 %


class _Net(nn.Sequential):
    def __init__(self, *, bn=False, dropout=False):
        super().__init__(
            nn.Conv2d(2, 4, 3),
            *([nn.BatchNorm2d(4)] if bn else []),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, groups=2),
            *([nn.BatchNorm2d(4)] if bn else []),
            nn.Flatten(),
            *([nn.Dropout()] if dropout else []),
            nn.Linear(16, 3),
        )


def test_plain_dropout_and_batchnorm_twins_share_their_planes():
    plain, *twins = _Net(), _Net(dropout=True), _Net(bn=True), _Net(bn=True, dropout=True)
    weights = [p for p in plain.parameters() if p.ndim >= 2]
    wanted = random_pairs(plain, 2, seed=4)
    for twin in twins:
        with torch.no_grad():
            for p, w in zip((p for p in twin.parameters() if p.ndim >= 2), weights, strict=True):
                p.copy_(w)
        for pair, other in zip(wanted, random_pairs(twin, 2, seed=4), strict=True):
            for side in ("first", "second"):
                a, b = ([t for t in getattr(p, side).values() if t.ndim >= 2] for p in (pair, other))
                assert len(a) == len(b) == 3
                assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_larger_count_begins_with_the_same_pairs(build):
    net = build("odd")
    few, many = random_pairs(net, 2, seed=9), random_pairs(net, 4, seed=9)
    assert [p.hash for p in few] == [p.hash for p in many][:2]
    assert random_pair(net, seed=9, index=3).hash == many[3].hash
    assert len({p.hash for p in many}) == 4


def test_seed_index_side_layer_and_shape_give_different_draws(build):
    center = {"a": torch.ones(3, 3).double(), "b": torch.ones(3, 3).double()}
    raw = {"normalize": "none", "orthogonal": False}
    one = random_pair(center, **raw)
    others = [
        one.first["b"],
        one.second["a"],
        random_pair(center, seed=1, **raw).first["a"],
        random_pair(center, index=1, **raw).first["a"],
    ]
    assert not any(torch.equal(one.first["a"], o) for o in others)
    wide = random_pair({"a": torch.ones(3, 4).double()}, **raw).first["a"]
    assert not torch.equal(one.first["a"].flatten(), wide.flatten()[:9])


def test_the_scheme_is_pinned():
    """Literals of scheme 1: files on disk hold these hashes. A change here is a new scheme version."""
    center = {"w": torch.arange(1.0, 7.0, dtype=torch.float64).reshape(2, 3), "b": torch.ones(2, dtype=torch.float64)}
    center["v"] = torch.ones(4, 5, dtype=torch.float64)  # from 16 elements on torch draws by another routine
    raw = random_pair(center, seed=7, index=2, normalize="none", orthogonal=False)
    assert raw.hash == "b0e92f5f247d42c9"
    pair = random_pair(center, seed=7, index=2)
    assert pair.recipe["scheme"] == 1
    # the normalized pair passes through sums whose order is the processor's business, so it is pinned by value
    np.testing.assert_allclose(
        pair.first["w"].numpy(),
        [
            [0.18414328336939395, -3.6755216691470456, -0.6757453002577589],
            [-7.011543264360472, -5.265569906412894, -0.33471571920096005],
        ],
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        pair.second["w"].numpy(),
        [
            [-0.9396789451572038, 0.60928968797734, -3.5701217844987756],
            [1.263231134659342, -1.1348445067181734, -8.609086771893919],
        ],
        rtol=1e-12,
    )


def test_draws_and_hash_do_not_depend_on_memory_format_device_name_or_global_generators(build):
    net = build("odd")
    before = random_pairs(net, 2)
    torch.manual_seed(123)
    np.random.seed(1)  # noqa: NPY002 - the caller's generator, which must not matter
    for normalize in ("filter", "layer", "unit", "none"):
        plain = random_pair(net, normalize=normalize).hash
        assert random_pair(build("odd").to(memory_format=torch.channels_last), normalize=normalize).hash == plain
    state = torch.get_rng_state()
    assert [p.hash for p in random_pairs(net, 2)] == [p.hash for p in before]
    assert torch.equal(torch.get_rng_state(), state)  # and drawing leaves them alone


def test_a_numpy_seed_is_the_same_seed(build):
    """``repr(np.int64(3))`` is not ``repr(3)``: the key of the generator must hold plain integers."""
    net = build("odd")
    pair = random_pair(net, seed=np.int64(3), index=np.int32(1))
    assert pair.hash == random_pair(net, seed=3, index=1).hash
    assert [type(pair.recipe[k]) for k in ("seed", "index")] == [int, int]  # what JSON can store


def test_hash_sees_values_names_shapes_and_dtypes():
    base = {"a": torch.arange(6.0)}
    others = [
        {"b": torch.arange(6.0)},
        {"a": torch.arange(6.0).reshape(2, 3)},
        {"a": torch.arange(6.0).double()},
        {"a": torch.arange(6.0).nextafter(torch.tensor(9.0))},
    ]
    assert len({tensor_hash(t) for t in (base, *others)}) == 5
    transposed = torch.arange(6.0).reshape(3, 2).t()
    assert tensor_hash({"a": transposed}) == tensor_hash({"a": transposed.contiguous()})
    for dtype in (torch.bool, torch.bfloat16, torch.int64):  # targets, half-precision weights, counters
        assert len(tensor_hash({"a": torch.ones((), dtype=dtype)})) == 16


def test_a_pair_swapped_or_altered_has_another_hash(build):
    pair = random_pair(build("odd"))
    assert DirectionPair(pair.second, pair.first).hash != pair.hash
    assert DirectionPair(pair.first, pair.second).hash == pair.hash  # known by its values alone


def test_cosine_of_a_line_is_nan_and_of_known_vectors_is_known():
    x, y, zero = ({"w": torch.tensor([[a, b]])} for a, b in ((3.0, 4.0), (4.0, 3.0), (0.0, 0.0)))
    assert cosine(x, y) == pytest.approx(24 / 25, rel=1e-15)
    assert math.isnan(cosine(x, zero))


def test_pairs_that_cannot_be_are_refused(build):
    with pytest.raises(LayoutError, match="second direction has no tensor 'w'"):
        DirectionPair({"w": torch.ones(2, 2)}, {})
    with pytest.raises(LayoutError, match="nothing to move"):
        random_pair(nn.BatchNorm1d(3))
    with pytest.raises(UsageError, match="got 0"):
        random_pairs(build("odd"), 0)
    with pytest.raises(UsageError, match="'filters'"):
        random_pair(build("odd"), normalize="filters")
