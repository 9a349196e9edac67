"""A sweep: a section of a page, a plotly figure, a picture."""

from __future__ import annotations

import os
from pathlib import Path

import plotly.graph_objects as go

from landscape.atomic import replacing
from landscape.figures.data_sweep import parallel_axes, shown_rows, sweep_rows
from landscape.figures.draw_matplotlib_sweep import bars_image
from landscape.figures.draw_plotly import Drawing, figure
from landscape.figures.draw_plotly_sweep import draw_bars, draw_parallel
from landscape.figures.public import titled
from landscape.figures.sections import Control, Section
from landscape.figures.text_sweep import (
    settings_table,
    short_names,
    sweep_conditions,
    sweep_facts,
    sweep_finding,
    sweep_notes,
    sweep_remarks,
    sweep_table,
    sweep_title,
)
from landscape.records import Sweep

FIGURE = Control("figure", "Figure", (("bars", "bars"), ("axes", "parallel axes")))


def sweep_section(sweep: Sweep, *, title: str | None = None) -> Section:
    """Prepare a sweep for a page: bars, all settings on parallel axes, tables.

    Args:
        sweep: The record.
        title: Heading; by default it states what was compared.

    Returns:
        The section.
    """
    rows = sweep_rows(sweep)
    axes, second = parallel_axes(rows, short_names(sweep)), settings_table(sweep)
    bars = draw_bars(shown_rows(rows))
    views: dict[tuple[str, ...], Drawing] = {("bars",): bars, ("axes",): draw_parallel(axes)} if axes else {(): bars}
    return Section(
        title=sweep_title(sweep) if title is None else title,
        finding=sweep_finding(sweep),
        conditions=sweep_conditions(sweep),
        notes=sweep_notes(sweep),
        controls=(FIGURE,) if axes else (),
        views=views,
        tables=(sweep_table(sweep), *([second] if second else [])),
        facts=sweep_facts(sweep),
        remarks=sweep_remarks(sweep, axes=bool(axes)),
    )


def sweep(record: Sweep) -> go.Figure:
    """Draw the validation accuracies of a sweep as bars, the best on top, with the baseline's line.

    Args:
        record: The sweep.

    Returns:
        A plotly figure.
    """
    return titled(figure(draw_bars(shown_rows(sweep_rows(record)))), sweep_title(record))


def write_sweep_png(path: str | os.PathLike[str], record: Sweep, *, dpi: int = 150) -> Path:
    """Write the bars of a sweep as an image.

    Args:
        path: The file to write, replaced whole; its ending may be ``.png``, ``.pdf`` or ``.svg``.
        record: The sweep.
        dpi: Dots per inch.

    Returns:
        The path.

    Raises:
        StorageError: The file cannot be written.
    """
    line = " · ".join(sweep_conditions(record))
    image = bars_image(shown_rows(sweep_rows(record)), title=sweep_title(record), conditions=line)
    target = Path(path)
    with replacing(target) as partial:
        image.savefig(partial, dpi=dpi, format=target.suffix[1:] or "png")
    return target
