"""The probes of one training run, collected on the device that trains and handed over as a trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape import losses
from landscape.records import SmoothnessTrace
from landscape.smoothness.covariate_shift import Layer, shift
from landscape.smoothness.line_search import walk
from landscape.smoothness.mini_batch import Inputs, lent


@dataclass
class ProbeTable:
    """One row per probe: at the start (3 numbers), along the gradient (3 s), covariate shift (2 k).

    Args:
        step_sizes: The step sizes ``eta``, in increasing order.
        layers: Layers whose covariate shift is measured.
        loss: The loss that is probed.
        precision: ``fp32``, ``tf32`` or ``bf16``.
        steps: Optimiser updates made before each probe.
        names: Names of the layers, once a probe has found them.
    """

    step_sizes: Sequence[float]
    layers: Sequence[Layer] = ()
    loss: str | losses.PerExampleLoss = "cross_entropy"
    precision: str = "fp32"
    steps: list[int] = field(default_factory=list)
    names: tuple[str, ...] = ()
    _rows: list[Tensor] = field(default_factory=list)
    _began: float = field(default_factory=time.perf_counter)

    def probe(self, step: int, model: nn.Module, inputs: Inputs, targets: Tensor) -> Callable[[], None] | None:
        """Probe a step before its update; nothing waits for the device.

        Args:
            step: Optimiser updates made before.
            model: The network.
            inputs: The step's mini-batch.
            targets: Its targets.

        Returns:
            What is to be called after the update; None where no covariate shift was asked for.
        """
        with lent(model, inputs, targets, loss=self.loss, precision=self.precision) as lending:
            start, along = walk(lending, self.step_sizes)
        self.steps.append(step)
        self._rows.append(torch.cat([start, along.flatten()]))
        if not self.layers:
            return None
        before = {name: p.detach().clone() for name, p in model.named_parameters()}

        def after() -> None:
            with lent(model, inputs, targets, loss=self.loss, precision=self.precision) as lending:
                self.names, shifts = shift(lending, before, self.layers)
            self._rows[-1] = torch.cat([self._rows[-1], shifts.flatten()])

        return after

    def take_up(self, trace: SmoothnessTrace, count: int) -> None:
        """Go on from the first probes of a trace.

        Args:
            trace: What ``trace`` made of a table with these step sizes and layers.
            count: How many of its probes to keep.
        """
        start = np.stack([trace.start_loss, trace.gradient_norm, trace.accuracy], axis=1)
        rest = (trace.loss, trace.gradient_distance, trace.cosine, trace.covariate_shift, trace.covariate_cosine)
        self._rows = list(torch.from_numpy(np.concatenate([start, *rest], axis=1)[:count]))
        self.steps = [int(step) for step in trace.step[:count]]
        self.names = tuple(str(name) for name in trace.layer)

    def state(self) -> dict[str, Any]:
        """Return the probes so far as a tensor and plain values, for a checkpoint."""
        return {"steps": list(self.steps), "names": list(self.names), "rows": torch.from_numpy(self._on_host(0))}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned of a table with these step sizes and layers."""
        self.steps, self.names = list(state["steps"]), tuple(state["names"])
        self._rows = list(state["rows"])

    def trace(
        self, *, recipe: Mapping[str, Any], environment: Mapping[str, Any], provenance: Mapping[str, Any]
    ) -> SmoothnessTrace:
        """Make the record of all probes so far.

        Args:
            recipe: What the values depend on.
            environment: Versions and device.
            provenance: Names of files and the command.

        Returns:
            The trace.
        """
        n, s, k = len(self.steps), len(self.step_sizes), len(self.layers)
        table = self._on_host(3 + 3 * s + 2 * k)
        start, along, shifts = np.split(table, [3, 3 + 3 * s], axis=1)
        loss, distance, cosine = np.moveaxis(along.reshape(n, 3, s), 1, 0)
        start_loss, gradient_norm, accuracy = start.T
        shift_norm, shift_cosine = np.moveaxis(shifts.reshape(n, 2, k), 1, 0)
        return SmoothnessTrace(
            np.array(self.steps),
            np.array(self.step_sizes),
            np.array(self.names, dtype=np.str_),
            loss=loss,
            gradient_distance=distance,
            cosine=cosine,
            start_loss=start_loss,
            gradient_norm=gradient_norm,
            accuracy=accuracy,
            covariate_shift=shift_norm,
            covariate_cosine=shift_cosine,
            recipe=recipe,
            environment=environment,
            provenance=provenance,
        )

    def _on_host(self, width: int) -> np.typing.NDArray[np.float64]:
        """All rows on the host; those that are new come over together."""
        fresh = [n for n, row in enumerate(self._rows) if row.device.type != "cpu"]
        if fresh:
            moved = torch.stack([self._rows[n] for n in fresh]).cpu()
            for n, row in zip(fresh, moved, strict=True):
                self._rows[n] = row
        return torch.stack(self._rows).numpy() if self._rows else np.empty((0, width))

    def seconds_left(self, done: int, total: int) -> float:
        """Estimate from the time since the table was made.

        Args:
            done: Steps made.
            total: Steps in all.

        Returns:
            Seconds.
        """
        return (time.perf_counter() - self._began) / done * (total - done)
