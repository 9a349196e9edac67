"""One training run with matplotlib, from the numbers that the interactive figure shows."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.figures.data import Scale
from landscape.figures.data_training import VALIDATION, TrainingPanel
from landscape.figures.draw_matplotlib import blank_figure, write_title
from landscape.figures.draw_plotly_training import COLORS


def training_image(panels: Sequence[TrainingPanel], *, scale: Scale, title: str, conditions: str = "") -> Figure:
    """Draw the panels of a run side by side.

    Args:
        panels: The panels.
        scale: Kind of loss axis.
        title: What was trained.
        conditions: A line below the title.

    Returns:
        The figure, with its own canvas.
    """
    figure = blank_figure(4.4 * len(panels), 4.4)
    for ax, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _panel(ax, panel, scale if panel.loss else "linear")
    write_title(figure, title, conditions)
    return figure


def _panel(ax: Axes, panel: TrainingPanel, scale: Scale) -> None:
    for line in panel.lines:
        behind = line.part == "training" and not line.name
        few = len(line.curve.x) <= 40 and not behind
        ax.plot(
            line.curve.x,
            line.curve.y,
            color=COLORS[line.part],
            linewidth=0.6 if behind else 1.5,
            alpha=0.35 if behind else 1.0,
            marker="." if few else "",
            label=line.name or None,
        )
    if panel.mark is not None:
        ax.plot(*[[v] for v in panel.mark], "D", color=VALIDATION, fillstyle="none", markersize=8, label="best")
    ax.set(xlabel="epoch", ylabel=panel.axis, yscale=scale)
    ax.set_title(panel.title, fontsize=10)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if any(line.name for line in panel.lines):
        ax.legend(fontsize=8, frameon=False)
    if panel.end is not None and scale == "linear":
        ax.set_ylim(-0.03 * panel.end, panel.end)
