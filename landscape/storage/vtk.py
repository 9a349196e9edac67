"""VTK files, so that ParaView and its relatives open a surface.

One pair becomes one XML StructuredGrid (``.vts``) with inline base64 data: nothing beyond numpy is needed to write it.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from landscape.atomic import replacing
from landscape.errors import UsageError
from landscape.records import Surface

_VTK_TYPES = {"f8": "Float64", "u1": "UInt8"}


def write_vts(
    path: str | os.PathLike[str], surface: Surface, *, pair: int = 0, height: Literal["loss", "log10"] = "log10"
) -> Path:
    """Write one pair of a surface as a VTK StructuredGrid; an existing file is replaced whole.

    Points lie at ``(alpha, beta, height)``. Point data are ``loss``, ``loss_sem``, ``accuracy``, ``done``,
    ``measured`` and ``valid``. Values are those of the surface: a cell that is not done is NaN, a loss that is not
    finite stays what it is. VTK cannot place a point at NaN, so a cell without a finite height (not done, not finite,
    or a loss of zero on the log scale) lies at height 0 and has ``valid = 0``: in ParaView, *Threshold* by ``valid``
    from 1 to 1 makes it a gap. Field data hold ``recipe`` (JSON), ``height`` and ``pair``.

    Args:
        path: File to write, by custom ``*.vts``: readers go by that suffix.
        surface: The surface, finished or not.
        pair: Index of the direction pair, from 0.
        height: The third coordinate: the loss itself or its decimal logarithm.

    Returns:
        The path written.

    Raises:
        UsageError: There is no such pair, or no such height.
        StorageError: The file cannot be written; one that was there is untouched.
    """
    if not 0 <= pair < surface.pairs:
        raise UsageError(f"pair {pair} was asked for; the surface has {surface.pairs}, counted from 0")
    if height not in {"loss", "log10"}:
        raise UsageError(f"height {height!r} was asked for; it is 'loss' or 'log10'")
    path = Path(path)
    with replacing(path) as partial:
        partial.write_text(_document(surface, pair, height), encoding="ascii", newline="\n")
    return path


def _document(surface: Surface, pair: int, height: str) -> str:
    done = surface.done[pair]
    numbers = {name: np.where(done, getattr(surface, name)[pair], np.nan) for name in ("loss", "loss_sem", "accuracy")}
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.log10(numbers["loss"]) if height == "log10" else numbers["loss"]
    valid = np.isfinite(z)
    alpha, beta = np.meshgrid(surface.grid.alpha, surface.grid.beta, indexing="ij")
    points = np.stack([alpha, beta, np.where(valid, z, 0.0)])
    masks = {"done": done, "measured": surface.measured[pair], "valid": valid}
    data = [_array(name, values[None], "f8") for name, values in numbers.items()]
    data += [_array(name, values[None], "u1") for name, values in masks.items()]
    notes = {"recipe": json.dumps(dict(surface.recipe), sort_keys=True), "height": height, "pair": str(pair)}
    n_alpha, n_beta = surface.grid.shape
    extent = f"0 {n_alpha - 1} 0 {n_beta - 1} 0 0"
    return "\n".join(
        [
            '<?xml version="1.0"?>',
            '<VTKFile type="StructuredGrid" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
            f'<StructuredGrid WholeExtent="{extent}">',
            "<FieldData>",
            *(_text(name, value) for name, value in notes.items()),
            "</FieldData>",
            f'<Piece Extent="{extent}">',
            '<PointData Scalars="loss">',
            *data,
            "</PointData>",
            "<Points>",
            _array("Points", points, "f8"),
            "</Points>",
            "</Piece>",
            "</StructuredGrid>",
            "</VTKFile>",
            "",
        ]
    )


def _array(name: str, values: NDArray[Any], kind: Literal["f8", "u1"]) -> str:
    # values: (components, n_alpha, n_beta); VTK wants the components innermost, then alpha, then beta
    payload = np.ascontiguousarray(values.transpose(2, 1, 0), dtype=f"<{kind}").tobytes()
    encoded = base64.b64encode(len(payload).to_bytes(8, "little") + payload).decode("ascii")
    kind_and_size = f'type="{_VTK_TYPES[kind]}" NumberOfComponents="{len(values)}"'
    return f'<DataArray Name={quoteattr(name)} {kind_and_size} format="binary">{encoded}</DataArray>'


def _text(name: str, value: str) -> str:
    codes = " ".join(str(byte) for byte in [*value.encode(), 0])
    return f'<Array type="String" Name={quoteattr(name)} NumberOfTuples="1" format="ascii">{codes}</Array>'
