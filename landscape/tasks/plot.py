"""``landscape plot``: pictures of a stored record, without measuring anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landscape import figures
from landscape.errors import UsageError
from landscape.records import Surface, VariantBands
from landscape.storage import load
from landscape.storage.vtk import write_vts

FORMATS = ("html", "png", "pdf", "vtk")


def plot(
    file: Path, *, formats: Sequence[str] = ("html", "png"), out: Path | None = None, standalone: bool = False
) -> list[Path]:
    """Draw a stored record.

    Args:
        file: A surface file or ``bands.h5``.
        formats: Any of ``html``, ``png``, ``pdf`` and, for a surface, ``vtk`` (one ``.vts`` a pair).
        out: Where to write; the formats give the endings. By default beside ``file``, under its stem.
        standalone: Whether the page carries plotly's script.

    Returns:
        The files written.

    Raises:
        UsageError: A format is unknown or does not suit the record.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"there is no format {name!r}; known: {', '.join(FORMATS)}")
    record, stem = load(file), out or file.with_suffix("")
    if stem.suffix[1:] in FORMATS:
        stem = stem.with_suffix("")
    if not isinstance(record, Surface | VariantBands):
        raise UsageError(f"{file} holds a record of kind {record.kind!r}, which has no picture of its own yet")
    if "vtk" in formats and not isinstance(record, Surface):
        raise UsageError(f"VTK files are made of surfaces; {file} holds bands: draw them as html, png or pdf")
    return [path for name in formats for path in _draw(record, name, stem, standalone)]


def _draw(record: Surface | VariantBands, name: str, stem: Path, standalone: bool) -> list[Path]:
    target = stem.with_name(f"{stem.name}.{name}")
    if name == "html":
        surface = isinstance(record, Surface)
        section = figures.surface_section(record) if surface else figures.band_section(record)  # type: ignore[arg-type]
        return [figures.write_page(target, section, title=section.title, standalone=standalone)]
    if name == "vtk":
        names = [stem.with_name(f"{stem.name}-pair{k}.vts") for k in range(record.pairs)]  # type: ignore[union-attr]
        return [write_vts(path, record, pair=k) for k, path in enumerate(names)]  # type: ignore[arg-type]
    if isinstance(record, Surface):
        return [figures.write_surface_png(target, record)]
    return [figures.write_band_png(target, record)]
