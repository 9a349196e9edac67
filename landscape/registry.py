"""Names to factories: what ships with the package, what entry points add, and ``package.module:factory``.

A registry answers an unknown name with the names it has and the closest of them.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Generic, TypeVar

from landscape.errors import UnknownNameError, UsageError

Item = TypeVar("Item")


class Registry(Generic[Item]):
    """A table of named items that other distributions can extend through an entry-point group.

    Args:
        noun: What an item is called in messages, for instance ``"model"``.
        group: Entry-point group, for instance ``"landscape.models"``.
    """

    def __init__(self, noun: str, *, group: str) -> None:
        self._noun = noun
        self._group = group
        self._items: dict[str, Item] = {}
        self._extended = False

    def add(self, name: str, item: Item) -> None:
        """Add an item; a name is given once.

        Args:
            name: The name that users type.
            item: What it stands for.

        Raises:
            UsageError: The name is taken.
        """
        if name in self._items:
            raise UsageError(f"a {self._noun} named {name!r} is registered already; choose another name")
        self._items[name] = item

    def register(self, name: str) -> Callable[[Item], Item]:
        """Return a decorator that adds what it decorates under ``name``."""

        def decorate(item: Item) -> Item:
            self.add(name, item)
            return item

        return decorate

    def names(self) -> list[str]:
        """Return all names, in the order of registration."""
        self._extend()
        return list(self._items)

    def get(self, name: str) -> Item:
        """Look a name up.

        Args:
            name: A registered name.

        Returns:
            The item registered under it.

        Raises:
            UnknownNameError: No item has it; the message lists the names and the closest one.
        """
        if name not in self._items:  # what is here already does not wait for what others add
            self._extend()
        if name not in self._items:
            raise UnknownNameError(unknown(self._noun, name, self._items))
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._items:
            self._extend()
        return name in self._items

    def __iter__(self) -> Iterator[tuple[str, Item]]:
        self._extend()
        return iter(self._items.items())

    def _extend(self) -> None:
        if self._extended:
            return
        for point in entry_points(group=self._group):
            if point.name not in self._items:
                self._items[point.name] = self._loaded(point)
        self._extended = True

    def _loaded(self, point: EntryPoint) -> Item:
        try:
            item: Item = point.load()
        except Exception as error:  # another distribution's code: it may fail in any way
            raise UsageError(
                f"the {self._noun} {point.name!r} that an installed distribution adds cannot be loaded from "
                f"{point.value}: {error}. Repair or uninstall that distribution."
            ) from error
        return item


def unknown(noun: str, name: str, known: Iterator[str] | dict[str, Item] | list[str]) -> str:
    """Word the message for an unknown name.

    Args:
        noun: What the name should have named.
        name: What was typed.
        known: The names there are.

    Returns:
        One sentence or two: the name, the closest known one, all of them.
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"there is no {noun} named {name!r}.{hint} Known: {', '.join(names)}."


def import_object(path: str) -> object:
    """Import ``package.module:name``, with the working directory on the path as ``python -m`` has it.

    Args:
        path: Module and attribute, joined by a colon.

    Returns:
        The attribute.

    Raises:
        UsageError: The text has another form, the module fails or does not exist, or the attribute does not.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise UsageError(f"{path!r} names no object: write package.module:factory")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(f"cannot import {module_name!r} for {path!r}: {error}") from error
    except Exception as error:  # the user's module may fail in any way
        raise UsageError(
            f"importing {module_name!r} for {path!r} failed: {type(error).__name__}: {error}. Import it in Python to "
            "see where."
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise UsageError(f"{module_name!r} has no {attribute!r}: {path!r} names no object") from error
