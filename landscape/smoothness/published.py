"""Published curves: what a measurement under the same protocol is laid beside. No value of ours depends on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import numpy as np

from landscape.records.base import FloatArray

Quantity = Literal["loss", "predictiveness", "beta_smoothness", "accuracy"]
Source = Literal["santurkar2018", "handout_band"]
_NETWORKS = {False: "without_bn", True: "with_bn"}


@dataclass(frozen=True, slots=True, eq=False)
class PublishedCurve:
    """A band, or a single curve, of a published figure.

    Args:
        step: Training steps, never decreasing, shape ``(n,)``.
        low: Lower edge; for a single curve the curve, shape ``(n,)``.
        high: Upper edge; for a single curve the curve, shape ``(n,)``.
        figure: Its number in the publication.
    """

    step: FloatArray
    low: FloatArray
    high: FloatArray
    figure: str

    def until(self, step: float) -> PublishedCurve:
        """Leave out what was measured after a step."""
        kept = self.step <= step
        return PublishedCurve(self.step[kept], self.low[kept], self.high[kept], self.figure)


@dataclass(frozen=True, slots=True)
class Published:
    """A publication's numbers.

    Args:
        citation: What to cite.
        read_off: How the numbers were read off, and how accurate they are.
        protocol: The settings that they were measured with.
        tables: Everything else in the file, as it is stored.
    """

    citation: str
    read_off: str
    protocol: Mapping[str, Any]
    tables: Mapping[str, Any]

    def curve(self, quantity: Quantity, *, with_bn: bool) -> PublishedCurve:
        """Return a curve.

        Args:
            quantity: ``loss`` and ``predictiveness`` are bands over step sizes, ``beta_smoothness`` and ``accuracy``
                (of the training batch, 0 to 1) single curves.
            with_bn: Whether of the network with BatchNorm.

        Returns:
            The curve.
        """
        panel = self.tables["curves"][quantity]
        curve = panel[_NETWORKS[with_bn]]
        low, high = (np.array(curve[edge if edge in curve else "value"], dtype=np.float64) for edge in ("low", "high"))
        return PublishedCurve(np.array(curve["step"], dtype=np.float64), low, high, panel["figure"])

    def by_step_size(self, *, with_bn: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the change of the gradient for every step size (figure 11a).

        Args:
            with_bn: Whether of the network with BatchNorm.

        Returns:
            Training steps ``(n,)``, step sizes ``(s,)``, and the distances ``(n, s)``.
        """
        panel = self.tables["by_step_size"]
        names = ("step", "step_size", _NETWORKS[with_bn])
        steps, sizes, distances = (np.array(panel[name], dtype=np.float64) for name in names)
        return steps, sizes, distances


@cache
def published(source: Source = "santurkar2018") -> Published:
    """Read the numbers of a publication that come with the package.

    Args:
        source: ``santurkar2018``, or ``handout_band``, the loss band of a course handout.

    Returns:
        The numbers, with citation and protocol.
    """
    file = resources.files("landscape.smoothness").joinpath("curves", f"{source}.json")
    stored = json.loads(file.read_text(encoding="utf-8"))
    about = {name: stored.pop(name) for name in ("citation", "read_off", "protocol")}
    return Published(**about, tables=stored)
