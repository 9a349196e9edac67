"""Static figures with matplotlib, from the numbers that the interactive ones show; no global state."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from landscape.figures.arrangement import arranged
from landscape.figures.data import WITH_BN, WITHOUT_BN, Scale, number, scaled
from landscape.figures.data_band import AXES, BandCurves, BandPanel, Curve, Show, axis_end, axis_note, stretches
from landscape.figures.data_contour import axis_limits, iso_lines, label_places, levels, loss_range, ticks
from landscape.figures.data_surface import SurfacePanel

_QUIET = "#5c6670"


def surfaces_image(panels: Sequence[SurfacePanel], *, scale: Scale, title: str, conditions: str = "") -> Figure:
    """Draw planes from above with labelled iso-lines, on one scale of colours.

    Args:
        panels: The planes.
        scale: Kind of loss axis.
        title: What was measured.
        conditions: A line below the title.

    Returns:
        The figure, with its own canvas.
    """
    places = arranged(panels)
    figure = empty_figure(max(3.5 * places.columns + 1.2, 5.5), 3.5 * places.rows + 1.0)
    limits = loss_range(panels, scale)
    low, high = (float(v) for v in scaled(np.array(limits), scale))
    axes = figure.subplots(places.rows, places.columns, squeeze=False)
    norm = Normalize(low, high)
    for slot, panel in zip(places.slots, places.panels, strict=True):
        ax = axes.flat[slot]
        _curve(ax, panel, scale, limits) if panel.is_line else _plane(ax, panel, scale, limits, norm)
        ax.set_title(panel.title(scale), fontsize=10)
    for slot in set(range(axes.size)) - set(places.slots):
        axes.flat[slot].set_visible(False)
    if not all(panel.is_line for panel in panels):
        at, text = ticks(limits, scale)
        bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=list(axes.flat), shrink=0.8, pad=0.02, label="loss")
        bar.set_ticks(at, labels=text)
        bar.ax.minorticks_off()
    marks = ["◆ center", "○ lowest cell"] + ["dots are measured cells"] * any(
        panel.interpolated.any() for panel in panels
    )
    write_title(figure, title, " · ".join(part for part in (conditions, *marks) if part))
    return figure


def empty_figure(width: float, height: float) -> Figure:
    """Return a figure of a size in inches with a canvas of its own."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def write_title(figure: Figure, title: str, line: str) -> None:
    """Write a title and a line below it over a figure, wrapped at their dots."""
    wide = int(figure.get_figwidth() * 13)
    text = "\n".join(_wrapped(title, wide) + _wrapped(line, wide))
    figure.suptitle(text.replace("$", r"\$"), x=0.01, ha="left", fontsize=10)


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for part in (line for phrase in text.split(" · ") for line in textwrap.wrap(phrase, width)):
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        lines = [*lines[:-1], joined] if len(joined) <= width or not lines[-1] else [*lines, part]
    return [line for line in lines if line]


def _plane(ax: Axes, panel: SurfacePanel, scale: Scale, limits: tuple[float, float], norm: Normalize) -> None:
    z = np.ma.masked_invalid(scaled(panel.loss, scale))
    if z.count():
        low, high = (float(v) for v in scaled(np.array(limits), scale))
        shades = np.linspace(low, high, 128)
        ax.contourf(panel.alpha, panel.beta, z, shades, norm=norm, cmap="viridis", antialiased=False)
    for line in iso_lines(panel, levels(limits, scale), scale):
        for part in line.lines:
            ax.plot(part[:, 0], part[:, 1], color="white", linewidth=0.8, alpha=0.85)
    _labels(ax, panel, scale, limits)
    if panel.interpolated.any():
        rows, columns = np.nonzero(~panel.interpolated & np.isfinite(scaled(panel.loss, scale)))
        ax.plot(panel.alpha[columns], panel.beta[rows], ".", color="#f3e9d2", markeredgewidth=0, markersize=2.6)
    if panel.lowest:
        ax.plot(panel.lowest.alpha, panel.lowest.beta, "o", color="white", markeredgecolor="#222222", markersize=6)
    ax.plot(0, 0, "D", color="#e4572e", markeredgecolor="white", markersize=6)
    ax.set(xlim=panel.alpha[[0, -1]], ylim=panel.beta[[0, -1]], xlabel="α", ylabel="β", aspect="equal")


