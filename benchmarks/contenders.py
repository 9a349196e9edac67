"""Who is timed, and how: loops that call the network at every cell (the naive one, the peers'), and this package.

A turn is a short measurement. Of a loop, the time of a cell is that from one forward pass to the next, seen by a hook
on the network, so that making directions, drawing and saving stay outside, and whatever a loop does for a cell stays
inside. This package does not call the network cell by cell; its own progress callback gives the times.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Clock
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention
from workloads import Problem

import landscape as ls
from landscape.progress import Progress


@dataclass(frozen=True)
class Turn:
    """One short measurement.

    Args:
        seconds: Of a cell, mean over the cells of this turn.
        cells: How many cells that is the mean of.
        setup: Seconds before the first cell.
        processor: Processor seconds of the process for a second of the wall's clock: less than its threads where
            others computed at the same time.
        finite: Share of the losses that are finite; NaN where they are not known.
    """

    seconds: float
    cells: int
    setup: float
    processor: float
    finite: float = np.nan

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Instant:
    """A moment, by the chosen clock, by the wall's, and by the processor time of this process."""

    clock: float
    wall: float
    processor: float

    @classmethod
    def now(cls) -> Instant:
        """This moment."""
        return cls(Clock.now(), time.perf_counter(), time.process_time())

    def until(self, other: Instant) -> float:
        """Seconds between two moments."""
        return other.clock - self.clock

    def share_until(self, other: Instant) -> float:
        """Processor seconds for a second of the wall's clock."""
        return (other.processor - self.processor) / max(other.wall - self.wall, 1e-9)


@dataclass(frozen=True)
class Task:
    """What a loop is given.

    Args:
        inputs: Images.
        targets: Classes.
        batch: Images of one forward pass, where the loop takes batches.
        steps: The grid is ``steps`` x ``steps``.
        folder: Where it may write.
    """

    inputs: Tensor
    targets: Tensor
    batch: int
    steps: int
    folder: Path

    @property
    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """Images and classes, batch by batch."""
        return list(zip(torch.split(self.inputs, self.batch), torch.split(self.targets, self.batch), strict=True))


Loop = Callable[[nn.Module, Task], Any]  # runs a grid, returns its losses


class Walker:
    """A loop over cells that calls the network.

    Args:
        problem: The workload.
        loop: Runs a grid.
        batch: Images of one forward pass.
    """

    def __init__(self, problem: Problem, loop: Loop, batch: int) -> None:
        self.loop, self.batch = loop, batch
        self._problem, self._model = problem, problem.fresh()

    def turn(self, cells: int) -> Turn:
        """Run a small grid, at least 2 x 2, from the center."""
        model, starts = self._model, list[Instant]()
        model.load_state_dict(self._problem.model.state_dict())  # some loops leave the network displaced
        model.eval()
        hook = model.register_forward_pre_hook(lambda *_: starts.append(Instant.now()))
        with tempfile.TemporaryDirectory() as folder:
            steps = max(2, min(5, round(cells**0.5)))
            task = Task(self._problem.inputs, self._problem.targets, self.batch, steps, Path(folder))
            begun = Instant.now()
            try:
                with quiet():
                    losses = np.asarray(self.loop(model, task), dtype=np.float64)
            finally:
                hook.remove()
        passes = len(starts) / steps**2
        if passes != round(passes):
            raise RuntimeError(f"{len(starts)} forward passes for {steps} x {steps} cells")
        firsts = starts[:: int(passes)]
        seconds = firsts[0].until(firsts[-1]) / (len(firsts) - 1)
        share, finite = firsts[0].share_until(firsts[-1]), float(np.isfinite(losses).mean())
        return Turn(seconds, len(firsts) - 1, begun.until(firsts[0]), share, finite)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what a loop prints, its progress bars and warnings away from the tables."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def naive(model: nn.Module, task: Task) -> list[list[float]]:
    """The loop that everybody writes: build the perturbed weights, load them, evaluate in eval mode."""
    first, second = ({name: _random_like(w) for name, w in model.named_parameters()} for _ in range(2))
    return naive_grid(model, task, first, second, np.linspace(-1, 1, task.steps))


