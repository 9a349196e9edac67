"""The engine that needs nothing: items one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from landscape.engines.base import ENGINES, STARVED, Item, Result, Task


@ENGINES.register("serial")
class SerialEngine:
    """Runs items in the order given."""

    workers = 1

    def run(self, task: Task[Item, Result], items: Iterable[Item | None]) -> Iterator[tuple[Item, Result]]:
        """Yield every item with its result.

        Args:
            task: Opened once, closed when the last item is done or the caller stops reading.
            items: Read one at a time, each after the result of the one before was taken.

        Yields:
            Item and result.

        Raises:
            RuntimeError: An item is None: there is never a result to wait for.
        """
        with task.open() as work:
            for item in items:
                if item is None:
                    raise RuntimeError(STARVED)
                yield item, work(item)
