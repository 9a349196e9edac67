"""A training run: a section of a page, a plotly figure, a picture."""

from __future__ import annotations

import os
from pathlib import Path

import plotly.graph_objects as go

from landscape.atomic import replacing
from landscape.figures.data import Scale
from landscape.figures.data_training import cut_note, training_panels
from landscape.figures.draw_matplotlib_training import training_image
from landscape.figures.draw_plotly import figure
from landscape.figures.draw_plotly_training import draw_training
from landscape.figures.public import titled
from landscape.figures.sections import LINEAR_FIRST, Section
from landscape.figures.text_training import (
    training_conditions,
    training_facts,
    training_notes,
    training_summary,
    training_table,
    training_title,
)
from landscape.records import Run


def training_section(run: Run, *, title: str | None = None) -> Section:
    """Prepare a run for a page: loss and accuracy over its epochs.

    Args:
        run: The run.
        title: Heading; by default it states what was trained.

    Returns:
        The section.
    """
    panels = training_panels(run)
    scales: tuple[Scale, ...] = ("linear", "log")
    note = cut_note(panels)
    return Section(
        title=training_title(run) if title is None else title,
        finding=training_summary(run),
        conditions=training_conditions(run),
        notes=tuple(text for text in training_notes(run) if text.startswith("Warning")),
        controls=(LINEAR_FIRST,),
        views={(scale,): draw_training(panels, scale=scale) for scale in scales},
        tables=(training_table(run),),
        facts=training_facts(run),
        remarks=("Faint: the loss of single mini-batches.", *([f"{note[0].upper()}{note[1:]}."] if note else [])),
    )


def training(run: Run, *, scale: Scale = "linear") -> go.Figure:
    """Draw loss and accuracy of a run over its epochs.

    Args:
        run: The run.
        scale: Kind of loss axis.

    Returns:
        A plotly figure.
    """
    return titled(figure(draw_training(training_panels(run), scale=scale)), training_title(run))


def write_training_png(path: str | os.PathLike[str], run: Run, *, scale: Scale = "linear", dpi: int = 150) -> Path:
    """Write loss and accuracy of a run as an image.

    Args:
        path: The file to write, replaced whole; its ending may be ``.png``, ``.pdf`` or ``.svg``.
        run: The run.
        scale: Kind of loss axis.
        dpi: Dots per inch.

    Returns:
        The path.

    Raises:
        StorageError: The file cannot be written.
    """
    panels = training_panels(run)
    line = " · ".join([*training_conditions(run), *([cut_note(panels)] if cut_note(panels) else [])])
    image = training_image(panels, scale=scale, title=training_title(run), conditions=line)
    target = Path(path)
    with replacing(target) as partial:
        image.savefig(partial, dpi=dpi, format=target.suffix[1:] or "png")
    return target