def _random_like(weight: Tensor) -> Tensor:
    """A filter-normalized direction, in plain torch."""
    w, d = weight.detach(), torch.randn_like(weight)
    if w.ndim < 2:
        return torch.zeros_like(w)
    rows, drawn = w.flatten(1), d.flatten(1)
    scale = rows.square().sum(1, keepdim=True).sqrt() / drawn.square().sum(1, keepdim=True).sqrt()
    return (drawn * scale).view(weight.shape)


def naive_grid(
    model: nn.Module, task: Task, first: Mapping[str, Tensor], second: Mapping[str, Tensor], axis: Any
) -> list[list[float]]:
    """Losses on a square grid, from the center that ``model`` holds."""
    center = {name: t.clone() for name, t in model.state_dict().items()}
    losses: list[list[float]] = []
    with torch.no_grad():
        for a in map(float, axis):
            losses.append([])
            for b in map(float, axis):
                state = {k: w + a * first[k] + b * second[k] if k in first else w for k, w in center.items()}
                model.load_state_dict(state)
                total = sum(F.cross_entropy(model(x), y).item() * len(y) for x, y in task.batches)
                losses[-1].append(total / len(task.targets))
    return losses


class _TurnOverError(Exception):
    """Stops a measurement between two blocks."""


class Ours:
    """This package, called as a user calls it: one surface with a file, each turn continuing where the last stopped.

    Args:
        problem: The workload.
        precision: ``fp32`` or ``bf16``.
        pairs: Direction pairs of the surface.
        points: Points on each axis.
        device: Where it computes.
        batch: Largest batch; None takes the package's own.

    Attributes:
        execution: How the surface of the turns is measured.
        cold: Seconds before the first cell of the first turn.
    """

    def __init__(
        self,
        problem: Problem,
        precision: str,
        *,
        pairs: int = 1,
        points: int = 41,
        device: str = "cpu",
        batch: int | None = None,
    ) -> None:
        model = problem.fresh()
        self.objective = ls.Objective(
            model, problem.inputs, problem.targets, batch_size=batch, device=device, precision=precision
        )
        self.planes, self.grid = ls.random_pairs(model, pairs, seed=0), ls.Grid.square(1.0, points)
        self.execution: dict[str, Any] = {}
        self.cold: float | None = None
        self._folder = tempfile.TemporaryDirectory()
        self._surfaces = 0

    def measure(self, planes: Sequence[ls.DirectionPair], grid: ls.Grid, **options: Any) -> ls.Surface:
        """Measure; every surface of this script goes through here.

        Args:
            planes: Direction pairs.
            grid: Multipliers.
            **options: Of ``measure_surface``; an ``evaluator`` is dropped where this version does not take one.

        Returns:
            The surface.
        """
        if "evaluator" not in inspect.signature(ls.measure_surface).parameters:
            options.pop("evaluator", None)
        return ls.measure_surface(self.objective, planes, grid, **options)

    def turn(self, cells: int) -> Turn:
        """Continue the surface for at least ``cells`` cells after a first block, or until it ends."""
        reports: list[tuple[Instant, int]] = []

        def tell(p: Progress) -> None:
            reports.append((Instant.now(), p.done))
            if len(reports) >= 3 and p.done - reports[1][1] >= cells and p.done < p.total:
                raise _TurnOverError

        path = Path(self._folder.name) / f"{self._surfaces}.h5"
        begun = Instant.now()
        try:
            surface = self.measure(self.planes, self.grid, path=path, progress=tell)
            self._surfaces += 1  # it is finished: the next turn begins another
        except _TurnOverError:
            surface = ls.load(path)
        self.execution = dict(surface.execution)
        setup = begun.until(reports[0][0])
        self.cold = setup if self.cold is None else self.cold
        (t0, n0), (t1, n1) = reports[1 if len(reports) > 2 else 0], reports[-1]
        finite = float(np.isfinite(surface.loss[surface.measured]).mean())
        return Turn(t0.until(t1) / (n1 - n0), n1 - n0, setup, t0.share_until(t1), finite)


def agreement(problem: Problem, ours: Ours) -> float:
    """The largest relative difference between this package and the naive loop, over 3 x 3 cells of one plane."""
    axis = np.array([-0.5, 0.0, 0.5])
    pair = ours.planes[0]
    surface = ours.measure([pair], ls.Grid(axis, axis))
    task = Task(problem.inputs, problem.targets, len(problem.inputs), 3, Path())
    expected = np.asarray(naive_grid(problem.fresh(), task, pair.first, pair.second, axis))
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(surface.loss[0] - expected) / np.abs(expected)))
