"""Continuing what a file holds, if it was made the way that is asked for now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from landscape.errors import ResumeError
from landscape.storage.hdf5 import load

_AXES = dict.fromkeys(("grid_alpha", "grid_beta"), " (--points, --radius)")  # the options that decide them
_DERIVED = {
    "calibration",
    "data_hash",
    "digest",
    "directions",
    "examples",
    "grid_alpha",
    "grid_beta",
    "mean",
    "model_hash",
    "std",
    "steps_per_epoch",
    "validation_examples",
}


class HasRecipe(Protocol):
    """A record with a recipe."""

    @property
    def kind(self) -> str:
        """Name of the record's type."""
        ...

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What its values depend on."""
        ...


R = TypeVar("R", bound=HasRecipe)


def stored_record(path: Path | None, kind: type[R], recipe: Mapping[str, Any]) -> R | None:
    """Return the record that a file holds, if its recipe is the one asked for.

    Args:
        path: The file; None where nothing is kept.
        kind: Type of record that it should hold.
        recipe: The recipe of this call, as plain values.

    Returns:
        The record; None where there is no file.

    Raises:
        ResumeError: The file holds another kind of record, or one of another recipe.
    """
    if path is None or not path.exists():
        return None
    record = load(path)
    if not isinstance(record, kind):
        raise ResumeError(f"{path} holds {record.kind}, not a {kind.kind}; choose another output (--out)")
    check_recipe(path, record.recipe, recipe)
    return record


def check_recipe(path: Path, found: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    """Refuse to continue what was made in another way.

    Args:
        path: The file, for the message.
        found: The recipe in it.
        recipe: The recipe of this call, as plain values.

    Raises:
        ResumeError: They differ; the message names the first difference.
    """
    before, now = _flat(found), _flat(recipe)
    for key in sorted([*now, *(k for k in before if k not in now)], key=_is_derived):
        stored, asked = before.get(key), now.get(key)
        if json.dumps(stored) != json.dumps(asked):  # as texts: NaN equals no NaN
            raise ResumeError(
                f"cannot continue {path}: it was made with {_worded(key, stored)}, this call has "
                f"{_worded(key, asked)}{_AXES.get(key, '')}. Use the stored value, choose another output (--out), or "
                "remove the file to begin anew."
            )


def _flat(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _is_derived(key: str) -> bool:
    """Whether an entry follows from others: where those differ too, they say more to the one who typed them."""
    return key.rsplit(".", maxsplit=1)[-1] in _DERIVED


def _worded(key: str, value: Any) -> str:
    if key in _AXES and isinstance(value, list) and value:
        points = f"{len(value)} point{'' if len(value) == 1 else 's'}"
        return f"{points} on the {key.removeprefix('grid_')} axis from {value[0]:g} to {value[-1]:g}"
    return f"{key}={_short(value)}"


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"[{value[0]!r}, ..., {value[-1]!r}] ({len(value)} values)"
    return repr(value)
