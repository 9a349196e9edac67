"""Which cells, in which order, and how they are cut into blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import UsageError
from landscape.surface.sampling import Blocks, dense, sampling


@settings(max_examples=30, deadline=None)
@given(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4)), st.integers(0, 2**20))
def test_dense_lists_each_missing_cell_once_row_by_row(shape, seed):
    done = np.random.default_rng(seed).random(shape) < 0.4
    cells = dense(done)
    wanted = [(k, i, j) for k in range(shape[0]) for j in range(shape[2]) for i in range(shape[1]) if not done[k, i, j]]
    assert cells == wanted
    assert all(type(index) is int for cell in cells for index in cell)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 200), st.lists(st.floats(0, 10), max_size=50), st.floats(0, 3))
def test_blocks_are_the_cells_in_order_whatever_the_speeds(count, speeds, guess):
    cells = [(0, i, 0) for i in range(count)]
    blocks = Blocks(cells, seconds_per_cell=guess)
    found = []
    for k, block in enumerate(blocks):
        assert block
        found += block
        blocks.tell(len(block), speeds[k] if k < len(speeds) else 1.0)
    assert found == cells


def test_blocks_last_about_two_seconds():
    """Cells of 0.1 s, guessed at 1 s: blocks grow from 2 cells to 20 as their speed is learnt."""
    sizes = []
    blocks = Blocks([(0, i, 0) for i in range(500)], seconds_per_cell=1.0)
    for block in blocks:
        sizes.append(len(block))
        blocks.tell(len(block), 0.1 * len(block))
    assert sizes[0] == 2
    assert sizes == sorted(sizes[:-1]) + sizes[-1:]
    assert sizes[10:-1] == [20] * len(sizes[10:-1])
    assert blocks.seconds_per_cell == pytest.approx(0.1, rel=1e-3)


def test_a_cell_longer_than_a_block_is_a_block():
    assert [len(b) for b in Blocks([(0, 0, 0), (0, 1, 0)], seconds_per_cell=30.0)] == [1, 1]


def test_unknown_samplings_are_refused():
    assert sampling("dense") is dense
    with pytest.raises(UsageError, match=r"'sparse'.*dense"):
        sampling("sparse")
