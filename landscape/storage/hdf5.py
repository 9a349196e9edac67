"""Records as HDF5 files in the shape of netCDF-4: every dimension is a scale, so xarray shows labelled arrays.

Root attributes are ``kind``, ``format_version`` and one JSON text per mapping of the record. Truth values are stored as
netCDF readers expect them: bytes with the attribute ``dtype = "bool"``.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from landscape.atomic import replacing
from landscape.errors import StorageError
from landscape.records import KINDS, Record, Variable, from_parts, to_parts

_COMPRESS_FROM = 10_000  # elements; below that the filter's bookkeeping outweighs what it saves
_LISTED = 6  # files that a message names


def save(record: Record, path: str | Path) -> None:
    """Write a record, replacing the file whole.

    Args:
        record: A surface, a run, bands, ...
        path: The file; folders are made as needed.

    Raises:
        StorageError: The record has no kind, or the file cannot be written.
    """
    if not getattr(record, "kind", ""):
        raise StorageError(f"a {type(record).__name__} is a part of other records and has no file of its own")
    variables, mappings = to_parts(record)
    with replacing(Path(path)) as partial:
        partial.write_bytes(_image(record, variables, mappings))


def load(path: str | Path) -> Any:
    """Read a record back.

    Args:
        path: A file that ``save`` wrote.

    Returns:
        A record of the type that the file's ``kind`` names.

    Raises:
        StorageError: There is no such file, it is not HDF5 or damaged, or holds something else.
    """
    path = Path(path)
    if not path.exists():
        raise StorageError(f"there is no file {path}")
    if problem := _no_result(path):
        raise StorageError(f"{path} is not a result file of this package{problem}")
    try:
        with h5py.File(path, "r") as file:
            return _read(file, path)
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:  # as damage has it
        raise StorageError(f"{path} is not a result file of this package, or is damaged: {error}") from error


def kind_of(path: str | Path) -> str:
    """Return the kind of record that a file says it holds; empty where it is no such file."""
    if not (Path(path).is_file() and h5py.is_hdf5(path)):
        return ""
    with contextlib.suppress(OSError, LookupError, ValueError), h5py.File(path, "r") as file:
        return str(file.attrs.get("kind", ""))
    return ""


def _no_result(path: Path) -> str:
    """How a message goes on that names a path of another sort; empty for what may be a result."""
    if path.is_dir():
        inside = sorted(file.name for file in path.iterdir() if file.suffix in {".h5", ".hdf5", ".nc"})
        listed = ", ".join(inside[:_LISTED]) + (", ..." if len(inside) > _LISTED else "")
        return f" but a folder; give a file in it{f': {listed}' if inside else ', as runs/NAME.h5'}"
    if path.suffix in {".pth", ".pt", ".ckpt", ".safetensors"} or zipfile.is_zipfile(path):
        return " but a checkpoint: 'landscape info' describes it, 'landscape surface --ckpt' measures around it"
    return ""


def _image(record: Record, variables: Mapping[str, Variable], mappings: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The file's bytes, made in memory: on a full disk HDF5 fails in several ways, a plain write in one."""
    with h5py.File(record.kind, "w", driver="core", backing_store=False) as file:
        file.attrs["kind"] = record.kind
        file.attrs["format_version"] = record.format_version
        for name, values in mappings.items():
            file.attrs[name] = json.dumps(values)
        _write_variables(file, variables)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def _write_variables(file: h5py.File, variables: Mapping[str, Variable]) -> None:
    lengths = {dim: n for v in variables.values() for dim, n in zip(v.dims, v.data.shape, strict=True)}
    scales = {dim: variables.get(dim, Variable((dim,), np.arange(n), about="number")) for dim, n in lengths.items()}
    for name, variable in {**scales, **variables}.items():
        _write_one(file, name, variable)
    for dim in scales:
        file[dim].make_scale(dim)
    for name, variable in variables.items():
        if name not in scales:
            for axis, dim in enumerate(variable.dims):
                file[name].dims[axis].attach_scale(file[dim])


def _write_one(file: h5py.File, name: str, variable: Variable) -> None:
    data, options = variable.data, {}
    if data.size >= _COMPRESS_FROM:
        options = {"compression": "gzip", "shuffle": True}
    if data.dtype.kind == "U":
        dataset = file.create_dataset(name, data=data.astype(object), dtype=h5py.string_dtype(), **options)
    elif data.dtype.kind == "b":
        dataset = file.create_dataset(name, data=data.astype(np.int8), **options)
        dataset.attrs["dtype"] = "bool"
    else:
        dataset = file.create_dataset(name, data=data, **options)
    for key, text in (("units", variable.units), ("long_name", variable.about)):
        if text:
            dataset.attrs[key] = text


def _read(file: h5py.File, path: Path) -> Record:
    kind, version = file.attrs.get("kind"), file.attrs.get("format_version")
    if kind not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise StorageError(f"{path} holds no record of this package (kind {kind!r}; known: {known})")
    cls = KINDS[kind]
    if version is None or version > cls.format_version:
        raise StorageError(
            f"{path} has format version {version} of kind {kind!r}; this release reads up to {cls.format_version}. "
            "Update landscape-lab."
        )
    arrays = {name: _array(dataset) for name, dataset in file.items()}
    mappings = {}
    for name, text in file.attrs.items():
        if isinstance(text, str) and text[:1] == "{":
            mappings[name] = json.loads(text)
    return from_parts(cls, arrays, mappings)


def _array(dataset: h5py.Dataset) -> np.ndarray[Any, Any]:
    if h5py.check_string_dtype(dataset.dtype):
        return np.asarray(dataset.asstr()[...], dtype=np.str_)
    values: np.ndarray[Any, Any] = dataset[...]
    return values.astype(np.bool_) if dataset.attrs.get("dtype") == "bool" else values
