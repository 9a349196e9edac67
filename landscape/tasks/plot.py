"""``landscape plot``: pictures of a stored record, without measuring anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from landscape import figures
from landscape.errors import UsageError
from landscape.records import Evaluation, Surface, VariantBands
from landscape.storage import load
from landscape.storage.vtk import write_vts

FORMATS = ("html", "png", "pdf", "vtk")


class _Picture(NamedTuple):
    """How a kind of record is drawn, and what a message calls it."""

    section: Callable[[Any], figures.Section]
    image: Callable[[Path, Any], Path]
    words: str


_PICTURES: dict[type, _Picture] = {
    Surface: _Picture(figures.surface_section, figures.write_surface_png, "a surface"),
    VariantBands: _Picture(figures.band_section, figures.write_band_png, "bands"),
    Evaluation: _Picture(figures.evaluation_section, figures.write_evaluation_png, "an evaluation"),
}


def plot(
    file: Path, *, formats: Sequence[str] = ("html", "png"), out: Path | None = None, standalone: bool = False
) -> list[Path]:
    """Draw a stored record.

    Args:
        file: A surface file, ``bands.h5`` or an evaluation file.
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
    if type(record) not in _PICTURES:
        raise UsageError(f"{file} holds a record of kind {record.kind!r}, which has no picture of its own yet")
    if "vtk" in formats and not isinstance(record, Surface):
        words = _PICTURES[type(record)].words
        raise UsageError(f"VTK files are made of surfaces; {file} holds {words}: choose html, png or pdf")
    return [path for name in formats for path in _draw(record, name, stem, standalone)]


def _draw(record: Any, name: str, stem: Path, standalone: bool) -> list[Path]:
    target, picture = stem.with_name(f"{stem.name}.{name}"), _PICTURES[type(record)]
    if name == "html":
        section = picture.section(record)
        return [figures.write_page(target, section, title=section.title, standalone=standalone)]
    if name == "vtk":
        names = [stem.with_name(f"{stem.name}-pair{k}.vts") for k in range(record.pairs)]
        return [write_vts(path, record, pair=k) for k, path in enumerate(names)]
    return [picture.image(target, record)]
