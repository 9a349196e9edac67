"""What every plotly figure shares: a drawing of plain lists, its frame, and places for panels.

Drawings are plain dictionaries, so that a page can round and share their numbers; ``figure`` makes a plotly Figure of
one. Colours of text and grid are left to the page, which follows the reader's light or dark setting.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_FRAME = 110  # title, axis titles and legend [px]
_PAGE, _PHONE = 1150, 340  # widths that a drawing is laid out for [px]
NEUTRAL = "rgba(128,128,128,0.28)"


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """One state of a figure.

    Args:
        data: Traces as plotly takes them.
        layout: Layout for a wide window.
        narrow: Layout for a narrow one; by default the same.
        flat: Whether it has no 3-D scene, so that it can be saved as SVG.
    """

    data: list[dict[str, Any]]
    layout: dict[str, Any]
    narrow: dict[str, Any] | None = None
    flat: bool = True


def figure(drawing: Drawing) -> go.Figure:
    """Make a plotly Figure.

    Args:
        drawing: What to draw.

    Returns:
        The figure, in the layout for a wide window.
    """
    return go.Figure(drawing.data, drawing.layout)


def nested(values: Any) -> list[Any]:
    """Turn numbers into lists; what is not finite becomes ``None``, which plotly leaves out.

    Args:
        values: An array of any shape.

    Returns:
        Nested lists.
    """
    array: np.ndarray[Any, Any] = np.asarray(values)
    if array.dtype.kind != "f":
        return list(array.tolist())
    boxed = array.astype(object)
    boxed[~np.isfinite(array)] = None
    return list(boxed.tolist())


def escaped(text: str) -> str:
    """Make text from a record safe for plotly, which reads a part of HTML.

    Args:
        text: Any text.

    Returns:
        The text with its special characters as entities.
    """
    return html.escape(text, quote=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the panels of a figure stand, in fractions of the drawing.

    Args:
        columns: Panels side by side.
        rows: Panels above each other.
        height: Height of the figure [px].
        gap_x: Empty width between columns.
        gap_y: Empty height between rows.
        inset: Empty width at the left and the right.
    """

    columns: int
    rows: int
    height: int
    gap_x: float
    gap_y: float
    inset: float = 0.0

    @property
    def aspect(self) -> float:
        """Width of a panel divided by its height, for a usual window or, in one column, for a narrow one."""
        (left, right), (bottom, top) = self.domain(0)
        width = _PHONE if self.columns == 1 and self.rows > 1 else _PAGE
        return (right - left) * width / ((top - bottom) * (self.height - _FRAME))

    def domain(self, panel: int) -> tuple[list[float], list[float]]:
        """Place a panel.

        Args:
            panel: Its number, row by row from the top.

        Returns:
            Its extent in x and in y.
        """
        column, row = panel % self.columns, panel // self.columns
        width = (1 - 2 * self.inset - self.gap_x * (self.columns - 1)) / self.columns
        height = (1 - self.gap_y * (self.rows - 1)) / self.rows
        left, top = self.inset + column * (width + self.gap_x), 1 - row * (height + self.gap_y)
        return [round(left, 4), round(left + width, 4)], [round(top - height, 4), round(top, 4)]

    def headline(self, panel: int, text: str, *, lift: float = 0.0) -> dict[str, Any]:
        """Write the title of a panel above it.

        Args:
            panel: Its number.
            text: The title.
            lift: How far above its upper edge.

        Returns:
            A plotly annotation.
        """
        (left, right), (_, top) = self.domain(panel)
        place = {
            "x": (left + right) / 2,
            "y": top + lift,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "center",
            "yanchor": "bottom",
        }
        return {"text": escaped(text), "showarrow": False, "font": {"size": 14}, **place}


def frame(
    panels: int, *, columns: int, row_height: int, gap_x: float = 0.06, gap: int = 70, inset: float = 0.0
) -> Frame:
    """Arrange panels of equal size.

    Args:
        panels: How many.
        columns: Most side by side.
        row_height: Height of a panel [px].
        gap_x: Empty width between columns, as a fraction.
        gap: Empty height between rows [px].
        inset: Empty width at the left and the right, as a fraction.

    Returns:
        The arrangement.
    """
    columns = max(1, min(columns, panels))
    rows = max(1, -(-panels // columns))
    inner = rows * row_height + (rows - 1) * gap
    return Frame(columns, rows, inner + _FRAME, gap_x if columns > 1 else 0.0, gap / inner, inset)


def base_layout(place: Frame, headlines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Start a layout: clear background, system font, legend below.

    Args:
        place: Where the panels stand.
        headlines: Titles of the panels.

    Returns:
        A plotly layout to be completed.
    """
    return {
        "template": {"layout": {}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13},
        "height": place.height,
        "meta": {"least": 480 if place.rows == 1 else _FRAME + 230 * place.rows},  # [px]; a page reads it
        "margin": {"l": 56, "r": 16, "t": 38, "b": 72},
        "legend": {"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0, "yref": "container", "yanchor": "bottom"},
        "hoverlabel": {"font": {"family": FONT}},
        "annotations": list(headlines),
    }
