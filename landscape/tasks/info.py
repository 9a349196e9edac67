"""``landscape info``: what a file holds and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch import Tensor

from landscape import figures
from landscape.errors import CheckpointError, StorageError
from landscape.records import Evaluation, Record, SmoothnessTrace, Surface, Sweep, VariantBands, to_parts
from landscape.storage import Checkpoint, load, load_checkpoint, read_weights


def info(file: Path) -> list[tuple[str, str]]:
    """Describe a result file or a checkpoint.

    Args:
        file: A file of records, or a checkpoint.

    Returns:
        Pairs of a name and a text, in the order in which a reader wants them.

    Raises:
        StorageError: It is a folder.
    """
    if file.is_dir():
        raise StorageError(f"{file} is a folder; give a result file (.h5) or a checkpoint (.pth) in it")
    if not file.exists() or h5py.is_hdf5(file) or file.suffix in {".h5", ".hdf5", ".nc"}:
        return _record(load(file))
    try:
        return _checkpoint(load_checkpoint(file))
    except CheckpointError as error:
        return _weights(read_weights(file), str(error))


def _record(record: Record) -> list[tuple[str, str]]:
    variables, mappings = to_parts(record)
    sizes = {dim: n for v in variables.values() for dim, n in zip(v.dims, v.data.shape, strict=True)}
    lines = [("kind", record.kind), ("dimensions", ", ".join(f"{dim} {n}" for dim, n in sizes.items()))]
    if isinstance(record, Surface):
        lines.append(("cells", f"{int(record.done.sum())} of {record.done.size} done"))
        lines.append(("finding", figures.surface_summary(record)))
    if isinstance(record, VariantBands):
        lines.append(("finding", figures.band_summary(record)))
    if isinstance(record, Evaluation):
        lines.append(("finding", figures.evaluation_summary(record)))
    if isinstance(record, Sweep):
        lines.append(("finding", figures.sweep_summary(record)))
    if isinstance(record, SmoothnessTrace):
        lines.append(("finding", figures.smoothness_summary([record])))
    for name in ("recipe", "execution", "checks", "provenance", "environment"):
        lines += _mapping(name, mappings.get(name, {}))
    return lines


def _checkpoint(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    weights = sum(t.numel() for n, t in checkpoint.state_dict.items() if not n.endswith("num_batches_tracked"))
    lines = [
        ("kind", "checkpoint"),
        ("model", checkpoint.model_name),
        ("numbers", f"{weights:,} in {len(checkpoint.state_dict)} tensors"),
        *_mapping("model option", checkpoint.model_options),
        *(("assumed", note) for note in checkpoint.notes),
    ]
    return lines + [line for name, value in checkpoint.meta.items() for line in _entry(name, value)]


def _weights(state: Mapping[str, Tensor], why: str) -> list[tuple[str, str]]:
    lines = [("kind", "checkpoint"), ("model", f"not recognised: {why}")]
    return lines + [(name, " x ".join(map(str, t.shape)) or "one number") for name, t in state.items()]


def _mapping(name: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [line for key, value in values.items() for line in _entry(f"{name}.{key}", value)]


def _entry(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return _mapping(name, value)
    if isinstance(value, list) and len(value) > 4 and all(isinstance(v, int | float) for v in value):
        return [(name, f"{len(value)} values from {np.min(value):g} to {np.max(value):g}")]
    if isinstance(value, list) and any(" " in v for v in value if isinstance(v, str)):
        return [(name, str(v)) for v in value]  # sentences
    return [(name, ", ".join(str(v) for v in value) if isinstance(value, list) else str(value))]
