"""One call for the figure of an evaluation."""

from __future__ import annotations

import os
from pathlib import Path

import plotly.graph_objects as go

from landscape.atomic import replacing
from landscape.figures.data_evaluation import Cells, evaluation_figure
from landscape.figures.draw_matplotlib_evaluation import evaluation_image
from landscape.figures.draw_plotly import figure
from landscape.figures.draw_plotly_evaluation import draw_evaluation
from landscape.figures.public import titled
from landscape.figures.text_evaluation import evaluation_conditions, evaluation_title
from landscape.records import Evaluation


def evaluation(record: Evaluation, *, cells: Cells = "rates") -> go.Figure:
    """Draw the confusion matrix, and the accuracy of every class beside its row.

    Args:
        record: The evaluation.
        cells: Shares of each class's images, or numbers of images.

    Returns:
        A plotly figure.
    """
    return titled(figure(draw_evaluation(evaluation_figure(record, cells=cells))), evaluation_title(record))


def write_evaluation_png(
    path: str | os.PathLike[str], record: Evaluation, *, cells: Cells | None = None, dpi: int = 150
) -> Path:
    """Write the confusion matrix and the accuracy of every class as an image.

    Args:
        path: The file to write, replaced whole; its ending may be ``.png``, ``.pdf`` or ``.svg``.
        record: The evaluation.
        cells: Shares of each class's images, or numbers of images; by default both, side by side.
        dpi: Dots per inch.

    Returns:
        The path.

    Raises:
        StorageError: The file cannot be written.
    """
    shown: tuple[Cells, ...] = (cells,) if cells else ("rates", "counts")
    panels = [evaluation_figure(record, cells=one) for one in shown]
    line = " · ".join(evaluation_conditions(record))
    image = evaluation_image(panels, title=evaluation_title(record), conditions=line)
    target = Path(path)
    with replacing(target) as partial:
        image.savefig(partial, dpi=dpi, format=target.suffix[1:] or "png")
    return target
