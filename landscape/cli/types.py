"""Option values that click has no type for."""

from __future__ import annotations

from typing import Any

import click


class CommaList(click.ParamType):  # type: ignore[type-arg]
    """Values separated by commas, each of one type.

    Args:
        item: Type of a value.
        distinct: Whether no value may be there twice.
    """

    name = "list"

    def __init__(self, item: click.ParamType, *, distinct: bool = False) -> None:  # type: ignore[type-arg]
        self._item, self._distinct = item, distinct
        self.name = f"{item.name},..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Split and convert."""
        if isinstance(value, tuple):
            return value
        pieces = [piece.strip() for piece in str(value).split(",")]
        if not all(pieces):
            self.fail(f"{value!r} has an empty place; write values separated by single commas", param, ctx)
        found = tuple(self._item.convert(piece, param, ctx) for piece in pieces)
        twice = [piece for k, piece in enumerate(pieces) if found[k] in found[:k]]
        if self._distinct and twice:
            self.fail(f"{value!r} holds {twice[0]} twice; give at least one value and none twice", param, ctx)
        return found


class Positive(click.ParamType):  # type: ignore[type-arg]
    """A finite number above zero."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number; write for instance 1e-3 or 0.5", param, ctx)
        if not 0 < number < float("inf"):
            self.fail(f"{value} is not a finite number above zero", param, ctx)
        return number


class Radius(Positive):
    """A finite number above zero, or ``auto``."""

    name = "number|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number, or the word."""
        return value if value == "auto" else super().convert(value, param, ctx)


class KeyValue(click.ParamType):  # type: ignore[type-arg]
    """``KEY=VALUE``; the value is read as a number or a truth value where it is one."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Split and read."""
        if isinstance(value, tuple):
            return value
        key, separator, text = str(value).partition("=")
        if not separator or not key:
            self.fail(f"{value!r} is not of the form KEY=VALUE", param, ctx)
        return key, _read(text)


class GridValues(click.ParamType):  # type: ignore[type-arg]
    """``KEY=VALUE,VALUE``: the values of a key of a grid; numbers and truth values are read as such."""

    name = "KEY=VALUE,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, list[Any]]:
        """Split and read."""
        if isinstance(value, tuple):
            return value
        key, separator, text = str(value).partition("=")
        pieces = [piece.strip() for piece in text.split(",")]
        if not separator or not key or not all(pieces):
            self.fail(f"{value!r} is not of the form KEY=VALUE,VALUE, as batch_size=64,128", param, ctx)
        return key, [_read(piece) for piece in pieces]


class Settings(click.ParamType):  # type: ignore[type-arg]
    """``KEY=VALUE,KEY=VALUE``, or the word ``base`` for none."""

    name = "KEY=VALUE,...|base"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Split and read."""
        if isinstance(value, dict):
            return value
        if value == "base":
            return {}
        return dict(KeyValue().convert(piece.strip(), param, ctx) for piece in str(value).split(","))


class Part(click.ParamType):  # type: ignore[type-arg]
    """``i/n``: part i of n."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Read both numbers."""
        if isinstance(value, tuple):
            return value
        part, _, parts = str(value).partition("/")
        if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
            self.fail(f"{value!r} is not of the form i/n with i from 1 to n, as 2/4", param, ctx)
        return int(part), int(parts)


def _read(text: str) -> Any:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class Layer(click.ParamType):  # type: ignore[type-arg]
    """A layer: its position, counted from 1, or its name."""

    name = "layer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Read the position, or the name."""
        if isinstance(value, int):
            return value
        text = str(value)
        if not text.lstrip("-").isdigit():
            return text
        if int(text) < 1:
            self.fail(f"{text} is not a position; layers are counted from 1", param, ctx)
        return int(text)
