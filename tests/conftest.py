"""What every test folder uses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from landscape.records import LineSearchTrace, SmoothnessTrace

NAN, INF = np.nan, np.inf


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny products gain nothing from a second thread, and lose much of it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def assert_same():
    """Compare two records field by field: type, dtype, shape and bits."""

    def check(a, b):
        assert type(a) is type(b)
        for field in dataclasses.fields(a):
            left, right = getattr(a, field.name), getattr(b, field.name)
            if dataclasses.is_dataclass(left):
                check(left, right)
            elif isinstance(left, np.ndarray) and left.dtype.kind == "U":
                assert left.tolist() == right.tolist(), field.name  # the width of the type is no content
            elif isinstance(left, np.ndarray):
                assert (left.dtype, left.shape) == (right.dtype, right.shape), field.name
                assert left.tobytes() == right.tobytes(), field.name
            elif isinstance(left, float):
                assert np.float64(left).tobytes() == np.float64(right).tobytes(), field.name
            else:
                assert type(left) is type(right), field.name
                assert left == right, field.name

    return check


@pytest.fixture
def line_search():
    """One step at three step sizes, with every kind of value."""
    numbers = [np.array([NAN, INF, -0.0]), np.array([1.0, NAN, 5e-324]), np.array([-1.0, 0.5, NAN])]
    return LineSearchTrace([0.1, 1 / 3, 2.0], *numbers, INF, 1e-300, recipe={"bn": "batch"})


def smoothness_of(layers):
    """Four probes, three step sizes: no two axes of one length."""
    rng, k = np.random.default_rng(2), len(layers)
    table = rng.standard_normal((3, 4, 3))
    table[:, 1, 2] = NAN, INF, -INF
    return SmoothnessTrace(
        [0, 100, 200, 300], [0.1, 0.2, 0.4], np.array(layers, dtype=np.str_), *table, *rng.standard_normal((3, 4)),
        *rng.standard_normal((2, 4, k)), recipe={"probe": {"every": 100}}, provenance={"name": "a"},
    )  # fmt: skip


@pytest.fixture
def smoothness():
    return smoothness_of(["features.0", "ü"])


@pytest.fixture
def smoothness_without_layers():
    return smoothness_of([])


@pytest.fixture
def empty_smoothness():
    """Step sizes and no probe yet."""
    none = np.zeros((0, 3))
    start = np.zeros(0)
    return SmoothnessTrace([], [0.1, 0.2, 0.4], ["a"], none, none, none, start, start, start, none[:, :1], none[:, :1])
