"""``landscape train-variants``: all runs of a comparison, their bands, a page and a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from landscape import figures
from landscape.errors import UsageError
from landscape.progress import Report
from landscape.records import Run, VariantBands
from landscape.storage import save
from landscape.tasks.places import check_writable
from landscape.training import VariantsConfig, collect, keep_best, train_variants


@dataclass(frozen=True)
class WrittenBands:
    """What the task left behind.

    Args:
        runs: One record per run.
        bands: All of them in one record.
        file: ``bands.h5``.
        page: ``bands.html``.
        image: ``bands.png``.
        checkpoints: ``<variant>.pth``, one per variant.
    """

    runs: tuple[Run, ...]
    bands: VariantBands
    file: Path
    page: Path
    image: Path
    checkpoints: tuple[Path, ...]


def bands_from_training(
    config: VariantsConfig, *, command: str = "", standalone: bool = False, progress: Report | None = None
) -> WrittenBands:
    """Train what is not trained yet, and draw the bands.

    Args:
        config: Variants, learning rates, seeds and the settings that they share, among them the output folder.
        command: What the user typed, to be shown on the page.
        standalone: Whether the page carries plotly's script.
        progress: Called with a ``Progress`` over the steps of all runs.

    Returns:
        Records and files.

    Raises:
        UsageError: The configuration has no output folder.
        StorageError: The folder cannot be written to; that is found out before anything is trained.
    """
    out = config.shared.out
    if out is None:
        raise UsageError("bands need a folder to be written to: set out= (--out)")
    for folder in (out, config.shared.tensorboard):
        if folder is not None:
            check_writable(folder)
    runs = train_variants(config, progress=progress)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    bands = replace(collect(config, runs), provenance={"command": command, "created": created})
    save(bands, out / "bands.h5")
    page, image = draw_bands(bands, out / "bands.h5", standalone=standalone)
    return WrittenBands(tuple(runs), bands, out / "bands.h5", page, image, tuple(keep_best(config, runs)))


def draw_bands(bands: VariantBands, out: Path, *, standalone: bool = False) -> tuple[Path, Path]:
    """Write the page and the picture of bands.

    Args:
        bands: The record.
        out: Page and picture are written beside it, under its stem.
        standalone: Whether the page carries plotly's script.

    Returns:
        Page and picture.
    """
    section = figures.band_section(bands)
    page = figures.write_page(out.with_suffix(".html"), section, title=section.title, standalone=standalone)
    return page, figures.write_band_png(out.with_suffix(".png"), bands)
