"""The contract between what is computed and where: a task is opened once per worker, then given items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, runtime_checkable

from landscape.errors import LandscapeError
from landscape.registry import Registry

Item = TypeVar("Item")
Result = TypeVar("Result")


class EngineError(LandscapeError):
    """A worker that was lost or could not begin, through no fault of the task that can be named."""


class Task(Protocol[Item, Result]):  # type: ignore[misc]
    """Work that needs preparation: a network on its device, data in memory.

    Engines that have workers in other processes pickle it, its items and its results.
    """

    def open(self) -> AbstractContextManager[Callable[[Item], Result]]:
        """Prepare once and lend out the function that does one item."""
        ...


@runtime_checkable
class Enduring(Protocol[Item, Result]):  # type: ignore[misc]
    """A task that goes on when a worker dies over an item, as when memory runs out: that item alone is lost."""

    def lost(self, item: Item, error: EngineError) -> Result:
        """Return what stands in the place of the result."""
        ...


class Engine(Protocol):
    """Where items are done."""

    workers: int
    """How many items are done at a time, at most: what threads and time left are divided by."""

    def run(self, task: Task[Item, Result], items: Iterable[Item | None]) -> Iterator[tuple[Item, Result]]:
        """Yield every item with its result as results arrive, in any order, each once.

        ``items`` is read one at a time as workers become free, and a result is yielded before the next item is asked
        for. So it may be a generator that looks at earlier results. Where what to do next depends on results that
        are still being worked on, it yields ``None``: nothing to hand out until another result has arrived. The engine
        then waits for one, yields it and asks again.

        Every worker that gets an item opens the task once, and closes it when there are no more items, when the caller
        stops reading, or when something fails. Nothing is opened before the first result is asked for. The first
        error, of opening, of an item or of closing, is raised with its own type, after the results that had arrived;
        the other workers are stopped. A worker that dies is such an error, unless the task is ``Enduring``: then
        another one is started for the items that are left. The iterator is closed like a file: by exhausting it, or
        by ``close()``.

        Raises:
            RuntimeError: ``items`` yielded ``None`` while no result was being worked on: it would wait for ever.
        """
        ...


ENGINES: Registry[Callable[..., Any]] = Registry("engine", group="landscape.engines")
"""Name to factory. It is called without arguments, or with what a user wrote behind the name and a colon."""
STARVED = "items yielded None, to wait for a result, while no item was being worked on"
