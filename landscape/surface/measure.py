"""Measuring surfaces: missing cells to blocks, blocks to an engine, results to files that can be continued."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from landscape import engines
from landscape.errors import UsageError
from landscape.progress import Progress, Report, silent
from landscape.records import Grid, Surface
from landscape.space import DirectionPair, check_layout
from landscape.storage import save, stored_record
from landscape.surface import evaluators
from landscape.surface.campaign import Campaign
from landscape.surface.evaluators import Planes
from landscape.surface.memory import ERRORS
from landscape.surface.objective import Objective
from landscape.surface.sampling import Blocks, Sampling
from landscape.surface.sampling import sampling as sampling_of


def measure_surface(
    objective: Objective,
    pairs: DirectionPair | Sequence[DirectionPair],
    grid: Grid,
    *,
    path: str | Path | None = None,
    engine: str = "serial",
    sampling: str = "dense",
    rtol: float = 0.03,
    evaluator: str = "auto",
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
        engine: Where blocks run: ``serial``, ``processes``, or ``processes:4`` for a number of workers.
        sampling: Which cells are measured: ``dense`` (all), or ``adaptive`` (where the surface needs it; the others
            are interpolated, marked ``measured=False``, and ``error_estimate`` says how far off they may be).
        rtol: Wanted 95th percentile over cells of ``|estimate - loss| / |loss|`` of ``adaptive``.
        evaluator: How a block becomes numbers: ``auto`` times a few cells; ``sequential`` is bit for bit a direct
            evaluation; ``folded``, ``batched``, ``graphed`` agree with it within rounding.
        progress: Called with a ``Progress`` before the first cell and after every block; the network is lent out then.
        recipe: Further plain values that a cell depends on, to be stored and compared: data set, subset, ...
        provenance: Plain values to be stored but not compared: the command, where the checkpoint came from, ...

    Returns:
        The surface, finished.

    Raises:
        UsageError: There is no such engine, sampling or evaluator, or no pair.
        ResumeError: ``path`` holds a surface of another recipe.
        ObjectiveError: The loss changes from call to call, or memory is too small for the batch that is asked for.
    """
    (surface,) = measure_surfaces(
        [objective],
        pairs,
        grid,
        paths=None if path is None else [path],
        engine=engine,
        sampling=sampling,
        rtol=rtol,
        evaluator=evaluator,
        progress=progress,
        recipe=recipe,
        provenance=provenance,
    )
    return surface


