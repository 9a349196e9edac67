"""An evaluation: what a classifier says of every image of a data set, counted class by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np

from landscape.records.base import FloatArray, IntArray, Json, Record, array, embedded, mapping
from landscape.records.measurement import Measurement, at_chance

LEVEL = 0.95  # of the intervals of accuracies


def wilson(successes: Any, total: Any, *, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """Bound a share that was counted: Wilson's score interval, which keeps within 0 and 1 and holds for few counts.

    Args:
        successes: How many, any shape.
        total: Of how many, the same shape.
        level: Share of such intervals that hold the true share.

    Returns:
        Lower and upper bound, float64; NaN where ``total`` is 0.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209.
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(total, dtype=np.float64)
    z = NormalDist().inv_cdf((1 + level) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (k + z**2 / 2) / (n + z**2)
        half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    low = np.where(n > 0, np.where(k == 0, 0.0, middle - half), np.nan)
    return low, np.where(n > 0, np.where(k == n, 1.0, middle + half), np.nan)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Evaluation(Record):
    """How a network classifies a data set, in evaluation mode.

    A network may have more outputs than there are classes, so the confusion matrix may have more columns than rows.
    An image with an output of NaN has no prediction: it counts as wrong, and is in no column.

    Args:
        true_class: Names of the classes, shape ``(c,)``.
        predicted_class: Names of the outputs: the classes, then ``output 10`` and so on, shape ``(k,)``.
        confusion: Images of each class (row) by the output that was largest (column), shape ``(c, k)``.
        unpredicted: Images of each class without a prediction, shape ``(c,)``.
        class_loss: Mean loss over the images of a class, shape ``(c,)``; NaN for a class without images.
        class_loss_sem: Its standard error, shape ``(c,)``; NaN for fewer than two images.
        rank_count: Images whose true class has the largest, second largest, ... output, shape ``(k,)``.
        overall: Loss with its standard error, accuracy and number of images.
        mistake_index: Positions in the data set of the most confident mistakes, most confident first, shape ``(m,)``.
        mistake_true: Their class, a position in ``true_class``.
        mistake_predicted: What the network said, a position in ``predicted_class``.
        mistake_confidence: How sure it was of that: a probability, or the output itself; the recipe says which.
        mistake_image: Their pixels as the data set holds them, shape ``(m, height, width, channels)``, uint8.
        recipe: What the values depend on.
        environment: Versions and device.
        provenance: Names of files, what was assumed, the command; no value depends on it.
    """

    kind: ClassVar[str] = "evaluation"

    true_class: np.typing.NDArray[np.str_] = array("true_class", dtype=np.str_, about="class of an image")
    predicted_class: np.typing.NDArray[np.str_] = array("predicted_class", dtype=np.str_, about="largest output")
    confusion: IntArray = array("true_class", "predicted_class", dtype=np.int64, about="number of images")
    unpredicted: IntArray = array("true_class", dtype=np.int64, about="number of images with an output of NaN")
    class_loss: FloatArray = array("true_class", about="mean loss over the images of a class")
    class_loss_sem: FloatArray = array("true_class", about="standard error of the class's loss over its images")
    rank_count: IntArray = array("rank", dtype=np.int64, about="images by the rank of the true class, from 0")
    overall: Measurement = embedded(Measurement)
    mistake_index: IntArray = array("mistake", dtype=np.int64, about="position in the data set")
    mistake_true: IntArray = array("mistake", dtype=np.int64, about="class, a position in true_class")
    mistake_predicted: IntArray = array("mistake", dtype=np.int64, about="said, a position in predicted_class")
    mistake_confidence: FloatArray = array("mistake", about="how sure the network was")
    mistake_image: np.typing.NDArray[np.uint8] = array(
        "mistake", "height", "width", "channel", dtype=np.uint8, about="pixels as the data set holds them"
    )
    recipe: Mapping[str, Json] = mapping()
    environment: Mapping[str, Json] = mapping()
    provenance: Mapping[str, Json] = mapping()

    @property
    def class_examples(self) -> IntArray:
        """Number of images of every class, shape ``(c,)``."""
        return np.asarray(self.confusion.sum(axis=1) + self.unpredicted, dtype=np.int64)

    @property
    def rates(self) -> FloatArray:
        """Confusion as shares of a class's images, shape ``(c, k)``; a row of NaN for a class without images."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.confusion / self.class_examples[:, None], dtype=np.float64)

    @property
    def class_hits(self) -> IntArray:
        """Number of images of every class that are classified right, shape ``(c,)``."""
        return np.diagonal(self.confusion).copy()

    @property
    def class_accuracy(self) -> FloatArray:
        """Share of every class that is classified right, shape ``(c,)``; NaN for a class without images."""
        return np.diagonal(self.rates).copy()

    @property
    def class_accuracy_interval(self) -> tuple[FloatArray, FloatArray]:
        """95 % Wilson intervals of ``class_accuracy``."""
        return wilson(self.class_hits, self.class_examples)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        low, high = wilson(self.class_hits.sum(), self.class_examples.sum())
        return float(low), float(high)

    @property
    def at_chance(self) -> bool:
        """Whether the accuracy is no better than guessing, within three standard errors."""
        return at_chance(self.overall, len(self.true_class))

    def top(self, k: int) -> float:
        """Share of images whose true class is among the ``k`` largest outputs.

        Args:
            k: How many outputs count.

        Returns:
            The share; NaN where there are no more than ``k`` outputs, for then it says nothing.
        """
        if len(self.predicted_class) <= k:
            return float("nan")
        return float(self.rank_count[:k].sum() / self.class_examples.sum())
