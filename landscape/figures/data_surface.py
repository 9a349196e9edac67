"""Surfaces as finished numbers: what both renderers draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape.errors import UsageError
from landscape.figures.data import Scale, number, scaled, with_error
from landscape.records import Surface
from landscape.records.base import BoolArray, FloatArray

_DIFFER = ("model", "bn", "dataset", "split", "examples", "precision", "seed", "normalize", "loss", "model_hash")


@dataclass(frozen=True, slots=True)
class Point:
    """One place on a plane, with what is known there.

    Args:
        alpha: Multiplier of the first direction.
        beta: Multiplier of the second direction.
        loss: Loss.
        sem: Standard error of the loss; NaN where unknown.
        delta_sem: Standard error of its difference from the center's loss.
        accuracy: Fraction classified right; NaN where unknown.
    """

    alpha: float
    beta: float
    loss: float
    sem: float
    delta_sem: float
    accuracy: float


@dataclass(frozen=True, slots=True, eq=False)
class SurfacePanel:
    """One plane, ready to draw. Matrices are ``[i_beta, i_alpha]``: renderers take rows as y.

    Args:
        label: Which surface it belongs to, empty for a single one.
        surface: Index of the surface among those drawn together.
        pair: Index of the direction pair.
        alpha: Multipliers of the first direction, shape ``(n_alpha,)``.
        beta: Multipliers of the second direction, shape ``(n_beta,)``.
        loss: Shape ``(n_beta, n_alpha)``; NaN is a gap.
        loss_sem: Standard error of the loss.
        delta_sem: Standard error of its difference from the center's loss.
        accuracy: Fraction classified right.
        interpolated: True for cells whose value was not measured.
        center: The checkpoint itself, evaluated outside the grid.
        lowest: Measured cell of smallest loss, if there is any.
        largest: Measured cell of largest finite loss, if there is any.
        not_finite: Cells that were done and are not finite.
        not_done: Cells without a value.
    """

    label: str
    surface: int
    pair: int
    alpha: FloatArray
    beta: FloatArray
    loss: FloatArray
    loss_sem: FloatArray
    delta_sem: FloatArray
    accuracy: FloatArray
    interpolated: BoolArray
    center: Point
    lowest: Point | None
    largest: Point | None
    not_finite: int
    not_done: int

    @property
    def gaps(self) -> int:
        """Cells drawn as nothing."""
        return self.not_finite + self.not_done

    @property
    def measured(self) -> int:
        """Cells whose value was measured, finite or not."""
        return self.loss.size - self.not_done - int(self.interpolated.sum())

    @property
    def is_line(self) -> bool:
        """Whether one axis has a single point."""
        return bool(min(self.loss.shape) == 1)

    @property
    def name(self) -> str:
        """The label and the number of the pair, counted from one."""
        return " · ".join(part for part in (self.label, f"pair {self.pair + 1}") if part)

    def title(self, scale: Scale) -> str:
        """Say what the panel shows, and how many cells it does not.

        Args:
            scale: Kind of loss axis; a logarithmic one has no place for losses that are not positive.

        Returns:
            The title of the panel.
        """
        hidden = int(np.isnan(scaled(self.loss, scale)).sum()) - self.gaps
        words = [f"{self.gaps} gap{'' if self.gaps == 1 else 's'}"] if self.gaps else []
        words += [f"{hidden} not above 0, left out"] if hidden else []
        return " · ".join([self.name, *words])


def surface_labels(surfaces: Sequence[Surface]) -> tuple[str, ...]:
    """Name several surfaces by what tells them apart.

    Args:
        surfaces: Surfaces drawn together.

    Returns:
        One label each; empty for a single surface.
    """
    if len(surfaces) < 2:
        return ("",) * len(surfaces)
    texts = [[_told(s, key) for s in surfaces] for key in _DIFFER]
    told: list[list[str]] = []
    for key, values in zip(_DIFFER, texts, strict=True):
        known = {" ".join(parts) for parts in zip(*told, strict=True)} if told else {""}
        if len(set(values)) > 1 and (key in {"model", "bn"} or len(known) < len(surfaces)):
            told.append([_label(key, value) for value in values])
    labels = [" · ".join(part for part in parts if part) for parts in zip(*told, strict=True)] if told else []
    if len(set(labels)) == len(surfaces):
        return tuple(labels)
    return tuple(f"{labels[i] + ' · ' if labels else ''}surface {i + 1}" for i in range(len(surfaces)))


def _told(surface: Surface, key: str) -> str:
    if key == "bn" and surface.recipe.get("has_batchnorm") is False:
        return ""  # there is nothing that a mode could change
    return str(surface.recipe.get(key, ""))


def _label(key: str, value: str) -> str:
    if not value:
        return ""
    if key == "model_hash":
        return value[:8]
    return {"bn": f"{value} BN", "seed": f"seed {value}", "examples": f"{value} examples"}.get(key, value)


def surface_panels(surfaces: Sequence[Surface], labels: Sequence[str] | None = None) -> tuple[SurfacePanel, ...]:
    """Prepare every plane of one or more surfaces.

    Args:
        surfaces: Surfaces drawn together.
        labels: Their names; by default what tells them apart.

    Returns:
        Panels, surface by surface and pair by pair.

    Raises:
        UsageError: There is no surface, or the labels do not fit them.
    """
    if not surfaces:
        raise UsageError("a surface figure needs at least one surface; got none")
    names = surface_labels(surfaces) if labels is None else tuple(labels)
    if len(names) != len(surfaces):
        raise UsageError(f"{len(surfaces)} surfaces need as many labels; got {len(names)}: {', '.join(names)}")
    return tuple(
        _panel(surface, pair, index, name)
        for index, (surface, name) in enumerate(zip(surfaces, names, strict=True))
        for pair in range(surface.pairs)
    )


def _panel(surface: Surface, pair: int, index: int, label: str) -> SurfacePanel:
    finite = surface.done[pair] & np.isfinite(surface.loss[pair])
    loss = np.where(finite, surface.loss[pair], np.nan)
    measured = np.where(surface.measured[pair], loss, np.nan)
    found = np.isfinite(measured).any()
    return SurfacePanel(
        label=label,
        surface=index,
        pair=pair,
        alpha=surface.grid.alpha,
        beta=surface.grid.beta,
        loss=loss.T,
        loss_sem=np.where(finite, surface.loss_sem[pair], np.nan).T,
        delta_sem=np.where(finite, surface.delta_sem[pair], np.nan).T,
        accuracy=np.where(finite, surface.accuracy[pair], np.nan).T,
        interpolated=(finite & ~surface.measured[pair]).T,
        center=Point(0.0, 0.0, surface.center.loss, surface.center.loss_sem, 0.0, surface.center.accuracy),
        lowest=_point(surface, pair, int(np.nanargmin(measured))) if found else None,
        largest=_point(surface, pair, int(np.nanargmax(measured))) if found else None,
        not_finite=int((surface.done[pair] & ~finite).sum()),
        not_done=int((~surface.done[pair]).sum()),
    )


def _point(surface: Surface, pair: int, cell: int) -> Point:
    i, j = np.unravel_index(cell, surface.grid.shape)
    at = (pair, i, j)
    return Point(
        float(surface.grid.alpha[i]),
        float(surface.grid.beta[j]),
        float(surface.loss[at]),
        float(surface.loss_sem[at]),
        float(surface.delta_sem[at]),
        float(surface.accuracy[at]),
    )


def cell_text(panel: SurfacePanel) -> list[list[str]]:
    """Write what hovering over a cell says after "loss".

    Args:
        panel: A plane.

    Returns:
        Loss, difference from the center, accuracy, each with its error, and how it was found, by ``[i_beta][i_alpha]``;
        empty at gaps.
    """
    matrices = (panel.loss, panel.loss_sem, panel.delta_sem, panel.accuracy, panel.interpolated)
    return [
        [_cell(*(float(v) for v in cell), center=panel.center.loss) for cell in zip(*row, strict=True)]
        for row in zip(*matrices, strict=True)
    ]


def _cell(loss: float, sem: float, delta_sem: float, accuracy: float, interpolated: float, *, center: float) -> str:
    if math.isnan(loss):
        return ""
    lines = [with_error(loss, sem)]
    if math.isfinite(center) and loss != center:
        sign = "+" if loss > center else ""
        lines.append(f"{sign}{with_error(loss - center, delta_sem)} from the center")
    if not math.isnan(accuracy):
        lines.append(f"accuracy {number(accuracy, 3)}")
    return "<br>".join([*lines, "interpolated" if interpolated else "measured"])
