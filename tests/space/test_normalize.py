"""Normalizations: each one's defining norm, its symmetries, and zeros that stay finite."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import LayoutError, UsageError
from landscape.space import (
    filter_normalize,
    layer_normalize,
    normalize,
    parameters_of,
    row_norms,
    unit_normalize,
)
from landscape.words import NORMALIZATIONS


def norm(tensor):
    """Frobenius norm in float64, by the definition."""
    return float(tensor.double().pow(2).sum().sqrt())


@pytest.fixture
def draw():
    """Standard normal directions for a center, biases included."""

    def make(center, seed=1):
        generator = torch.Generator().manual_seed(seed)
        return {n: torch.randn(w.shape, generator=generator, dtype=w.dtype) for n, w in center.items()}

    return make


# A norm of at most a few hundred squares: float64 keeps 1e-14, float32 some 1e-7 for the rounding of each entry.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@pytest.mark.parametrize("name", ["odd", "single", "tied"])
def test_every_filter_gets_the_norm_of_the_centers(build, draw, name, dtype, tolerance):
    center = parameters_of(build(name, dtype=dtype))
    direction = filter_normalize(draw(center), center)
    total = wanted_total = 0.0
    for key, w in center.items():
        assert direction[key].dtype == dtype
        assert direction[key].isfinite().all()
        if w.ndim < 2:
            assert not direction[key].any()
            continue
        for found, wanted in zip(direction[key], w, strict=True):
            assert abs(norm(found) - norm(wanted)) <= tolerance * norm(wanted)
        total += norm(direction[key]) ** 2
        wanted_total += norm(w) ** 2
    assert total**0.5 == pytest.approx(wanted_total**0.5, rel=tolerance)


def test_a_filter_keeps_its_own_direction(build, draw):
    """Row by row a positive multiple: rescaling along another axis would have another sign or angle."""
    center = parameters_of(build("odd"))
    raw = draw(center)
    for key, d in filter_normalize(raw, center).items():
        if d.ndim < 2:
            continue
        for row, before, w in zip(d, raw[key], center[key], strict=True):
            torch.testing.assert_close(row, before * (norm(w) / norm(before)), rtol=1e-13, atol=1e-15)


def test_zero_filters_of_either_stay_zero_and_finite(build, draw):
    center = parameters_of(build("odd"))
    raw = draw(center)
    raw["0.weight"][1] = 0
    direction = filter_normalize(raw, center)["0.weight"]
    assert not direction[2].any()  # zero in the center
    assert not direction[1].any()  # zero in the draw
    assert direction.isfinite().all()


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_scale_of_the_draw_is_gone_and_that_of_the_network_is_in(c, s):
    """n(c d, s w) = s n(d, w): a few roundings in float64."""
    generator = torch.Generator().manual_seed(0)
    center = {"w": torch.randn(3, 2, 2, generator=generator, dtype=torch.float64)}
    d = {"w": torch.randn(3, 2, 2, generator=generator, dtype=torch.float64)}
    for how in (filter_normalize, layer_normalize):
        once = how(d, center)["w"]
        again = how({"w": c * d["w"]}, {"w": s * center["w"]})["w"]
        torch.testing.assert_close(again, s * once, rtol=1e-12, atol=0)


def test_layer_norms_are_those_of_the_centers_tensors(build, draw):
    center = parameters_of(build("odd"))
    raw = draw(center)
    direction = layer_normalize(raw, center)
    for key, w in center.items():
        if w.ndim < 2:
            assert not direction[key].any()
        else:
            assert norm(direction[key]) == pytest.approx(norm(w), rel=1e-13)
            torch.testing.assert_close(direction[key] / norm(w), raw[key] / norm(raw[key]), rtol=1e-13, atol=1e-15)


def test_a_zero_layer_stays_zero():
    zero, some = torch.zeros(2, 3), torch.ones(2, 3)
    assert not layer_normalize({"w": some}, {"w": zero})["w"].any()
    assert not layer_normalize({"w": zero}, {"w": some})["w"].any()


def test_unit_norm_is_one_over_everything(build, draw):
    center = parameters_of(build("odd"))
    raw = draw(center)
    direction = unit_normalize(raw, center)
    assert sum(norm(d) ** 2 for d in direction.values()) == pytest.approx(1, rel=1e-13)
    factor = norm(direction["5.weight"]) / norm(raw["5.weight"])
    for key, d in direction.items():
        torch.testing.assert_close(d, factor * raw[key], rtol=1e-13, atol=1e-15)  # one factor for all
    assert not unit_normalize({"w": torch.zeros(2, 2)}, {"w": torch.ones(2, 2)})["w"].any()


@pytest.mark.parametrize("how", NORMALIZATIONS)
def test_arguments_are_left_alone_and_results_are_new(build, draw, how):
    center = parameters_of(build("odd"))
    raw = draw(center)
    before = {n: d.clone() for n, d in raw.items()}
    kept = {n: w.clone() for n, w in center.items()}
    result = normalize(raw, center, how)
    for key, value in result.items():
        value.add_(1)
        assert torch.equal(raw[key], before[key])
        assert torch.equal(center[key], kept[key])


def test_none_changes_nothing(build, draw):
    center = parameters_of(build("odd"))
    raw = draw(center)
    assert all(torch.equal(d, raw[n]) for n, d in normalize(raw, center, "none").items())


def test_row_norms_do_not_overflow_in_single_precision():
    assert row_norms(torch.full((2, 4), 1e30)).tolist() == pytest.approx([2e30, 2e30], rel=1e-7)


def test_unknown_names_and_other_layouts_are_refused():
    one = {"w": torch.ones(2, 2)}
    with pytest.raises(UsageError, match=r"'filters'.*filter, layer, unit, none"):
        normalize(one, one, "filters")
    for how in NORMALIZATIONS:
        with pytest.raises(LayoutError, match=r"'w'.*\(2, 3\)"):
            normalize(one, {"w": torch.ones(2, 3)}, how)
