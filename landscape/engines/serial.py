"""The engine that needs nothing: items one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from landscape.engines.base import ENGINES, Item, Result, Task


@ENGINES.register("serial")
class SerialEngine:
    """Runs items in the order given."""

    def run(self, task: Task[Item, Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Yield every item with its result.

        Args:
            task: Opened once, closed when the last item is done or the caller stops reading.
            items: Read one at a time.

        Yields:
            Item and result.
        """
        with task.open() as work:
            for item in items:
                yield item, work(item)
