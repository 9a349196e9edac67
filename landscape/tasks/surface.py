"""``landscape surface``: from a checkpoint file to a surface file, a page and a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from landscape import figures
from landscape.datasets import ArrayDataset
from landscape.errors import UsageError
from landscape.progress import Report, parts, silent
from landscape.records import Grid, Surface
from landscape.space import DirectionPair, batchnorm_layers, random_pairs
from landscape.storage import Checkpoint, load, load_checkpoint
from landscape.surface import Objective, measure_surfaces
from landscape.surface.radius import BUDGET_RULE, auto_range, cover
from landscape.tasks.data import DataChoice, check_fit, images_for, subset_facts
from landscape.tasks.files import origin, record_file
from landscape.tasks.loss import loss_for
from landscape.words import BN_MODES


@dataclass(frozen=True)
class SurfaceOptions:
    """Settings of a surface.

    Args:
        pairs: Direction pairs.
        points: Points on each axis.
        radius: Largest multiplier, or ``auto``: as far as the loss takes to reach ``budget`` on each side.
        budget: That loss; None means five times the center's plus one.
        bn: BN mode, or ``all`` for the three of them on the same planes.
        seed: Seed of the directions.
        normalize: ``filter``, ``layer``, ``unit`` or ``none``.
        orthogonal: Whether the pairs are orthogonal.
        sampling: Which cells are measured.
        rtol: Wanted relative error of samplings that estimate cells.
        loss: Name of the loss; None takes that of the training, where the checkpoint names it.
        batch_size: Largest batch; None takes 512, and 4,096 on a GPU where no value depends on it.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        precision: ``fp32``, ``tf32`` or ``bf16``.
        engine: Where blocks run.
        evaluator: How a block becomes numbers; ``auto`` times a few cells.
        model: Name of the network, where the file does not say it.
        model_options: Its options.
        data: Which images.
    """

    pairs: int = 4
    points: int = 41
    radius: float | str = 1.0
    budget: float | None = None
    bn: str = "frozen"
    seed: int = 0
    normalize: str = "filter"
    orthogonal: bool = True
    sampling: str = "adaptive"
    rtol: float = 0.03
    loss: str | None = None
    batch_size: int | None = None
    device: str = "auto"
    precision: str = "fp32"
    engine: str = "serial"
    evaluator: str = "auto"
    model: str | None = None
    model_options: Mapping[str, Any] = field(default_factory=dict)
    data: DataChoice = field(default_factory=lambda: DataChoice(limit=512))


@dataclass(frozen=True)
class WrittenSurface:
    """What the task left behind.

    Args:
        surfaces: The records, one per BN mode.
        files: Their files.
        page: The page.
        image: The picture.
    """

    surfaces: tuple[Surface, ...]
    files: tuple[Path, ...]
    page: Path
    image: Path


def surface_from_checkpoint(
    ckpt: Path,
    out: Path | None = None,
    options: SurfaceOptions = SurfaceOptions(),
    *,
    command: str = "",
    standalone: bool = False,
    progress: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> WrittenSurface:
    """Measure surfaces around a checkpoint and draw them.

    Args:
        ckpt: The checkpoint.
        out: The surface file; by default ``results/surfaces/<checkpoint stem>.h5``. It is continued if it exists.
            In a folder that exists its name is the checkpoint's.
        options: All settings.
        command: What the user typed, to be shown on the page.
        standalone: Whether the page carries plotly's script.
        progress: Called with a ``Progress`` while cells are measured.
        say: Called with a sentence for everything that is assumed, before anything is measured.

    Returns:
        Records and files.

    Raises:
        UsageError: ``out`` has the ending of the page or the picture, or the radius is no number.
    """
    checkpoint = load_checkpoint(ckpt, options.model, model_options=options.model_options)
    loss, notes = loss_for(checkpoint, options.loss)
    data, assumed = images_for(checkpoint, options.data)
    out = record_file(out, Path("results/surfaces") / f"{ckpt.stem}.h5", "surface")
    assumed = [*checkpoint.notes, *assumed, *notes]
    if say is not None:
        for text in assumed:
            say(f"Assumed: {text}")
    model = checkpoint.build()
    check_fit(model, data)
    modes = _modes(model, options.bn)
    files = [out if options.bn != "all" else out.with_suffix(f".{mode}{out.suffix}") for mode in modes]
    objectives = [_objective(model, data, options, mode, loss) for mode in modes]
    planes = random_pairs(
        model, options.pairs, seed=options.seed, normalize=options.normalize, orthogonal=options.orthogonal
    )
    grid, facts = _grid(objectives, planes, options, files, progress)
    if say is not None:
        for text in _range_told(grid, facts):
            say(f"Range: {text}")
    surfaces = measure_surfaces(
        objectives,
        planes,
        grid,
        paths=files,
        engine=options.engine,
        sampling=options.sampling,
        rtol=options.rtol,
        evaluator=options.evaluator,
        progress=progress,
        recipe=_facts(checkpoint, data) | _radius_facts(options),
        provenance=origin(ckpt, checkpoint, assumed, command) | facts,
    )
    name = out if options.bn != "all" else out.with_suffix(f".all{out.suffix}")  # beside the page of a single mode
    return draw(surfaces, files, name, standalone=standalone)


def _modes(model: nn.Module, asked: str) -> tuple[str, ...]:
    if asked != "all":
        return (asked,)
    return BN_MODES if batchnorm_layers(model) else BN_MODES[:1]  # without BatchNorm all are one


def _facts(checkpoint: Checkpoint, data: ArrayDataset) -> dict[str, Any]:
    model = {"model": checkpoint.model_name, "model_options": dict(checkpoint.model_options)}
    return model | subset_facts(data)


def _objective(model: nn.Module, data: ArrayDataset, options: SurfaceOptions, mode: str, loss: str) -> Objective:
    return Objective(
        model,
        data.inputs,
        data.targets,
        loss=loss,
        bn=mode,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision,
    )


def _grid(
    objectives: Sequence[Objective],
    planes: Sequence[DirectionPair],
    options: SurfaceOptions,
    files: Sequence[Path],
    progress: Report | None,
) -> tuple[Grid, dict[str, Any]]:
    """The grid and what there is to say about its range. A range that a file has is not sought again."""
    if not isinstance(options.radius, str):
        return Grid.square(options.radius, options.points), {}
    if options.radius != "auto":
        raise UsageError(f"the radius is a number or 'auto'; got {options.radius!r}")
    for file in files:
        stored = load(file) if file.exists() else None
        if isinstance(stored, Surface):  # of another budget too: the recipes' comparison names it
            return stored.grid, {k: v for k, v in stored.provenance.items() if k.startswith("range_")}
    reports = parts(progress or silent, [1.0 for _ in objectives])  # the modes are one search, told as one
    found = cover(
        [auto_range(o, planes, budget=options.budget, progress=r) for o, r in zip(objectives, reports, strict=True)]
    )
    facts = {
        "range_budget": found.budget,
        "range_crossings": [list(pair) for pair in found.crossings],
        "range_notes": list(found.notes),
    }
    return found.grid(options.points), facts


def _range_told(grid: Grid, facts: Mapping[str, Any]) -> list[str]:
    if "range_budget" not in facts:
        return []
    reach = f"alpha {grid.alpha[0]:.2g} to {grid.alpha[-1]:.2g}, beta {grid.beta[0]:.2g} to {grid.beta[-1]:.2g}"
    return [f"{reach}, to where the loss reaches {facts['range_budget']:.4g}", *facts.get("range_notes", [])]


def _radius_facts(options: SurfaceOptions) -> dict[str, Any]:
    if options.radius != "auto":
        return {"radius": options.radius}
    return {"radius": "auto", "budget": options.budget or BUDGET_RULE, "points": options.points}


def draw(surfaces: Sequence[Surface], files: Sequence[Path], out: Path, *, standalone: bool = False) -> WrittenSurface:
    """Write the page and the picture of measured surfaces.

    Args:
        surfaces: Records that belong together.
        files: Their files.
        out: Page and picture are written beside it, under its stem.
        standalone: Whether the page carries plotly's script.

    Returns:
        Records and files.
    """
    section = figures.surface_section(surfaces)
    page = figures.write_page(out.with_suffix(".html"), section, title=section.title, standalone=standalone)
    image = figures.write_surface_png(out.with_suffix(".png"), surfaces)
    return WrittenSurface(tuple(surfaces), tuple(files), page, image)
