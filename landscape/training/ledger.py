"""How far many runs are, and what that says of the time left, wherever they are trained."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from landscape.progress import Progress, Report

_PERIOD = 0.5  # seconds between two notes of a run, and between two looks at them


@dataclass
class Ledger:
    """Steps of all runs. The time left follows from the time that work took so far, weighted by the cost of a step.

    Args:
        report: Told of the whole.
        whole: Steps of every run.
        done: Steps made of every run.
        cost: Estimated seconds of a step of every run.
        workers: How many runs are trained at a time.
    """

    report: Report
    whole: Sequence[int]
    done: list[int]
    cost: Sequence[float]
    workers: int = 1
    _begun: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        """Remember what is left."""
        self._ahead = self._left()

    def _left(self) -> float:
        triples = zip(self.whole, self.done, self.cost, strict=True)
        return sum((whole - done) * cost for whole, done, cost in triples)

    def estimate(self) -> None:
        """Report what is ahead, before the work begins."""
        seconds = self._ahead / self.workers
        self.report(Progress(sum(self.done), sum(self.whole), "step", seconds, "timed a few steps", estimate=True))
        self._begun = time.perf_counter()

    def tell(self, number: int, done: int, detail: str) -> None:
        """Take in how far a run is, and report the whole where that is news.

        Args:
            number: The run.
            done: Its steps.
            detail: What is said of it.
        """
        if done <= self.done[number]:
            return
        self.done[number] = done
        left = self._left()
        made = self._ahead - left
        pace = (time.perf_counter() - self._begun) / made if made > 0 else 1 / self.workers
        self.report(Progress(sum(self.done), sum(self.whole), "step", left * pace, detail))

    def reporter(self, number: int) -> Report:
        """Return what a run in this process reports to."""
        return lambda p: self.tell(number, p.done, p.detail)


@dataclass
class Notes:
    """How far each run is, as small files: workers write them, the process that started them reads them.

    Args:
        folder: Where they are.
    """

    folder: Path

    def reporter(self, number: int) -> Report:
        """Return what a run in any process reports to."""
        return _Note(self.folder / f"{number}.json")

    @contextmanager
    def watched(self, ledger: Ledger) -> Iterator[None]:
        """Carry the notes into a ledger while others work.

        Args:
            ledger: The ledger; it reports from a thread.

        Yields:
            Nothing.
        """
        over, failure = threading.Event(), []

        def watch() -> None:
            while not over.wait(_PERIOD):
                try:
                    self._carry(ledger)
                except BaseException as error:  # the caller's report raised: told where the caller can see it
                    failure.append(error)
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        if failure:
            raise failure[0]

    def _carry(self, ledger: Ledger) -> None:
        for path in self.folder.glob("*.json"):
            with suppress(OSError, ValueError):
                done, detail = json.loads(path.read_text(encoding="utf-8"))
                ledger.tell(int(path.stem), done, detail)


@dataclass
class _Note:
    """Writes down how far a run is. A note that cannot be written is missing, and stops nothing."""

    path: Path
    _last: float = -_PERIOD

    def __call__(self, p: Progress) -> None:
        now = time.monotonic()
        if now - self._last < _PERIOD:
            return
        self._last = now
        partial = self.path.with_suffix(".partial")
        with suppress(OSError):
            partial.write_text(json.dumps([p.done, p.detail]), encoding="utf-8")
            partial.replace(self.path)


@contextmanager
def listening(ledger: Ledger, *, inside: bool) -> Iterator[Callable[[int], Report]]:
    """Hand out what makes the runs' reporters.

    Args:
        ledger: The ledger of all runs.
        inside: Whether they are trained in this process, where reporters are called; others leave notes.

    Yields:
        What makes a reporter of a run's number.
    """
    if inside:
        yield ledger.reporter
        return
    with tempfile.TemporaryDirectory(prefix="landscape-", ignore_cleanup_errors=True) as folder:
        notes = Notes(Path(folder))
        with notes.watched(ledger):
            yield notes.reporter
