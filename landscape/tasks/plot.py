"""``landscape plot``: pictures of stored records, without measuring anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from landscape import figures
from landscape.errors import UsageError
from landscape.records import Evaluation, Record, SmoothnessTrace, Surface, Sweep, VariantBands
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
    SmoothnessTrace: _Picture(figures.smoothness_section, figures.write_smoothness_png, "a trace"),
    Evaluation: _Picture(figures.evaluation_section, figures.write_evaluation_png, "an evaluation"),
    Sweep: _Picture(figures.sweep_section, figures.write_sweep_png, "a sweep"),
}


def plot(
    file: Path | Sequence[Path],
    *,
    formats: Sequence[str] = ("html", "png"),
    out: Path | None = None,
    standalone: bool = False,
) -> list[Path]:
    """Draw a stored record, or several traces in one figure.

    Args:
        file: A surface file, ``bands.h5``, ``sweep.h5``, an evaluation, or one or more traces of
            ``landscape smoothness``.
        formats: Any of ``html``, ``png``, ``pdf`` and, for a surface, ``vtk`` (one ``.vts`` a pair).
        out: Where to write; the formats give the endings. In a folder that exists, or by default beside the first
            file, the name is that file's stem.
        standalone: Whether the page carries plotly's script.

    Returns:
        The files written.

    Raises:
        UsageError: A format is unknown or does not suit the record, or several files are not all traces.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"there is no format {name!r}; known: {', '.join(FORMATS)}")
    files = [file] if isinstance(file, Path) else list(file)
    record = _record(files)
    stem = out or files[0].with_suffix("")
    if out is not None and out.is_dir():
        stem = out / files[0].stem
    elif stem.suffix[1:] in FORMATS:
        stem = stem.with_suffix("")
    if "vtk" in formats and not isinstance(record, Surface):
        words = _PICTURES[_kind(record)].words
        raise UsageError(f"VTK files are made of surfaces; {files[0]} holds {words}: choose html, png or pdf")
    return [path for name in formats for path in _draw(record, name, stem, standalone)]


def _record(files: Sequence[Path]) -> Record | list[SmoothnessTrace]:
    records: list[Record] = [load(path) for path in files]
    for path, record in zip(files, records, strict=True):
        if type(record) not in _PICTURES:
            raise UsageError(f"{path} holds a record of kind {record.kind!r}, which has no picture of its own yet")
    if len(records) == 1:
        return records[0]
    traces = [record for record in records if isinstance(record, SmoothnessTrace)]
    if len(traces) < len(records):
        path, record = next(p for p in zip(files, records, strict=True) if not isinstance(p[1], SmoothnessTrace))
        raise UsageError(
            f"several files make one figure where all are traces of 'landscape smoothness'; {path} holds "
            f"{record.kind!r}. Give one file at a time."
        )
    return traces


def _kind(record: Record | list[SmoothnessTrace]) -> type:
    return SmoothnessTrace if isinstance(record, list) else type(record)


def _draw(record: Record | list[SmoothnessTrace], name: str, stem: Path, standalone: bool) -> list[Path]:
    target, picture = stem.with_name(f"{stem.name}.{name}"), _PICTURES[_kind(record)]
    if name == "html":
        section = picture.section(record)
        return [figures.write_page(target, section, title=section.title, standalone=standalone)]
    if name == "vtk" and isinstance(record, Surface):
        names = [stem.with_name(f"{stem.name}-pair{k}.vts") for k in range(record.pairs)]
        return [write_vts(path, record, pair=k) for k, path in enumerate(names)]
    return [picture.image(target, record)]
