"""A training step as a CUDA graph: replayed without the host launching its kernels one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from landscape.training.lockstep import Step
from landscape.training.observing import refuse_observers

if TYPE_CHECKING:
    from landscape.training.trainer import Trainer

_WARM = 3  # steps before a recording: libraries allocate and choose kernels in the first ones


class RecordedStep:
    """Makes the steps of one run; full mini-batches by a recording, others as ever.

    The first steps are made on a stream aside, as a recording needs it, and are steps of the run like any other. The
    mini-batch is prepared outside and copied into the tensors that the recording reads. A learning rate is part of
    the recording, so another one is recorded anew. Without CUDA nothing is recorded and all the rest is the same.

    Args:
        run: The run; its optimiser is switched to what a graph can hold. Nobody looks on.

    Raises:
        UsageError: The run has observers.
    """

    def __init__(self, run: Trainer) -> None:
        refuse_observers(run.observers, "replayed from a recording")
        self._run = run
        self._made = 0
        self._inputs, self._targets = torch.empty(0), torch.empty(0)
        self._replay: Callable[[], None] | None = None
        self._rates: tuple[Any, ...] = ()
        self._loss, self._hits = torch.empty(0), torch.empty(0)
        self._aside = torch.cuda.Stream(run.device) if run.device.type == "cuda" else None  # type: ignore[no-untyped-call]
        _make_capturable(run.optimizer, run.device)

    def __call__(self, rows: Tensor) -> Step:
        """Make a step.

        Args:
            rows: Positions of the mini-batch.

        Returns:
            Its loss and hits; they are overwritten by the next step.
        """
        inputs, targets = self._run.batch(rows)
        if len(rows) != self._run.config.batch_size:
            return self._run.learn(inputs, targets)
        self._made += 1
        if self._made <= _WARM:
            return self._warm(inputs, targets)
        if self._inputs.shape != inputs.shape:
            self._inputs, self._targets = inputs.clone(), targets.clone()  # clone keeps channels last
        self._inputs.copy_(inputs)
        self._targets.copy_(targets)
        rates = tuple(float(group["lr"]) for group in self._run.optimizer.param_groups)
        if self._replay is None or rates != self._rates:
            self._replay, self._rates = self._recorded(), rates
        self._replay()
        return self._loss, self._hits

    def _warm(self, inputs: Tensor, targets: Tensor) -> Step:
        if self._aside is None:
            return self._run.learn(inputs, targets)
        here = torch.cuda.current_stream(self._run.device)
        self._aside.wait_stream(here)
        with torch.cuda.stream(self._aside):
            found = self._run.learn(inputs, targets)
        here.wait_stream(self._aside)
        for tensor in (inputs, targets):
            tensor.record_stream(self._aside)
        for tensor in found:
            tensor.record_stream(here)
        return found

    def _cell(self) -> None:
        self._loss, self._hits = self._run.learn(self._inputs, self._targets)

    def _recorded(self) -> Callable[[], None]:
        if self._aside is None:
            return self._cell
        self._run.optimizer.zero_grad(set_to_none=True)  # gradients are made anew, in the graph's own memory
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._cell()
        return graph.replay


def _make_capturable(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep the count of steps on the device, where a graph can raise it."""
    if device.type != "cuda":
        return
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
    for state in optimizer.state.values():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].to(device)
