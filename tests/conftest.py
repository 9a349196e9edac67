"""What every test folder uses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch


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
