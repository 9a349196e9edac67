"""Flatten and unflatten are inverse, in named order, and refuse what does not fit."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from landscape.errors import LayoutError
from landscape.space import check_layout, flatten, parameters_of, unflatten

SHAPES = st.lists(st.lists(st.integers(0, 4), max_size=4).map(tuple), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.sampled_from([torch.float32, torch.float64]))
def test_unflatten_is_the_inverse_of_flatten(shapes, dtype):
    params = {f"p{i}": torch.arange(math.prod(s), dtype=dtype).reshape(s) + 100 * i for i, s in enumerate(shapes)}
    vector = flatten(params)
    assert vector.shape == (sum(math.prod(s) for s in shapes),)
    back = unflatten(vector, params)
    assert list(back) == list(params)
    for name, tensor in params.items():
        assert back[name].shape == tensor.shape
        assert torch.equal(back[name], tensor)
    assert torch.equal(flatten(back), vector)


def test_vector_is_in_named_order_and_row_major(build):
    net = build("odd").to(memory_format=torch.channels_last)
    oracle = [x for p in net.parameters() for x in p.detach().contiguous().flatten().tolist()]
    assert flatten(net).tolist() == oracle


def test_flatten_returns_a_new_vector_and_unflatten_views_of_it():
    center = {"only": torch.ones(2, 3)}
    vector = flatten(center)
    vector.zero_()
    assert torch.equal(center["only"], torch.ones(2, 3))  # one tensor alone is copied too
    pieces = unflatten(vector, {"a": torch.empty(2), "b": torch.empty(2, 2)})
    vector += 7
    assert pieces["a"].tolist() == [7, 7]
    assert pieces["b"].tolist() == [[7, 7], [7, 7]]


def test_a_strided_vector_is_cut_right():
    vector = torch.arange(12.0)[::2]
    pieces = unflatten(vector, {"a": torch.empty(2), "b": torch.empty(2, 2)})
    assert pieces["a"].tolist() == [0, 2]
    assert pieces["b"].tolist() == [[4, 6], [8, 10]]


def test_tied_tensors_are_listed_once_under_their_first_name(build):
    net = build("tied")
    assert list(parameters_of(net)) == ["encode.weight", "encode.bias", "decode.bias"]
    assert len(flatten(net)) == 16 + 4 + 4
    assert len(net.state_dict()) == 4  # where the tied one appears twice


def test_parameters_are_detached_and_share_storage(build):
    net = build("odd")
    params = parameters_of(net)
    assert not any(p.requires_grad for p in params.values())
    assert all(params[n].data_ptr() == p.data_ptr() for n, p in net.named_parameters())


@pytest.mark.parametrize("length", [0, 9, 11])
def test_wrong_length_names_both(length):
    with pytest.raises(LayoutError, match=rf"\b10 elements.*\({length},\)"):
        unflatten(torch.zeros(length), {"w": torch.zeros(2, 5)})


def test_a_matrix_is_no_vector():
    with pytest.raises(LayoutError, match=r"\b10 elements.*\(2, 5\)"):
        unflatten(torch.zeros(2, 5), {"w": torch.zeros(2, 5)})


def test_nothing_to_flatten_and_mixed_dtypes_are_refused():
    with pytest.raises(LayoutError, match="no parameters"):
        flatten(nn.ReLU())
    with pytest.raises(LayoutError, match=r"float32.*float64"):
        flatten({"a": torch.zeros(1), "b": torch.zeros(1, dtype=torch.float64)})


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": torch.zeros(2)}, r"no tensor 'b'.*\(3, 1\)"),
        ({"a": torch.zeros(2), "b": torch.zeros(1, 3)}, r"\(1, 3\) at 'b'.*\(3, 1\)"),
        ({"a": torch.zeros(2), "b": torch.zeros(3, 1), "c": torch.zeros(1)}, "'c' that the center does not have"),
    ],
)
def test_layouts_that_differ_name_the_first_difference(tensors, message):
    with pytest.raises(LayoutError, match=message):
        check_layout(tensors, {"a": torch.zeros(2), "b": torch.zeros(3, 1)})
