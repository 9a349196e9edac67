"""Measuring a surface: missing cells to blocks, blocks to an engine, results to a file that can be continued."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape import devices, engines
from landscape.environment import environment
from landscape.errors import ResumeError, UsageError
from landscape.progress import Progress, Report, silent
from landscape.records import Grid, Measurement, Surface
from landscape.space import DirectionPair, check_layout
from landscape.storage import save, stored_record
from landscape.surface.checks import check_geometry
from landscape.surface.evaluators import Block, BlockResult, SequentialTask
from landscape.surface.objective import Objective
from landscape.surface.sampling import Blocks
from landscape.surface.sampling import sampling as sampling_of
from landscape.surface.session import Examples

_WRITE_SHARE = 0.05  # of the time at most goes into writing


def measure_surface(
    objective: Objective,
    pairs: DirectionPair | Sequence[DirectionPair],
    grid: Grid,
    *,
    path: str | Path | None = None,
    engine: str = "serial",
    sampling: str = "dense",
    rtol: float = 0.03,
    progress: Report | None = None,
    recipe: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Surface:
    """Measure the loss on planes through an objective's center.

    With a ``path`` the surface is written there after every block of about two seconds, and the same call continues
    it: cells that were written are not measured again, and the outcome equals an uninterrupted run's. The network is
    lent out and comes back bit for bit, also when the call is interrupted.

    Args:
        objective: What is measured.
        pairs: One pair or several; each spans a plane.
        grid: Multipliers of the two directions.
        path: Surface file, made or continued.
        engine: Where blocks run: ``serial``.
        sampling: Which cells are measured: ``dense``.
        rtol: Wanted relative error of samplings that estimate cells; ``dense`` measures all and does not use it.
        progress: Called with a ``Progress`` before the first cell and after every block; the network is lent out then.
        recipe: Further plain values that a cell depends on, to be stored and compared: data set, subset, ...
        provenance: Plain values to be stored but not compared: the command, where the checkpoint came from, ...

    Returns:
        The surface, finished.

    Raises:
        UsageError: There is no such engine or sampling, or no pair.
        ResumeError: ``path`` holds a surface of another recipe.
        ObjectiveError: The loss changes from call to call.
    """
    pairs = [pairs] if isinstance(pairs, DirectionPair) else list(pairs)
    if not pairs:
        raise UsageError("at least one direction pair is needed")
    for pair in pairs:
        check_layout(pair.first, objective.center)
    cells_of = sampling_of(sampling)
    runner = engines.get(engine)
    asked = objective.recipe | surface_recipe(pairs, grid, sampling) | dict(recipe or {})
    asked = json.loads(json.dumps(asked))  # as a file gives it back: a tuple is a list there
    target = None if path is None else Path(path)
    stored = stored_record(target, Surface, asked)
    report = progress or silent
    if stored is not None and stored.finished:
        report(Progress(stored.done.size, stored.done.size, "cell", 0.0, "measured before"))
        return stored
    campaign = _Campaign(objective, pairs, grid, target, report)
    campaign.begin(stored, asked, dict(provenance or {}))
    blocks = Blocks(cells_of(campaign.surface.done), seconds_per_cell=campaign.seconds_per_cell)
    try:
        for block, result in runner.run(campaign.task, blocks):
            blocks.tell(len(block), result.seconds)
            campaign.take(block, result, blocks.seconds_per_cell)
    finally:
        campaign.write()  # an interrupted call keeps its finished blocks
    return campaign.surface


def surface_recipe(pairs: Sequence[DirectionPair], grid: Grid, sampling: str) -> dict[str, Any]:
    """Describe planes and grid as plain values.

    Args:
        pairs: Direction pairs.
        grid: Multipliers.
        sampling: Which cells are measured.

    Returns:
        Direction hashes and how they were drawn, multipliers, sampling.
    """
    drawn = [dict(pair.recipe) for pair in pairs if pair.recipe]
    shared = {k: v for k, v in (drawn[0] if len(drawn) == len(pairs) else {}).items() if k in _SHARED}
    return shared | {
        "directions": [pair.hash for pair in pairs],
        "grid_alpha": grid.alpha.tolist(),
        "grid_beta": grid.beta.tolist(),
        "sampling": sampling,
    }


_SHARED = ("scheme", "seed", "normalize", "orthogonal")


@dataclass
class _Campaign:
    """The state of one call."""

    objective: Objective
    pairs: Sequence[DirectionPair]
    grid: Grid
    path: Path | None
    report: Report
    surface: Surface = field(init=False)
    task: SequentialTask = field(init=False)
    seconds_per_cell: float = field(init=False, default=0.0)
    _written: float = field(init=False, default=-np.inf)
    _write_seconds: float = field(init=False, default=0.0)
    _dirty: bool = field(init=False, default=False)

    def begin(self, stored: Surface | None, recipe: dict[str, Any], provenance: dict[str, Any]) -> None:
        """Make or take up the surface; evaluate the center, which also shows how long a cell takes."""
        execution = dict(stored.execution) if stored else self._chosen()
        self.objective = self.objective.in_batches_of(execution["batch_size"])
        examples = self._center(execution["threads"])
        self.task = SequentialTask(self.objective, self.pairs, self.grid, examples.losses, execution["threads"])
        if stored is not None:
            self._check_center(stored, examples)
            machines = self._environment(stored.environment)
            self.surface = replace(stored, environment=machines)
        else:
            with devices.threads(execution["threads"]):
                checks = check_geometry(self.objective, self.pairs)
            self.surface = self._new(examples, recipe, execution, checks, provenance)
        self._dirty = True
        self.write()  # a place that cannot be written to is found out before hours are spent
        self._report("timed a few cells", estimate=True)

    def _check_center(self, stored: Surface, examples: Examples) -> None:
        """The center measured now must be the stored one: a recipe cannot tell apart what has no name of its own."""
        now, rtol = float(examples.losses.mean()), {"bf16": 1e-2, "tf32": 1e-3}.get(self.objective.precision, 1e-5)
        if not np.isclose(now, stored.center.loss, rtol=rtol, atol=1e-12, equal_nan=True):
            raise ResumeError(
                f"cannot continue {self.path}: the center's loss is {now:.8g} now and {stored.center.loss:.8g} in the "
                "file, though the recipes agree. Something that the recipe cannot name has changed, for instance the "
                "code of the network or the loss. Choose another output (--out), or remove the file to begin anew."
            )

    def take(self, block: Block, result: BlockResult, seconds_per_cell: float) -> None:
        """Put a block's numbers under its cells."""
        where = tuple(np.array(block).T)
        fields = (self.surface.loss, self.surface.loss_sem, self.surface.delta_sem, self.surface.accuracy)
        for array, values in zip(fields, result.values.T, strict=True):
            array[where] = values
        self.surface.done[where] = self.surface.measured[where] = True
        self._dirty = True
        self.seconds_per_cell = seconds_per_cell
        if time.monotonic() - self._written >= self._write_seconds / _WRITE_SHARE:
            self.write()
        self._report(f"loss {result.values[-1, 0]:.4g}")

    def write(self) -> None:
        """Write the surface, if there is a file and something new."""
        if self.path is None or not self._dirty:
            return
        start = time.monotonic()
        save(self.surface, self.path)
        self._written = time.monotonic()
        self._write_seconds = self._written - start
        self._dirty = False

    def _report(self, detail: str, *, estimate: bool = False) -> None:
        done, total = int(self.surface.done.sum()), self.surface.done.size
        self.report(Progress(done, total, "cell", (total - done) * self.seconds_per_cell, detail, estimate))

    def _chosen(self) -> dict[str, Any]:
        threads = torch.get_num_threads()
        return {"evaluator": "sequential", "batch_size": self.objective.batch_size, "threads": threads}

    def _center(self, threads: int | None) -> Examples:
        with devices.threads(threads), self.objective.session() as session:
            examples = session.check_deterministic()
            start = time.perf_counter()
            float(session.examples().losses[0])  # waits for the device
            self.seconds_per_cell = time.perf_counter() - start
        return examples

    def _environment(self, before: Mapping[str, Any]) -> dict[str, Any]:
        now = environment(devices.describe(self.objective.device))
        if before and before.get("device") != now["device"]:
            now["device"] = f"{before.get('device')}; continued on {now['device']}"
        return now

    def _new(
        self,
        examples: Examples,
        recipe: dict[str, Any],
        execution: dict[str, Any],
        checks: dict[str, Any],
        provenance: dict[str, Any],
    ) -> Surface:
        loss, sem, _, accuracy = examples.statistics().tolist()
        shape = (len(self.pairs), *self.grid.shape)
        return Surface(
            self.grid,
            loss=np.full(shape, np.nan),
            loss_sem=np.full(shape, np.nan),
            delta_sem=np.full(shape, np.nan),
            accuracy=np.full(shape, np.nan),
            done=np.zeros(shape, dtype=np.bool_),
            measured=np.zeros(shape, dtype=np.bool_),
            center=Measurement(loss, sem, accuracy, len(examples.losses)),
            recipe=recipe,
            execution=execution,
            checks=checks,
            environment=self._environment({}),
            provenance=provenance,
        )
