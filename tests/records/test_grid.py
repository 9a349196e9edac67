"""Grids hold exact numbers: mirrored, centered, and as wide as was asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import UsageError
from landscape.records import Grid

RADII = st.floats(1e-100, 1e100)


@settings(deadline=None, max_examples=300)
@given(radius=RADII, points=st.integers(1, 101))
def test_a_square_grid_is_exact(radius, points):
    grid = Grid.square(radius, points)
    assert grid.shape == (points, points)
    for axis in (grid.alpha, grid.beta):
        assert (axis == -axis[::-1]).all()  # bit for bit
        assert (np.diff(axis) > 0).all()
        np.testing.assert_allclose(np.diff(axis), 2 * radius / max(points - 1, 1), rtol=1e-10)
        if points > 1:
            assert (axis[0], axis[-1]) == (-radius, radius)
    middle = points // 2
    assert grid.center == ((middle, middle) if points % 2 else None)
    if points % 2:
        assert grid.alpha[middle] == 0.0
        assert not np.signbit(grid.alpha[middle])


def test_square_in_numbers():
    np.testing.assert_array_equal(Grid.square(1.0, 5).alpha, [-1.0, -0.5, 0.0, 0.5, 1.0])
    np.testing.assert_array_equal(Grid.square(2.0, 2).beta, [-2.0, 2.0])
    assert Grid.square().shape == (41, 41)
    assert Grid.square(0.3, 4).alpha[-1] == 0.3  # 0.3 * 3 / 3 is another number in float64


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_a_radius_that_is_no_length_is_refused(radius):
    with pytest.raises(UsageError, match=f"the radius is a positive number; got {radius}"):
        Grid.square(radius)


@pytest.mark.parametrize("points", [0, -3])
def test_a_grid_without_points_is_refused(points):
    with pytest.raises(UsageError, match=f"at least one point on an axis; got {points} points"):
        Grid.square(1.0, points)


@pytest.mark.parametrize(
    ("alpha", "beta", "message"),
    [
        ([], [0.0], "alpha needs at least one point"),
        ([0.0], [[0.0, 1.0]], r"beta needs at least one point on one axis; got shape \(1, 2\)"),
        ([0.0, np.nan], [0.0], "alpha must be finite and increase"),
        ([0.0], [-np.inf, 0.0], "beta must be finite and increase"),
        ([0.0, 0.0], [0.0], "alpha must be finite and increase"),
        ([0.0], [1.0, 0.0], "beta must be finite and increase"),
    ],
)
def test_axes_that_are_none_are_refused(alpha, beta, message):
    with pytest.raises(UsageError, match=message):
        Grid(alpha, beta)


def test_a_line_and_a_center_off_the_middle():
    assert Grid((-1.0, 0.0, 2.0, 3.0), 0.0).shape == (4, 1)
    assert Grid((-1.0, 0.0, 2.0), (0.0, 1.0)).center == (1, 0)
    assert Grid((-1.0, 0.5), (0.0,)).center is None


def test_the_callers_array_is_copied():
    axis = np.array([0.0, 1.0])
    grid = Grid(axis, axis)
    axis[0] = 5.0
    assert grid.alpha[0] == 0.0
