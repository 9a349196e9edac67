"""An evaluation with matplotlib, from the numbers that the interactive figure shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from landscape.figures.data import number
from landscape.figures.data_evaluation import COLOR, RAMP, WHITE_FROM, EvaluationFigure
from landscape.figures.draw_matplotlib import blank_figure, write_title

_BLUE = tuple(part / 255 for part in COLOR)
_ON_WHITE = [(at, tuple(1 - strength * (1 - part) for part in _BLUE)) for at, strength in RAMP]
_SHADES = LinearSegmentedColormap.from_list("confusion", _ON_WHITE).with_extremes(bad="#eeeeee")
_BARS = 3.2  # width of the bars [inches]
_TITLES = {"rates": "confusion [% of the true class]", "counts": "confusion [images]"}


def evaluation_image(panels: Sequence[EvaluationFigure], *, title: str, conditions: str = "") -> Figure:
    """Draw confusion matrices side by side, and beside their rows the accuracy of every class.

    Args:
        panels: The same evaluation as rates, as counts, or both.
        title: What was measured.
        conditions: A line below the title.

    Returns:
        The figure, with its own canvas.
    """
    first = panels[0]
    side = min(9.0, max(3.8, 0.42 * max(first.z.shape)))
    rows, columns = first.z.shape
    figure = blank_figure(len(panels) * (side + 0.5) + _BARS + 1.4, side * min(1, rows / columns) + 2.1)
    figure.set_layout_engine("compressed")  # square cells: what is left over goes to the edges
    ratios = [1.0] * len(panels) + [_BARS / side]
    *squares, bars = figure.subplots(1, len(panels) + 1, squeeze=False, width_ratios=ratios)[0]
    bars.set_box_aspect(rows / columns * side / _BARS)  # as high as the matrices, so that its rows are theirs
    for ax, panel in zip(squares, panels, strict=True):
        _matrix(figure, ax, panel)
    _bars(bars, first)
    squares[0].set_ylabel("true class")
    for ax in (*squares[1:], bars):
        ax.set_yticklabels([])
    write_title(figure, title, conditions)
    return figure


def _matrix(figure: Figure, ax: Axes, panel: EvaluationFigure) -> None:
    shown = ax.imshow(np.ma.masked_invalid(panel.z), cmap=_SHADES, vmin=0, vmax=panel.largest, aspect="equal")
    if panel.labelled:
        for i, row in enumerate(panel.text):
            for j, text in enumerate(row):
                white = panel.z[i, j] > WHITE_FROM * panel.largest
                ax.text(j, i, text, ha="center", va="center", fontsize=7.5, color="white" if white else "#222222")
    else:
        figure.colorbar(shown, ax=ax, shrink=0.6, pad=0.02)
    at, names = panel.ticks(panel.outputs, 45)
    ax.set_xticks(at, [_plain(name) for name in names], rotation=90, fontsize=8)
    _rows(ax, panel)
    ax.set_xlabel("said (predicted class)")
    ax.set_title(_TITLES[panel.cells], fontsize=10)
    ax.spines[:].set_color("#cccccc")


def _rows(ax: Axes, panel: EvaluationFigure) -> None:
    at, names = panel.ticks(panel.classes, 45)
    ax.set_yticks(at, [_plain(name) for name in names], fontsize=8)
    ax.tick_params(length=0)
    ax.set_ylim(len(panel.classes) - 0.5, -0.5)


def _bars(ax: Axes, panel: EvaluationFigure) -> None:
    there = np.flatnonzero(np.isfinite(panel.accuracy))
    accuracy = panel.accuracy[there]
    errors = [accuracy - panel.low[there], panel.high[there] - accuracy]
    look = {"ecolor": _BLUE, "elinewidth": 1.4, "capsize": 2}
    ax.barh(there, accuracy, 0.72, xerr=errors, color=(*_BLUE, 0.45), error_kw=look)
    for k in sorted(set(range(len(panel.classes))) - set(there.tolist())):
        ax.text(1, k, "no images", va="center", fontsize=7.5, color="#5c6670")
    if np.isfinite(panel.overall):
        ax.axvline(panel.overall, color="#808080", linewidth=1, linestyle=":")
    _rows(ax, panel)
    ax.set_xlim(0, 101)
    ax.set_xlabel("accuracy [%], 95 % interval")
    ax.set_title(f"accuracy by class (dotted: all, {number(panel.overall, 3)} %)", fontsize=10)
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)
    ax.spines[:].set_visible(False)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")
