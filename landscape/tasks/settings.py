"""Flat settings, as an experiment file writes them, to the frozen dataclasses that tasks take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from landscape.errors import UsageError
from landscape.registry import unknown

T = TypeVar("T")


def known_keys(*kinds: type, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Name the settings of dataclasses that a file may hold.

    Args:
        *kinds: Dataclasses.
        without: Fields that are set otherwise.

    Returns:
        Their fields, each once.
    """
    names = (f.name for kind in kinds for f in dataclasses.fields(kind))
    return tuple(name for name in dict.fromkeys(names) if name not in without)


def check_keys(where: str, found: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuse a key that nothing reads.

    Args:
        where: Where the keys stand, for the message.
        found: What was written.
        known: What may be written.

    Raises:
        UsageError: A key is unknown; the message names the closest known one.
    """
    for key in found:
        if key not in known:
            raise UsageError(f"{where}: {unknown('key', key, list(known))}")


def made(kind: type[T], settings: Mapping[str, Any], **fixed: Any) -> T:
    """Make a dataclass from those of some settings that it has.

    Args:
        kind: The dataclass.
        settings: Values by name, as TOML gives them: lists become tuples, texts become paths where a path is kept.
        **fixed: Values that no file may set.

    Returns:
        The dataclass.
    """
    own = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {name: _value(settings[name], str(own[name].type)) for name in own if name in settings}
    return kind(**values | fixed)


def _value(value: Any, kind: str) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if isinstance(value, str) and kind.startswith("Path") else value
