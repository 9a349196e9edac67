"""Where the planes of a figure stand: what is compared side by side, pairs below each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from landscape.figures.data_surface import SurfacePanel

_MOST_SIDE_BY_SIDE = 4


@dataclass(frozen=True, slots=True, eq=False)
class Arrangement:
    """Panels in the order in which they are read, with their places.

    Args:
        panels: The panels: all surfaces of the first pair, then those of the second.
        columns: Panels side by side.
        slots: Place of each panel, counted row by row; a place may stay empty.
    """

    panels: tuple[SurfacePanel, ...]
    columns: int
    slots: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows of panels."""
        return max(self.slots) // self.columns + 1


def arranged(panels: Sequence[SurfacePanel]) -> Arrangement:
    """Arrange the panels of a figure.

    Args:
        panels: Planes of one or more surfaces.

    Returns:
        For several pairs of two to four surfaces a row for each pair and a column for each surface; else rows of
        up to four.
    """
    ordered = tuple(sorted(panels, key=lambda panel: (panel.pair, panel.surface)))
    surfaces = sorted({panel.surface for panel in panels})
    pairs = sorted({panel.pair for panel in panels})
    if 1 < len(surfaces) <= _MOST_SIDE_BY_SIDE and len(pairs) > 1:
        slots = tuple(pairs.index(panel.pair) * len(surfaces) + surfaces.index(panel.surface) for panel in ordered)
        return Arrangement(ordered, len(surfaces), slots)
    many = len(ordered)
    columns = many if many < 4 else 2 if many == 4 else 4 if many % 4 == 0 else 3
    return Arrangement(ordered, columns, tuple(range(many)))
