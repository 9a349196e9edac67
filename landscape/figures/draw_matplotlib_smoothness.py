"""Probes along training with matplotlib, from the numbers that the interactive figure shows."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from landscape.figures.data import number
from landscape.figures.data_smoothness import TraceCurves, TracePanel, columns_for
from landscape.figures.draw_matplotlib import blank_figure, fill_band, write_title


def traces_image(panels: Sequence[TracePanel], *, title: str, conditions: str = "") -> Figure:
    """Draw the panels of a figure.

    Args:
        panels: The panels.
        title: What was measured.
        conditions: A line below the title.

    Returns:
        The figure, with its own canvas.
    """
    columns = columns_for(len(panels))
    rows = -(-len(panels) // columns)
    figure = blank_figure(4.4 * columns, 0.9 + 3.1 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax, panel in zip(axes.flat, panels, strict=False):
        _panel(ax, panel)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    handles, names = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    write_title(figure, title, conditions)
    return figure


def _panel(ax: Axes, panel: TracePanel) -> None:
    for curves in panel.networks:
        _network(ax, curves)
    for overlay in panel.published:
        for k, edge in enumerate(overlay.edges):
            label = overlay.name.split(" (")[0] if k == 0 else None
            ax.plot(edge.x, edge.y, color=overlay.color, linewidth=0.9, linestyle="--", alpha=0.8, label=label)
    for level in panel.levels:
        ax.axhline(level, color="#5c6670", linewidth=1.0, linestyle=":", zorder=0)
    ax.set_title(panel.title, fontsize=10)
    ax.set(xlabel="training step", ylabel=panel.unit, yscale=panel.scale)
    if panel.scale == "log":
        _plain_ticks(ax)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if panel.end is not None:
        ax.set_ylim(-0.03 * panel.end, panel.end)
        ax.text(0.99, 0.98, panel.note, transform=ax.transAxes, fontsize=7, ha="right", va="top")


def _plain_ticks(ax: Axes) -> None:
    """Write losses as plain numbers where the axis spans less than two decades, whose minor ticks then carry them."""
    low, high = ax.get_ylim()
    if high / low < 100:
        plain = FuncFormatter(lambda value, _: number(value, 3) if str(f"{value:e}")[0] in "125" else "")
        ax.yaxis.set_major_formatter(plain)
        ax.yaxis.set_minor_formatter(plain)
    else:
        ax.yaxis.set_minor_formatter(NullFormatter())


def _network(ax: Axes, curves: TraceCurves) -> None:
    if curves.faint is not None:
        fill_band(ax, *curves.faint, color=curves.color, alpha=0.13)
    if curves.high is not None:
        fill_band(ax, curves.low, curves.high, color=curves.color, alpha=0.28)
    for k, edge in enumerate(curves.edges):
        marker = "." if len(edge.x) == 1 else ""
        ax.plot(edge.x, edge.y, color=curves.color, linewidth=1.3, marker=marker, label=curves.name if k == 0 else None)
    if curves.saturated is not None:
        ax.plot(curves.saturated.x, curves.saturated.y, "o", markersize=3.5, markerfacecolor="none", color=curves.color)
