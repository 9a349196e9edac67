"""The state of one measuring call: surfaces that fill up, their files, what was chosen for them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape import devices
from landscape.environment import environment
from landscape.errors import ResumeError
from landscape.progress import Progress, Report
from landscape.records import Measurement, Surface
from landscape.storage import save
from landscape.surface.evaluators import Planes
from landscape.surface.execution import Execution
from landscape.surface.memory import half, in_halves, out_of_memory
from landscape.surface.objective import Objective
from landscape.surface.preparing import evaluate_center, prepare
from landscape.surface.sampling import Sampling, usual_cells
from landscape.surface.session import Examples
from landscape.surface.task import BlockResult, Part, SurfaceTask

_WRITE_SHARE = 0.05  # of the time at most goes into writing
_HALVED = {"halved_for_memory": True}
_SAME_CENTER = {"bf16": 1e-2, "tf32": 1e-3}  # relative; float32 by default


@dataclass
class Campaign:
    """Measuring one or several objectives of a network on the same cells.

    Args:
        objectives: What is measured.
        planes: Where.
        paths: Their files, or None.
        report: Told of the progress.
        workers: How many work at once, each with its share of the CPU's threads.
    """

    objectives: list[Objective]
    planes: Planes
    paths: Sequence[Path | None]
    report: Report
    workers: int = 1
    surfaces: list[Surface] = field(init=False, default_factory=list)
    paces: list[float | None] = field(init=False, default_factory=list)
    _choices: list[Execution] = field(init=False, default_factory=list)
    _expected: int = field(init=False, default=0)
    _written: float = field(init=False, default=-np.inf)
    _write_seconds: float = field(init=False, default=0.0)
    _dirty: bool = field(init=False, default=False)
    _concluded: bool = field(init=False, default=False)

    def begin(
        self,
        stored: Sequence[Surface | None],
        recipes: Sequence[dict[str, Any]],
        provenance: dict[str, Any],
        *,
        evaluator: str,
        engine: str,
    ) -> None:
        """Make or take up the surfaces; evaluate their centers, choose how they are measured."""
        for which, (surface, recipe) in enumerate(zip(stored, recipes, strict=True)):
            if surface is not None:
                self._continue(which, surface)
            else:
                self._start(which, recipe, provenance, evaluator, engine)
        for which in range(len(self.surfaces)):
            self._share_known(which)
        self.paces = [p if self._server_of(k) is None else None for k, p in enumerate(self.paces)]
        self._dirty = True
        self.write()  # a place that cannot be written to is found out before hours are spent

    def announce(self, expected: int) -> None:
        """Report what was estimated from a few cells, before the work begins."""
        self._expected = expected * len(self.surfaces)
        self.tell("timed a few cells", estimate=True)

    @property
    def task(self) -> SurfaceTask:
        """The task that measures blocks of these surfaces."""
        return SurfaceTask(tuple(self.objectives), self.planes, tuple(self._choices))

    @property
    def measured(self) -> int:
        """How many cells of all surfaces are measured."""
        return sum(int(s.measured.sum()) for s in self.surfaces)

    @property
    def complete(self) -> bool:
        """Whether every cell of every surface has its value, and the sampling has said what there is to say."""
        return self._concluded and all(s.finished for s in self.surfaces)

    def take(self, part: Part, result: BlockResult, paces: list[float | None], *, expected: int) -> None:
        """Put a block's numbers under its cells."""
        which, block = part
        where = tuple(np.array(block).T)
        for surface in [self.surfaces[which], *(self.surfaces[k] for k in self._served_by(which))]:
            fields = (surface.loss, surface.loss_sem, surface.delta_sem, surface.accuracy)
            for array, values in zip(fields, result.values.T, strict=True):
                array[where] = values
            surface.done[where] = surface.measured[where] = True
        self._dirty = True
        self.paces = paces
        self._expected = expected * len(self.surfaces)
        if time.monotonic() - self._written >= self._write_seconds / _WRITE_SHARE:
            self.write()
        self.tell(f"loss {result.values[-1, 0]:.4g}")

    def finish(self, cells: Sampling) -> None:
        """Fill what the sampling leaves unmeasured, and note why where it leaves nothing."""
        if not cells.finished:
            return
        sparse = not all(s.finished for s in self.surfaces)
        filled = cells.fill(self.surfaces)
        self._dirty |= any(new is not old for new, old in zip(filled, self.surfaces, strict=True))
        self.surfaces, self._concluded = filled, True
        if sparse:
            self._expected = self.measured
            self.tell("interpolated")

    def write(self) -> None:
        """Write the surfaces, where there are files and something new."""
        if not self._dirty:
            return
        start = time.monotonic()
        for surface, path in zip(self.surfaces, self.paths, strict=False):
            if path is not None:
                save(surface, path)
        self._written = time.monotonic()
        self._write_seconds = self._written - start
        self._dirty = False

    def halve(self, error: BaseException) -> None:
        """Take half the batch after memory ran out, and say so in the files.

        Args:
            error: What was raised.

        Raises:
            error: It is none of memory.
            ObjectiveError: The batch is part of a value, or cannot be halved.
        """
        if not out_of_memory(error):
            raise error
        for which, (objective, choice) in enumerate(zip(self.objectives, self._choices, strict=True)):
            if choice.cells > 1:
                smaller = replace(choice, cells=choice.cells // 2)
            else:
                smaller = replace(choice, batch_size=half(objective, choice.batch_size, error))
            self._choices[which] = smaller
            execution = {**self.surfaces[which].execution, **smaller.as_dict(), **_HALVED}
            self.surfaces[which] = replace(self.surfaces[which], execution=execution)
        self._dirty = True
        self.tell("memory ran out; half as much at once from here on")

    def tell(self, detail: str, *, estimate: bool = False) -> None:
        """Report the progress."""
        done = self.measured
        total = max(done, self._expected)
        each = (total - done) / len(self.surfaces)
        seconds = each * sum(p for p in self.paces if p is not None) / self.workers
        rising = done < total < sum(surface.done.size for surface in self.surfaces)
        self.report(Progress(done, total, "cell", seconds, detail, estimate, rising))

    def _served_by(self, which: int) -> list[int]:
        """Surfaces that take another's numbers: one pass gives both."""
        return [k for k in range(len(self.objectives)) if self.paces[k] is None and which == self._server_of(k)]

    def _share_known(self, which: int) -> None:
        """Give a surface that is served what its server has from an earlier call."""
        server = self._server_of(which)
        if server is None:
            return
        mine, theirs = self.surfaces[which], self.surfaces[server]
        where = theirs.measured & ~mine.measured
        for name in ("loss", "loss_sem", "delta_sem", "accuracy", "done", "measured"):
            getattr(mine, name)[where] = getattr(theirs, name)[where]

    def _server_of(self, which: int) -> int | None:
        """The objective in mode ``batch`` whose one batch is this one's calibration set."""
        own = self.objectives[which]
        for k, other in enumerate(self.objectives):
            if own.calibrates_itself and other.bn == "batch" and other.same_but_for_mode(own):
                return k
        return None

    def _continue(self, which: int, stored: Surface) -> None:
        choice = Execution.stored(stored.execution)
        objective = self.objectives[which].in_batches_of(choice.batch_size)
        with devices.threads(choice.threads):
            (examples, pace), used = in_halves(objective, evaluate_center)  # this machine may have less memory
        self._check_center(which, stored, examples)
        execution = dict(stored.execution)
        if used.batch_size != choice.batch_size:
            choice = replace(choice, batch_size=used.batch_size)
            execution |= choice.as_dict() | _HALVED
        environment = self._environment(which, stored.environment)
        self._add(which, replace(stored, execution=execution, environment=environment), choice, pace)

    def _start(
        self, which: int, recipe: dict[str, Any], provenance: dict[str, Any], evaluator: str, engine: str
    ) -> None:
        threads = max(1, torch.get_num_threads() // self.workers)
        cells = len(self.planes.pairs) * usual_cells(recipe["sampling"], int(np.prod(self.planes.grid.shape)))
        found = prepare(self.objectives[which], self.planes, evaluator=evaluator, threads=threads, cells=cells)
        choice = found.tuned.execution
        execution = {**choice.as_dict(), "engine": engine, "workers": self.workers, "tried": found.tuned.timings}
        execution |= _HALVED if found.halved else {}
        loss, sem, _, accuracy = found.center.statistics().tolist()
        shape = (len(self.planes.pairs), *self.planes.grid.shape)
        surface = Surface(
            self.planes.grid,
            loss=np.full(shape, np.nan),
            loss_sem=np.full(shape, np.nan),
            delta_sem=np.full(shape, np.nan),
            accuracy=np.full(shape, np.nan),
            done=np.zeros(shape, dtype=np.bool_),
            measured=np.zeros(shape, dtype=np.bool_),
            center=Measurement(loss, sem, accuracy, len(found.center.losses)),
            recipe=recipe,
            execution=execution,
            checks=found.checks,
            environment=self._environment(which, {}),
            provenance=provenance,
        )
        self._add(which, surface, choice, found.tuned.seconds_per_cell)

    def _add(self, which: int, surface: Surface, choice: Execution, pace: float) -> None:
        self.objectives[which] = self.objectives[which].in_batches_of(choice.batch_size)
        self.surfaces.append(surface)
        self._choices.append(choice)
        self.paces.append(pace)

    def _check_center(self, which: int, stored: Surface, examples: Examples) -> None:
        """The center measured now must be the stored one: a recipe cannot tell apart what has no name of its own."""
        now = float(examples.losses.mean())
        rtol = _SAME_CENTER.get(self.objectives[which].precision, 1e-5)
        if not np.isclose(now, stored.center.loss, rtol=rtol, atol=1e-12, equal_nan=True):
            raise ResumeError(
                f"cannot continue {self.paths[which]}: the center's loss is {now:.8g} now and "
                f"{stored.center.loss:.8g} in the file, though the recipes agree. Something that the recipe cannot "
                "name has changed, for instance the code of the network or the loss. Choose another output (--out), "
                "or remove the file to begin anew."
            )

    def _environment(self, which: int, before: Mapping[str, Any]) -> dict[str, Any]:
        now = environment(devices.describe(self.objectives[which].device))
        if before and before.get("device") != now["device"]:
            now["device"] = f"{before.get('device')}; continued on {now['device']}"
        return now
