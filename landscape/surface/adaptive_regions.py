"""Where a surface may be estimated: not where the loss is not finite, nor where that is undecided."""

from __future__ import annotations

import numpy as np

from landscape.records.base import BoolArray, FloatArray, IntArray

_TOUCHING = 1.5  # the eight neighbours of a cell are at most sqrt(2) away
_NARROW = 2.0  # a border is known well enough once every cell along it is nearer than this to a measured one


def regions(cells: IntArray, measured: IntArray, finite: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Split a plane by what the measured cells around each cell say: the corners of its Delaunay triangle.

    Args:
        cells: Indices of all cells, shape ``(cells, 2)``.
        measured: Indices of the measured ones, the corners of the plane among them.
        finite: Whether the loss is finite there.

    Returns:
        Cells to estimate: all corners are finite, and no neighbour is known not to be. Cells on the border between
        what is finite and what is not: some corners are. The rest is taken for not finite.
    """
    from scipy.spatial import Delaunay
    from scipy.spatial.distance import cdist

    if finite.all():
        return np.ones(len(cells), dtype=np.bool_), np.zeros(len(cells), dtype=np.bool_)
    if not finite.any():
        return np.zeros(len(cells), dtype=np.bool_), np.zeros(len(cells), dtype=np.bool_)
    triangles = Delaunay(measured)
    inside = triangles.find_simplex(cells)
    corners = finite[triangles.simplices[inside]]
    touching = cdist(cells, measured[~finite]).min(axis=1) < _TOUCHING
    good = corners.all(axis=1) & (inside >= 0) & ~touching
    border: BoolArray = corners.any(axis=1) & ~corners.all(axis=1) | (inside < 0)
    return good, border


def border_cells(cells: IntArray, measured: IntArray, border: BoolArray, count: int) -> list[int]:
    """Choose cells that narrow a border down, the ones farthest from all measured cells first.

    Args:
        cells: Indices of all cells, shape ``(cells, 2)``.
        measured: Indices of the measured ones.
        border: Which cells are on the border.
        count: How many to choose at most.

    Returns:
        Positions in ``cells``; none once every cell of the border is next to a measured one.
    """
    from scipy.spatial.distance import cdist

    distance: FloatArray = np.where(border, cdist(cells, measured).min(axis=1), 0.0)
    chosen: list[int] = []
    while len(chosen) < count:
        farthest = int(distance.argmax())
        if distance[farthest] < _NARROW:
            break
        chosen.append(farthest)
        distance = np.minimum(distance, np.linalg.norm(cells - cells[farthest], axis=1))
    return chosen
