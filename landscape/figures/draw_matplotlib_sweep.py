"""A sweep with matplotlib: the bars that the interactive figure shows."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from landscape.figures.data_sweep import SweepRow
from landscape.figures.data_training import VALIDATION
from landscape.figures.draw_matplotlib import blank_figure, write_title
from landscape.figures.draw_plotly_sweep import BASELINE
from landscape.figures.text_sweep import accuracy_text


def bars_image(rows: Sequence[SweepRow], *, title: str, conditions: str = "") -> Figure:
    """Draw validation accuracies as horizontal bars, the best on top.

    Args:
        rows: The settings, sorted.
        title: What was compared.
        conditions: A line below the title.

    Returns:
        The figure, with its own canvas.
    """
    figure = blank_figure(8.5, 1.6 + 0.32 * max(len(rows), 3))
    ax = figure.subplots()
    for place, row in enumerate(rows):
        color = BASELINE if row.baseline else VALIDATION
        error = row.accuracy.sd if row.accuracy.count > 1 else None
        ax.barh(place, row.accuracy.mean, xerr=error, height=0.65, color=color, alpha=0.8, ecolor="#303030", capsize=2)
        ax.plot(row.accuracy.values, [place] * len(row.accuracy.values), ".", color="#202020", markersize=3)
        reach = row.accuracy.mean + (error or 0.0)
        text = accuracy_text(row.accuracy)
        ax.annotate(text, (reach, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
    base = next((row for row in rows if row.baseline), None)
    if base is not None:
        ax.axvline(base.accuracy.mean, color=BASELINE, linestyle="--", linewidth=1.2)
    names = [f"{row.name} (baseline)" if row.baseline else row.name for row in rows]
    ax.set_yticks(range(len(rows)), names, fontsize=8)
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel="highest validation accuracy")
    ax.set_xlim(0, 1.15 * (max((max(row.accuracy.values) for row in rows), default=0.0) or 1.0))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="x", alpha=0.3)
    write_title(figure, title, conditions)
    return figure
