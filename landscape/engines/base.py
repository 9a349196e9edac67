"""The contract between what is computed and where: a task is opened once per worker, then given items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from landscape.registry import Registry

Item = TypeVar("Item")
Result = TypeVar("Result")


class Task(Protocol[Item, Result]):  # type: ignore[misc]
    """Work that needs preparation: a network on its device, data in memory."""

    def open(self) -> AbstractContextManager[Callable[[Item], Result]]:
        """Prepare once and lend out the function that does one item."""
        ...


class Engine(Protocol):
    """Where items are done."""

    def run(self, task: Task[Item, Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Yield every item with its result as results arrive, in any order, each once.

        ``items`` is read as workers become free, so it may be a generator that looks at earlier results.
        """
        ...


ENGINES: Registry[Callable[[], Any]] = Registry("engine", group="landscape.engines")
