"""Probing a network while it is trained, without the training noticing.

At chosen steps the step's own mini-batch is probed before the update: loss and gradient along the gradient, and after
the update the internal covariate shift that it caused. The network is lent out on storage of its own for that, and
the random number generators are put back, so the weights are those of a run that nobody probed, bit for bit.

The trace is written at the end of an epoch, before the checkpoint that the run is continued from. A run that is killed
in between repeats the epoch, and the probes of it with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landscape import devices
from landscape.environment import environment
from landscape.errors import ResumeError, UsageError
from landscape.progress import Report
from landscape.records import Run, SmoothnessTrace
from landscape.smoothness.covariate_shift import Layer
from landscape.smoothness.line_search import checked_step_sizes
from landscape.smoothness.mini_batch import PROTOCOL
from landscape.smoothness.table import ProbeTable
from landscape.storage import save, stored_record
from landscape.training import TrainConfig, TrainingData, train
from landscape.training.observing import Moment

MULTIPLES = (0.5, 1.0, 2.0, 4.0)  # of the learning rate, as the paper's figures for VGG have them


def probe_training(
    config: TrainConfig,
    *,
    every: int = 100,
    multiples: Sequence[float] = MULTIPLES,
    step_sizes: Sequence[float] | None = None,
    layers: Sequence[Layer] = (),
    path: Path | None = None,
    progress: Report | None = None,
    data: TrainingData | None = None,
) -> tuple[Run, SmoothnessTrace]:
    """Train a network and probe it on the way; or continue, or return, what the files hold already.

    Args:
        config: Settings of the run, as ``train`` takes them.
        every: Steps from one probe to the next; the first is at step 0.
        multiples: Step sizes ``eta`` as multiples of the configuration's learning rate.
        step_sizes: The step sizes themselves, in place of ``multiples``.
        layers: Layers whose internal covariate shift is measured: positions from 1, or names of modules.
        path: The trace's file; by default ``traces/<run>.h5`` under ``config.out``, and none without that.
        progress: Called with a ``Progress`` at steps.
        data: The loaded images, where several runs share them.

    Returns:
        The run, equal bit for bit to one that was not probed; and the trace.

    Raises:
        UsageError: ``every`` is below 1, a step size is not above zero, or there is no such layer.
        ResumeError: The run was trained without this trace, or one of the files has other settings.
    """
    if every < 1:
        raise UsageError(f"probes are at least one step apart; got every={every}")
    etas = [m * config.learning_rate for m in multiples] if step_sizes is None else list(step_sizes)
    table = ProbeTable(checked_step_sizes(etas), tuple(layers), config.loss, config.precision)
    if path is None and config.out is not None:
        path = config.out / "traces" / f"{config.name}.h5"
    prober = _Prober(config, every, table, path)
    run = train(config, progress=progress, data=data, observers=(prober,))
    return run, prober.trace()


@dataclass
class _Prober:
    """The observer."""

    config: TrainConfig
    every: int
    table: ProbeTable
    path: Path | None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    written: int = 0  # probes that are in the file

    def wants(self, step: int) -> bool:
        return step % self.every == 0

    def begin(self, recipe: Mapping[str, Any], steps: int) -> None:
        settings = {"step_sizes": list(self.table.step_sizes), "layers": list(self.table.layers)}
        self.recipe = {**recipe, "probe": {"every": self.every, **settings, **PROTOCOL}}
        stored = stored_record(self.path, SmoothnessTrace, self.recipe)
        wanted = [step for step in range(steps) if self.wants(step)]
        found = [] if stored is None else [int(step) for step in stored.step if step < steps]
        if found != wanted:
            raise ResumeError(
                f"{self.config.name} was trained for {steps} steps, and {self.path or 'no file'} holds {len(found)} of "
                f"the {len(wanted)} probes of them. A step can only be probed while it is trained: choose another "
                f"output (--out), or remove {self.config.run_path} and its checkpoints to train it anew, which gives "
                "the same run."
            )
        if stored is not None:
            self.table.take_up(stored, len(found))
        self.written = len(found)

    def observe(self, moment: Moment) -> Callable[[], None] | None:
        return self.table.probe(moment.step, moment.model, moment.inputs, moment.targets)

    def epoch_ended(self) -> None:
        if self.path is not None and len(self.table.steps) > self.written:
            save(self.trace(), self.path)
            self.written = len(self.table.steps)

    def trace(self) -> SmoothnessTrace:
        made = environment(devices.describe(devices.resolve(self.config.device)))
        return self.table.trace(recipe=self.recipe, environment=made, provenance={"name": self.config.name})