def _labels(ax: Axes, panel: SurfacePanel, scale: Scale, limits: tuple[float, float]) -> None:
    box: dict[str, Any] = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8}
    for x, y, level in label_places(panel, iso_lines(panel, levels(limits, scale), scale)):
        ax.text(x, y, number(level), fontsize=7, ha="center", va="center", bbox=box, color="#222222")


def _curve(ax: Axes, panel: SurfacePanel, scale: Scale, limits: tuple[float, float]) -> None:
    name, along = ("α", panel.alpha) if panel.loss.shape[1] > 1 else ("β", panel.beta)
    shown = np.where(np.isfinite(scaled(panel.loss, scale)), panel.loss, np.nan).ravel()
    ax.errorbar(along, shown, panel.loss_sem.ravel(), color="#31688e", linewidth=1.5, elinewidth=0.8, marker=".")
    if panel.lowest:
        at = panel.lowest.alpha if name == "α" else panel.lowest.beta
        ax.plot(at, panel.lowest.loss, "o", color="white", markeredgecolor="#222222", markersize=6)
    ax.plot(0, panel.center.loss, "D", color="#e4572e", markeredgecolor="white", markersize=6)
    low, high = axis_limits(limits, scale)
    ax.set(ylim=(10**low, 10**high) if scale == "log" else (low, high))
    ax.set(xlabel=name, ylabel="loss", yscale="log" if scale == "log" else "linear")
    ax.grid(alpha=0.3)


def bands_image(rows: Sequence[tuple[Show, Sequence[BandPanel]]], *, scale: Scale, title: str) -> Figure:
    """Draw bands side by side: without BatchNorm in one colour and with it in the other.

    Args:
        rows: What the curves of a row are, and its panels.
        scale: Kind of vertical axis.
        title: What was measured.

    Returns:
        The figure, with its own canvas.
    """
    columns = max(len(panels) for _, panels in rows)
    figure = empty_figure(max(4.2 * columns, 6.0), 0.8 + 3.6 * len(rows))
    grid = figure.subplots(len(rows), max(columns, 1), squeeze=False, sharey="row")
    notes = []
    for axes, (show, panels) in zip(grid, rows, strict=True):
        _row(axes, panels, show, scale)
        window = max((panel.window for panel in panels), default=0)
        notes.append(f"strong: centred running mean over {window} steps · faint: raw band" if window > 1 else "")
        notes.append(axis_note(panels, show, scale))
    write_title(figure, title, " · ".join(text for text in notes if text))
    return figure


def _row(axes: Sequence[Axes], panels: Sequence[BandPanel], show: Show, scale: Scale) -> None:
    for ax, panel in zip(axes, panels, strict=False):
        for network in panel.networks:
            _network(ax, network)
        ax.set_title(panel.title, fontsize=10)
        ax.set(xlabel=AXES[show][0], yscale="linear" if show == "val_accuracy" else scale)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(fontsize=8, frameon=False)
    axes[0].set_ylabel(AXES[show][1])
    end = axis_end(panels, show, scale)
    if end is not None:
        axes[0].set_ylim(-0.03 * end, end)


def _network(ax: Axes, network: BandCurves) -> None:
    color = WITH_BN if network.with_bn else WITHOUT_BN
    if network.faint is not None:
        _fill(ax, *network.faint, color=color, alpha=0.13)
    _fill(ax, network.low, network.high, color=color, alpha=0.28, label=network.variant)
    for edge in (network.low, network.high):
        ax.plot(edge.x, edge.y, color=color, linewidth=1.3, marker="." if len(edge.x) == 1 else "")
    for run in network.runs:
        if run.flag:
            label = f"{network.variant} at {run.name}, {run.flag}"
            ax.plot(run.x, run.y, color=color, linewidth=1.1, linestyle="--", label=label)


def _fill(ax: Axes, low: Curve, high: Curve, **look: Any) -> None:
    for first, last in stretches(low, high):
        inside = [(c.x >= first) & (c.x <= last) & np.isfinite(c.y) for c in (low, high)]
        x = np.concatenate([low.x[inside[0]], high.x[inside[1]][::-1]])
        y = np.concatenate([low.y[inside[0]], high.y[inside[1]][::-1]])
        ax.fill(x, y, linewidth=0, **look)
        look = look | {"label": None}
