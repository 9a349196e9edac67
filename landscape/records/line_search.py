"""Loss and gradient along one gradient step: at one training step, and at many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from landscape.records.base import BoolArray, FloatArray, IntArray, Json, Record, array, mapping

SATURATION = 0.05  # how near `beta_smoothness` comes to 1 / eta_min, relative, where it is called saturated


def beta_smoothness(gradient_distance: FloatArray, step_size: FloatArray, gradient_norm: FloatArray) -> FloatArray:
    """Largest change of the gradient for the distance walked: ``max over eta of distance / (eta * norm)``.

    Args:
        gradient_distance: ``||g(w) - g(w - eta * g)||``, shape ``(..., s)``.
        step_size: The step sizes ``eta``, shape ``(s,)``.
        gradient_norm: ``||g(w)||``, shape ``(...)``.

    Returns:
        Shape ``(...)``; NaN where a distance is not finite, or the gradient is zero.

    Source: Santurkar et al. 2018, arXiv:1805.11604, section 3.2 and appendix A.2.2.
    """
    walked = np.asarray(step_size) * np.asarray(gradient_norm)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.isfinite(gradient_distance) & (walked > 0), gradient_distance / walked, np.nan)
    return np.asarray(ratio.max(axis=-1), dtype=np.float64)


def saturated(beta: FloatArray, step_size: FloatArray) -> BoolArray:
    """Say where ``beta_smoothness`` is what the grid of step sizes allows, not what the loss is.

    Once the smallest step removes the gradient of the batch, the distance is the gradient's own norm, and the largest
    ratio is ``1 / eta_min`` whatever the curvature.

    Args:
        beta: Values of ``beta_smoothness``, any shape.
        step_size: The step sizes that they were taken over.

    Returns:
        Whether the value lies within 5 % of ``1 / eta_min``; the shape of ``beta``.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(np.asarray(beta) * np.min(step_size) - 1) <= SATURATION)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LineSearchTrace(Record):
    """Loss and gradient at ``w - eta * g(w)`` for several step sizes ``eta``, all on one mini-batch.

    Args:
        step_size: The step sizes ``eta``, increasing, shape ``(s,)``.
        loss: ``L(w - eta * g)``, shape ``(s,)``.
        gradient_distance: ``||g(w) - g(w - eta * g)||`` over all parameters, shape ``(s,)``.
        cosine: Cosine of the two gradients, shape ``(s,)``.
        start_loss: ``L(w)``.
        gradient_norm: ``||g(w)||``.
        recipe: What the values depend on: loss, batch, BN statistics, dropout.
    """

    kind: ClassVar[str] = "line_search"

    step_size: FloatArray = array("step_size", about="multiplier of the gradient")
    loss: FloatArray = array("step_size", about="loss after the step, same mini-batch")
    gradient_distance: FloatArray = array("step_size", about="norm of the change of the gradient, all parameters")
    cosine: FloatArray = array("step_size", about="cosine of the gradients before and after the step")
    start_loss: float = array(about="loss before the step")
    gradient_norm: float = array(about="norm of the gradient before the step")
    recipe: Mapping[str, Json] = mapping()

    @property
    def beta_smoothness(self) -> float:
        """Largest ``gradient_distance / (step_size * gradient_norm)``."""
        return float(beta_smoothness(self.gradient_distance, self.step_size, np.asarray(self.gradient_norm)))

    @property
    def saturated(self) -> bool:
        """Whether ``beta_smoothness`` says no more than ``1 / smallest step size``."""
        return bool(saturated(np.asarray(self.beta_smoothness), self.step_size))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SmoothnessTrace(Record):
    """What was probed along one training run: loss along the gradient, its change, internal covariate shift.

    Args:
        step: Optimiser updates made before the probe, shape ``(n,)``.
        step_size: The step sizes ``eta``, increasing, shape ``(s,)``.
        layer: Names of the layers whose covariate shift was measured, shape ``(k,)``; none is possible.
        loss: ``L(w - eta * g)`` on the step's own mini-batch, shape ``(n, s)``.
        gradient_distance: ``||g(w) - g(w - eta * g)||``, shape ``(n, s)``.
        cosine: Cosine of the two gradients, shape ``(n, s)``.
        start_loss: ``L(w)`` as probed (dropout off), shape ``(n,)``.
        gradient_norm: ``||g(w)||``, shape ``(n,)``.
        accuracy: Fraction of the mini-batch classified right at ``w``, shape ``(n,)``; NaN where there are no classes.
        covariate_shift: ``||G - G'||`` of every layer, shape ``(n, k)``.
        covariate_cosine: Cosine of ``G`` and ``G'``, shape ``(n, k)``.
        recipe: What the values depend on: the run's recipe and the probe's settings.
        environment: Versions and device.
        provenance: Names of files and the command; no value depends on it.
    """

    kind: ClassVar[str] = "smoothness"

    step: IntArray = array("step", dtype=np.int64, about="optimiser updates made before")
    step_size: FloatArray = array("step_size", about="multiplier of the gradient")
    layer: np.typing.NDArray[np.str_] = array("layer", dtype=np.str_, about="layer of the covariate shift")
    loss: FloatArray = array("step", "step_size", about="loss after the step, same mini-batch")
    gradient_distance: FloatArray = array("step", "step_size", about="norm of the change of the gradient")
    cosine: FloatArray = array("step", "step_size", about="cosine of the gradients before and after")
    start_loss: FloatArray = array("step", about="loss before the step, dropout off")
    gradient_norm: FloatArray = array("step", about="norm of the gradient before the step")
    accuracy: FloatArray = array("step", about="fraction of the mini-batch classified right")
    covariate_shift: FloatArray = array("step", "layer", about="internal covariate shift, Definition 2.1")
    covariate_cosine: FloatArray = array("step", "layer", about="cosine of the gradients of the shift")
    recipe: Mapping[str, Json] = mapping()
    environment: Mapping[str, Json] = mapping()
    provenance: Mapping[str, Json] = mapping()

    @property
    def beta_smoothness(self) -> FloatArray:
        """Largest ``gradient_distance / (step_size * gradient_norm)`` of every probe, shape ``(n,)``."""
        return beta_smoothness(self.gradient_distance, self.step_size, self.gradient_norm)

    @property
    def saturated(self) -> BoolArray:
        """Where ``beta_smoothness`` says no more than ``1 / smallest step size``, shape ``(n,)``."""
        return saturated(self.beta_smoothness, self.step_size)