def measure_surfaces(
    objectives: Sequence[Objective],
    pairs: DirectionPair | Sequence[DirectionPair],
    grid: Grid,
    *,
    paths: Sequence[str | Path] | None = None,
    engine: str = "serial",
    sampling: str = "dense",
    rtol: float = 0.03,
    evaluator: str = "auto",
    progress: Report | None = None,
    recipe: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> list[Surface]:
    """Measure several objectives of one network on the same cells in one pass, for instance the BN modes.

    An adaptive sampling takes a cell that any of them needs for all of them. ``batch`` and ``recalibrated`` share
    their measurements where the examples are one batch and their own calibration set: they are the same number then.

    Args:
        objectives: What is measured; all of one network.
        pairs: See ``measure_surface``, as all that follow.
        grid: Multipliers.
        paths: One file for each objective.
        engine: Where blocks run.
        sampling: Which cells are measured.
        rtol: Wanted relative error of estimated cells.
        evaluator: How a block becomes numbers.
        progress: Called with a ``Progress``; a cell of each objective counts as one.
        recipe: Further plain values that a cell depends on.
        provenance: Plain values to be stored but not compared.

    Returns:
        One surface for each objective, in their order.

    Raises:
        UsageError: The objectives are of several networks, or there is not one path for each.
        RuntimeError: An engine failed; memory that runs out is answered with half the batch.
    """
    pairs = [pairs] if isinstance(pairs, DirectionPair) else list(pairs)
    _check(objectives, pairs, paths, evaluator)
    begin_sampling = partial(sampling_of, sampling, grid, rtol)
    begin_sampling()  # a wrong name is said before anything is opened
    runner = engines.get(engine)
    if runner.workers > 1 and any(o.device.type == "cuda" for o in objectives):
        raise UsageError(f"engine {engine!r} has {runner.workers} workers, and a GPU serves one: take 'serial'")
    shared = surface_recipe(pairs, grid, sampling, rtol) | dict(recipe or {})
    asked = [json.loads(json.dumps(o.recipe | shared)) for o in objectives]  # as files give it back
    targets = [None] * len(objectives) if paths is None else [Path(p) for p in paths]
    stored = [stored_record(t, Surface, a) for t, a in zip(targets, asked, strict=True)]
    report = progress or silent
    finished = [s for s in stored if s is not None and s.finished]
    if len(finished) == len(objectives):
        total = sum(s.done.size for s in finished)
        report(Progress(total, total, "cell", 0.0, "measured before"))
        return _concluded(finished, begin_sampling(), targets)
    campaign = Campaign(list(objectives), Planes(pairs, grid), targets, report, workers=runner.workers)
    campaign.begin(stored, asked, dict(provenance or {}), evaluator=evaluator, engine=engine)
    campaign.announce(begin_sampling().expected(campaign.surfaces))
    try:
        while not campaign.complete:
            try:
                _run(campaign, begin_sampling(), runner)
            except ERRORS as error:
                campaign.halve(error)
    finally:
        campaign.write()  # an interrupted call keeps its finished blocks
    return campaign.surfaces


def _run(campaign: Campaign, cells: Sampling, runner: engines.Engine) -> None:
    """Measure what the sampling asks for, until it has all it needs."""
    before = campaign.measured
    blocks = Blocks(cells, campaign.surfaces, campaign.paces, workers=runner.workers)
    for part, result in runner.run(campaign.task, blocks):
        blocks.tell(part, result.seconds)
        campaign.take(part, result, blocks.paces, expected=cells.expected(campaign.surfaces))
    campaign.finish(cells)
    if campaign.measured == before and not campaign.complete:
        raise RuntimeError("sampling and files disagree on what is left to measure; please report this")


def _concluded(surfaces: list[Surface], cells: Sampling, paths: Sequence[Path | None]) -> list[Surface]:
    """Let the sampling say why every cell was measured, where a call ended between the last of them and its word."""
    if not all(s.measured.all() for s in surfaces) or any("sampling_notes" in s.checks for s in surfaces):
        return surfaces
    cells.ask(surfaces)
    filled = cells.fill(surfaces)
    for new, old, path in zip(filled, surfaces, paths, strict=True):
        if path is not None and dict(new.checks) != dict(old.checks):
            save(new, path)
    return filled


def _check(
    objectives: Sequence[Objective], pairs: Sequence[DirectionPair], paths: Sequence[Any] | None, evaluator: str
) -> None:
    if evaluator != "auto":
        evaluators.get(evaluator)
    if not pairs:
        raise UsageError("at least one direction pair is needed")
    if not objectives or any(o.model is not objectives[0].model for o in objectives):
        raise UsageError("objectives that are measured together are of one network; measure others on their own")
    if paths is not None and (len(paths) != len(objectives) or len({Path(p).resolve() for p in paths}) != len(paths)):
        raise UsageError(f"{len(objectives)} objectives need as many different files; got {len(paths)}")
    for pair in pairs:
        check_layout(pair.first, objectives[0].center)


def surface_recipe(pairs: Sequence[DirectionPair], grid: Grid, sampling: str, rtol: float) -> dict[str, Any]:
    """Describe planes, grid and sampling as plain values.

    Args:
        pairs: Direction pairs.
        grid: Multipliers.
        sampling: Which cells are measured.
        rtol: Wanted relative error of estimated cells.

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
        **({} if sampling == "dense" else {"rtol": rtol}),
    }


_SHARED = ("scheme", "seed", "normalize", "orthogonal")
