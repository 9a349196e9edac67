"""An evaluation as a part of a page: confusion, accuracy by class, the surest mistakes with their images."""

from __future__ import annotations

from landscape.figures.data import count
from landscape.figures.data_evaluation import evaluation_figure
from landscape.figures.draw_plotly_evaluation import draw_evaluation
from landscape.figures.gallery import Gallery, Picture
from landscape.figures.sections import Control, Section
from landscape.figures.text_evaluation import (
    class_table,
    confusion_table,
    evaluation_conditions,
    evaluation_facts,
    evaluation_notes,
    evaluation_summary,
    evaluation_title,
    mistake_captions,
    sureness_note,
)
from landscape.records import Evaluation

CELLS = Control("cells", "Cells", (("rates", "% of the true class"), ("counts", "number of images")))
_READING = (
    "A row holds the images of one class, a column what the network said; the diagonal is right. Bars carry 95 % "
    "intervals."
)


def evaluation_section(evaluation: Evaluation, *, title: str | None = None) -> Section:
    """Prepare an evaluation for a page.

    Args:
        evaluation: The record.
        title: Heading; by default it states what was measured.

    Returns:
        The section.
    """
    tables = (class_table(evaluation), confusion_table(evaluation))
    return Section(
        title=evaluation_title(evaluation) if title is None else title,
        finding=evaluation_summary(evaluation),
        conditions=evaluation_conditions(evaluation),
        notes=evaluation_notes(evaluation),
        controls=(CELLS,),
        views={
            ("rates",): draw_evaluation(evaluation_figure(evaluation, cells="rates")),
            ("counts",): draw_evaluation(evaluation_figure(evaluation, cells="counts")),
        },
        tables=tuple(table for table in tables if table is not None),
        facts=evaluation_facts(evaluation),
        remarks=(_READING,),
        gallery=_gallery(evaluation),
    )


def _gallery(evaluation: Evaluation) -> Gallery | None:
    captions = mistake_captions(evaluation)
    if not captions:
        return None
    shown = zip(evaluation.mistake_image, captions, evaluation.mistake_index, strict=True)
    pictures = [
        Picture(pixels, caption.replace(" %", "\u00a0%"), f"image {index:,}") for pixels, caption, index in shown
    ]
    wrong = int(evaluation.overall.examples - evaluation.class_hits.sum())
    of = f"{len(captions)} of {count(wrong, 'mistake')}. " if wrong > len(captions) else ""
    return Gallery("Most confident mistakes", pictures, f"{of}{sureness_note(evaluation)}")
