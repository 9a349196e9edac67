"""Which cells, in which order, and how they are cut into blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import UsageError
from landscape.records import Grid, Measurement, Surface
from landscape.surface.sampling import Blocks, Dense, dense, known, sampling


def blank(shape, done=None):
    """A surface of which nothing is known, or the cells of `done`."""
    done = np.zeros(shape, dtype=np.bool_) if done is None else np.array(done, dtype=np.bool_)
    values = {key: np.full(shape, np.nan) for key in ("loss", "loss_sem", "delta_sem", "accuracy")}
    grid = Grid(np.arange(shape[1], dtype=float), np.arange(shape[2], dtype=float))
    return Surface(grid, **values, done=done, measured=done.copy(), center=Measurement(1.0, 0.1, 0.5, 9))


def settle(surfaces, part):
    """Enter a block as measured."""
    which, block = part
    for cell in block:
        assert not surfaces[which].measured[cell], "a cell twice"
        surfaces[which].done[cell] = surfaces[which].measured[cell] = True


class Rounds:
    """A sampling that asks for one row of cells after the other, each when the one before is known."""

    def __init__(self, rows, columns):
        self._rows, self._columns, self._asked = rows, columns, 0

    @property
    def finished(self):
        return self._asked == self._rows

    def ask(self, surfaces):
        if self.finished or not known(surfaces)[0, : self._asked].all():
            return []
        self._asked += 1
        return [(0, self._asked - 1, j) for j in range(self._columns)]


@settings(max_examples=30, deadline=None)
@given(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4)), st.integers(0, 2**20))
def test_dense_lists_each_missing_cell_once_row_by_row(shape, seed):
    done = np.random.default_rng(seed).random(shape) < 0.4
    cells = dense(done)
    wanted = [(k, i, j) for k in range(shape[0]) for j in range(shape[2]) for i in range(shape[1]) if not done[k, i, j]]
    assert cells == wanted
    assert all(type(index) is int for cell in cells for index in cell)


def test_dense_asks_once_for_what_some_surface_lacks():
    shape = (2, 3, 2)
    done = np.random.default_rng(0).random((2, *shape)) < 0.5
    surfaces = [blank(shape, d) for d in done]
    asking = sampling("dense", surfaces[0].grid, 0.03)
    assert not asking.finished
    assert asking.expected(surfaces) == 12
    assert asking.ask(surfaces) == dense(done[0] & done[1])
    assert asking.finished
    assert asking.ask(surfaces) == []
    assert asking.fill(surfaces) == surfaces


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 200),
    st.lists(st.floats(0, 10), max_size=50),
    st.floats(0, 3),
    st.integers(1, 5),
    st.integers(0, 2**20),
)
def test_blocks_are_the_missing_cells_in_order_whatever_the_speeds(count, speeds, guess, workers, seed):
    surface = blank((1, count, 1), np.random.default_rng(seed).random((1, count, 1)) < 0.3)
    wanted = dense(surface.done)
    blocks = Blocks(Dense(surface.grid, 0.1), [surface], [guess], workers=workers)
    found = []
    for k, (which, block) in enumerate(blocks):
        assert which == 0
        assert block
        found += block
        settle([surface], (which, block))
        blocks.tell((which, block), speeds[k] if k < len(speeds) else 1.0)
    assert found == wanted


def sizes_of(blocks, *, seconds_per_cell=None):
    sizes = []
    for which, block in blocks:
        sizes.append(len(block))
        if seconds_per_cell is not None:
            blocks.tell((which, block), seconds_per_cell * len(block))
    return sizes


def test_blocks_last_about_two_seconds():
    """Cells of 0.1 s, guessed at 1 s: blocks grow from 2 cells to 20 as their speed is learnt."""
    surface = blank((1, 500, 1))
    blocks = Blocks(Dense(surface.grid, 0.1), [surface], [1.0])
    sizes = sizes_of(blocks, seconds_per_cell=0.1)
    assert sizes[0] == 2
    assert sizes == sorted(sizes[:-1]) + sizes[-1:]
    assert sizes[10:-1] == [20] * len(sizes[10:-1])
    assert sum(sizes) == 500
    assert blocks.paces[0] == pytest.approx(0.1, rel=1e-3)


def test_a_cell_longer_than_a_block_is_a_block():
    surface = blank((1, 2, 1))
    assert sizes_of(Blocks(Dense(surface.grid, 0.1), [surface], [30.0])) == [1, 1]


def test_no_worker_gets_more_than_its_share_of_what_is_left():
    """40 cells that take no time: whole in one block for one worker, in falling shares for four."""
    surface = blank((1, 40, 1))
    assert sizes_of(Blocks(Dense(surface.grid, 0.1), [surface], [1e-9])) == [40]
    sizes = sizes_of(Blocks(Dense(surface.grid, 0.1), [surface], [1e-9], workers=4))
    left, wanted = 40, []
    while left:
        wanted.append(-(-left // 4))
        left -= wanted[-1]
    assert sizes == wanted
    assert sizes[:3] == [10, 8, 6]
    # where cells are slow, two seconds are less than a share
    assert sizes_of(Blocks(Dense(surface.grid, 0.1), [surface], [0.4], workers=4))[:4] == [5, 5, 5, 5]


def test_several_surfaces_get_the_same_cells_the_slowest_sets_the_size_and_what_is_known_is_left_out():
    shape = (1, 12, 1)
    have = np.zeros(shape, dtype=np.bool_)
    have[0, [0, 1, 5]] = True
    surfaces = [blank(shape), blank(shape, have), blank(shape)]  # the third is served by another's blocks
    blocks = Blocks(Dense(surfaces[0].grid, 0.1), surfaces, [0.1, 0.5, None])
    parts = list(blocks)
    every = [(0, i, 0) for i in range(12)]
    missing = [cell for cell in every if not have[cell]]
    assert [cell for which, block in parts for cell in block if which == 0] == every
    assert [cell for which, block in parts for cell in block if which == 1] == missing
    assert all(which != 2 for which, _ in parts)
    assert parts[:2] == [(0, tuple(every[:4])), (1, tuple(every[2:4]))]  # 2 s at 0.5 s a cell, turn and turn about
    blocks.tell(parts[1], 2.0)
    assert blocks.paces == [0.1, 0.75, None]  # of two cells: half of 0.5 and half of 1.0


def test_none_is_handed_out_while_the_sampling_waits():
    surfaces = [blank((1, 3, 4)), blank((1, 3, 4))]
    queue = iter(Blocks(Rounds(3, 4), surfaces, [0.001, 0.001]))
    for row in range(3):
        first, second = next(queue), next(queue)
        cells = tuple((0, row, j) for j in range(4))
        assert (first, second) == ((0, cells), (1, cells))
        if row < 2:
            assert next(queue) is None
            settle(surfaces, first)
            assert next(queue) is None, "the second surface is still being worked on"
            settle(surfaces, second)
    assert next(queue, "end") == "end"


def test_known_is_what_every_surface_has_measured_not_what_was_interpolated():
    one, other = blank((1, 2, 2)), blank((1, 2, 2))
    for surface, cells in ((one, [(0, 0, 0), (0, 0, 1)]), (other, [(0, 0, 1), (0, 1, 1)])):
        settle([surface], (0, cells))
    one.done[:] = other.done[:] = True
    assert np.argwhere(known([one, other])).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(("points", "first"), [(12, 144), (13, 64), (15, 64), (25, 64), (41, 134)])
def test_how_many_cells_an_adaptive_plane_is_expected_to_take(points, first):
    """All of a plane too small to choose in; two or three rounds of a small one; 8 % of a large one."""
    surface = blank((1, points, points))
    asking = sampling("adaptive", surface.grid, 0.03)
    assert asking.expected([surface]) == first
    if first < points**2:
        settle([surface], (0, [(0, int(i), int(j)) for i, j in np.argwhere(np.ones((points, points)))[:first]]))
        assert asking.expected([surface]) == min(points**2, first + max(12, round(0.1 * first)))


def test_unknown_samplings_and_tolerances_are_refused():
    grid = Grid.square(1.0, 3)
    assert isinstance(sampling("dense", grid, 0.03), Dense)
    with pytest.raises(UsageError, match=r"'sparse'.*dense"):
        sampling("sparse", grid, 0.03)
    for rtol in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(UsageError, match="rtol"):
            sampling("dense", grid, rtol)
