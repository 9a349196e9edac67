"""Flat settings, as an experiment file writes them, to the frozen dataclasses that tasks take."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from landscape.errors import UsageError
from landscape.registry import unknown

T = TypeVar("T")
_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "text (a path)"}


class Key(str):
    """Name of a setting that knows what its values are.

    Args:
        name: The name.
        kinds: Types, as annotations state them; a value is of one of them. Any value will do where there is none.
    """

    __slots__ = ("kinds",)

    def __new__(cls, name: str, *kinds: Any) -> Key:
        """Make the text."""
        key = super().__new__(cls, name)
        key.kinds = kinds  # type: ignore[attr-defined]
        return key


def known_keys(*kinds: type, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Name the settings of dataclasses that a file may hold.

    Args:
        *kinds: Dataclasses.
        without: Fields that are set otherwise.

    Returns:
        Their fields, each once, as names that know the fields' types.
    """
    found: dict[str, list[Any]] = {}
    for kind in kinds:
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            found.setdefault(field.name, []).append(hints[field.name])
    return tuple(Key(name, *hints) for name, hints in found.items() if name not in without)


def check_keys(where: str, found: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuse a key that nothing reads, and a value of another type than the setting's.

    Args:
        where: Where the keys stand, for the message.
        found: What was written.
        known: What may be written.

    Raises:
        UsageError: A key is unknown, and the message names the closest known one; or a value is of another type.
    """
    for key, value in found.items():
        if key not in known:
            raise UsageError(f"{where}: {unknown('key', key, [str(name) for name in known])}")
        kinds = getattr(next(name for name in known if name == key), "kinds", ())
        if kinds and not any(_fits(value, kind) for kind in kinds):
            wanted = " or ".join(dict.fromkeys(word for kind in kinds for word in _words(kind)))
            raise UsageError(f"{where}: {key} is {wanted}; got {value!r}")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value, as TOML gives it, is of an annotated type; a whole number is a number, and a list a tuple."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        return any(_fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if origin in {tuple, list, Sequence}:
        return isinstance(value, list | tuple) and all(_fits(item, inner[0]) for item in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(item, inner[1]) for item in value.values())
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind in {bool, Any}
    accepted = {float: (float, int), Path: (Path, str), type(None): (type(None),)}
    return kind is Any or isinstance(value, accepted.get(kind, kind))


def _words(kind: Any) -> list[str]:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        return [word for one in inner for word in _words(one)]
    if origin is typing.Literal:
        return [repr(value) for value in inner]
    if origin in {tuple, list, Sequence}:
        return [f"a list, each {' or '.join(_words(inner[0]))}"]
    if origin is Mapping:
        return ["a table"]
    return [] if kind is type(None) else [_WORDS.get(kind, str(kind))]


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
