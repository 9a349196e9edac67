"""An evaluation as finished numbers: what both renderers draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from landscape.figures.data import count, percent
from landscape.records import Evaluation
from landscape.records.base import FloatArray

Cells = Literal["rates", "counts"]
COLOR = (43, 131, 198)
# Strength of the colour by share of the largest value. It rises fast at first: a confusion of a few percent must show
# beside a diagonal of ninety. Where no cell is labelled a colour bar shows this very scale.
RAMP = ((0.0, 0.0), (0.02, 0.13), (0.08, 0.26), (0.25, 0.45), (0.6, 0.72), (1.0, 1.0))
WHITE_FROM = 0.4  # share of the largest value from which a label is white
MOST_LABELLED = 20  # classes whose cells hold their number
LONGEST = 18  # letters of a class on an axis


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationFigure:
    """Confusion matrix and accuracy of every class, ready to draw; row ``i`` of both is class ``i``.

    Args:
        cells: Whether ``z`` holds shares of a row or numbers of images.
        classes: Names of the rows.
        outputs: Names of the columns.
        z: Percent of the class's images, or images, shape ``(rows, columns)``; NaN is a gap: the class has no image.
        text: What stands in the cells; empty for a cell of 0.
        hover: What pointing at a cell says.
        largest: The value that has the full colour.
        accuracy: Percent of each class classified right; NaN is a gap.
        low: Lower ends of their 95 % intervals.
        high: Upper ends.
        overall: Percent of all images classified right.
        bar_hover: What pointing at a bar says.
    """

    cells: Cells
    classes: tuple[str, ...]
    outputs: tuple[str, ...]
    z: FloatArray
    text: tuple[tuple[str, ...], ...]
    hover: tuple[tuple[str, ...], ...]
    largest: float
    accuracy: FloatArray
    low: FloatArray
    high: FloatArray
    overall: float
    bar_hover: tuple[str, ...]

    @property
    def labelled(self) -> bool:
        """Whether the cells are large enough for their numbers."""
        return max(len(self.classes), len(self.outputs)) <= MOST_LABELLED

    def ticks(self, names: tuple[str, ...], most: int, longest: int = LONGEST) -> tuple[list[int], list[str]]:
        """Choose the classes that an axis names.

        Args:
            names: Names along it.
            most: Number of names that there is room for.
            longest: Letters of a name that there is room for.

        Returns:
            Places and names, at equal distances; long names are shortened.
        """
        places = list(range(0, len(names), -(-len(names) // most)))
        return places, [shortened(names[k], longest) for k in places]


def evaluation_figure(evaluation: Evaluation, *, cells: Cells = "rates") -> EvaluationFigure:
    """Prepare an evaluation for any renderer.

    Args:
        evaluation: The record.
        cells: Shares of each class's images, or numbers of images.

    Returns:
        What is drawn.
    """
    classes = tuple(str(name) for name in evaluation.true_class)
    outputs = tuple(str(name) for name in evaluation.predicted_class)
    counts, rates, examples = evaluation.confusion, evaluation.rates, evaluation.class_examples
    z = 100 * rates if cells == "rates" else np.where(examples[:, None] > 0, counts, np.nan)
    low, high = (100 * bound for bound in evaluation.class_accuracy_interval)
    hover = tuple(
        tuple(_cell_words(classes[i], outputs[j], counts[i, j], examples[i]) for j in range(len(outputs)))
        for i in range(len(classes))
    )
    label = _percent_label if cells == "rates" else _count_label
    return EvaluationFigure(
        cells=cells,
        classes=classes,
        outputs=outputs,
        z=z,
        text=tuple(tuple(label(float(value)) for value in row) for row in z),
        hover=hover,
        largest=float(np.nanmax(z, initial=0.0)) or 1.0,
        accuracy=100 * evaluation.class_accuracy,
        low=low,
        high=high,
        overall=100 * evaluation.overall.accuracy,
        bar_hover=tuple(_bar_words(evaluation, i) for i in range(len(classes))),
    )


def shortened(name: str, longest: int = LONGEST) -> str:
    """Cut a name that an axis has no room for."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _percent_label(value: float) -> str:
    if not value > 0:
        return ""
    return "<1" if value < 1 else f"{value:.0f}" if value == 100 or round(value) < 100 else ">99"


def _count_label(value: float) -> str:
    return f"{value:.0f}" if value > 0 else ""


def _cell_words(true: str, said: str, images: int, of: int) -> str:
    if not of:
        return f"no image of {true}"
    share = percent(images / of)
    verdict = f"{true}, classified right" if true == said else f"{true}, taken for {said}"
    return f"{verdict}: {images:,} of {count(int(of), 'image')} ({share})"


def _bar_words(evaluation: Evaluation, k: int) -> str:
    name, of, hits = str(evaluation.true_class[k]), int(evaluation.class_examples[k]), int(evaluation.class_hits[k])
    if not of:
        return f"no image of {name}"
    low, high = (bound[k] for bound in evaluation.class_accuracy_interval)
    return f"{name}: {hits:,} of {of:,} right, {percent(hits / of)} (95 % interval {interval(low, high)})"


def interval(low: float, high: float) -> str:
    """Write an interval of shares, for instance ``85.0 to 89.1 %``."""
    return f"{100 * low:.1f} to {100 * high:.1f} %"
