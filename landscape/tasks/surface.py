"""``landscape surface``: from a checkpoint file to a surface file, a page and a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from landscape import figures
from landscape.datasets import ArrayDataset
from landscape.errors import UsageError
from landscape.progress import Report, parts, silent
from landscape.records import Grid, Surface
from landscape.space import batchnorm_layers, random_pairs
from landscape.storage import Checkpoint, load_checkpoint
from landscape.surface import Objective, measure_surface
from landscape.tasks.data import DataChoice, check_fit, images_for, subset_facts
from landscape.words import BN_MODES

_COST = {"frozen": 1.0, "batch": 1.0, "recalibrated": 2.0}  # passes over the examples at a cell
_ENDINGS = (".h5", ".hdf5", ".nc")


@dataclass(frozen=True)
class SurfaceOptions:
    """Settings of a surface.

    Args:
        pairs: Direction pairs.
        points: Points on each axis.
        radius: Largest multiplier.
        bn: BN mode, or ``all`` for the three of them on the same planes.
        seed: Seed of the directions.
        normalize: ``filter``, ``layer``, ``unit`` or ``none``.
        orthogonal: Whether the pairs are orthogonal.
        sampling: Which cells are measured.
        rtol: Wanted relative error of samplings that estimate cells.
        loss: Name of the loss.
        batch_size: Largest batch.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        precision: ``fp32``, ``tf32`` or ``bf16``.
        engine: Where blocks run.
        model: Name of the network, where the file does not say it.
        model_options: Its options.
        data: Which images.
    """

    pairs: int = 4
    points: int = 41
    radius: float = 1.0
    bn: str = "frozen"
    seed: int = 0
    normalize: str = "filter"
    orthogonal: bool = True
    sampling: str = "dense"
    rtol: float = 0.03
    loss: str = "cross_entropy"
    batch_size: int = 512
    device: str = "auto"
    precision: str = "fp32"
    engine: str = "serial"
    model: str | None = None
    model_options: Mapping[str, Any] = field(default_factory=dict)
    data: DataChoice = field(default_factory=lambda: DataChoice(limit=128))


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
        options: All settings.
        command: What the user typed, to be shown on the page.
        standalone: Whether the page carries plotly's script.
        progress: Called with a ``Progress`` while cells are measured.
        say: Called with a sentence for everything that is assumed, before anything is measured.

    Returns:
        Records and files.

    Raises:
        UsageError: ``out`` has the ending of the page or the picture.
    """
    checkpoint = load_checkpoint(ckpt, options.model, model_options=options.model_options)
    data, assumed = images_for(checkpoint, options.data)
    out = out or Path("results/surfaces") / f"{ckpt.stem}.h5"
    if out.suffix in {".html", ".png"}:
        raise UsageError(f"--out names the surface file, for instance {out.stem}.h5; page and picture go beside it")
    if out.suffix not in _ENDINGS:
        out = out.with_name(f"{out.name}.h5")  # "vgg-lr0.001" is a name, not one with the ending ".001"
    assumed = [*checkpoint.notes, *assumed]
    if say is not None:
        for text in assumed:
            say(f"Assumed: {text}")
    provenance = _provenance(ckpt, checkpoint, assumed, command)
    model = checkpoint.build()
    check_fit(model, data)
    all_modes = BN_MODES if batchnorm_layers(model) else BN_MODES[:1]
    modes = all_modes if options.bn == "all" else (options.bn,)
    surfaces, files = [], []
    reports = parts(progress or silent, [_COST.get(mode, 1.0) for mode in modes])
    for mode, report in zip(modes, reports, strict=True):
        file = out if options.bn != "all" else out.with_suffix(f".{mode}{out.suffix}")
        surfaces.append(
            _measure(checkpoint, model, data, options, mode=mode, file=file, provenance=provenance, progress=report)
        )
        files.append(file)
    name = out if options.bn != "all" else out.with_suffix(f".all{out.suffix}")  # beside the page of a single mode
    return draw(surfaces, files, name, standalone=standalone)


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


def _measure(
    checkpoint: Checkpoint,
    model: nn.Module,
    data: ArrayDataset,
    options: SurfaceOptions,
    *,
    mode: str,
    file: Path,
    provenance: dict[str, Any],
    progress: Report | None,
) -> Surface:
    objective = Objective(
        model,
        data.inputs,
        data.targets,
        loss=options.loss,
        bn=mode,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision,
    )
    planes = random_pairs(
        model, options.pairs, seed=options.seed, normalize=options.normalize, orthogonal=options.orthogonal
    )
    recipe = {
        "model": checkpoint.model_name,
        "model_options": dict(checkpoint.model_options),
        **subset_facts(data),
        "radius": options.radius,
    }
    return measure_surface(
        objective,
        planes,
        Grid.square(options.radius, options.points),
        path=file,
        engine=options.engine,
        sampling=options.sampling,
        rtol=options.rtol,
        progress=progress,
        recipe=recipe,
        provenance=provenance,
    )


def _provenance(ckpt: Path, checkpoint: Checkpoint, assumed: list[str], command: str) -> dict[str, Any]:
    trained = {k: v for k, v in checkpoint.meta.items() if k in {"run", "epoch", "val_loss", "val_accuracy"}}
    trained |= {k: v for k, v in checkpoint.meta.get("recipe", {}).get("model_options", {}).items() if k == "init"}
    return {
        "checkpoint": ckpt.name,
        "assumed": assumed,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **({"trained": trained} if trained else {}),
    }
