"""Worker processes on this machine, one per core, each given one item at a time.

``spawn`` starts them: a fork would copy locks that threads of PyTorch hold. The task travels once, as a file; see
``parcel``. A worker that is done is given the next item at once, so fast and slow ones balance, and what a crash can
lose is one item per worker.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from landscape.engines import worker as inside
from landscape.engines.base import ENGINES, STARVED, Enduring, EngineError, Item, Result, Task
from landscape.engines.cores import usable_cores
from landscape.engines.parcel import PROTOCOL, REMEDY, explained, pack
from landscape.engines.starting import starting
from landscape.errors import UsageError

_IDLE = object()
_END = object()


@ENGINES.register("processes")
def processes(workers: str | None = None) -> ProcessEngine:
    """Make the engine from what follows its name.

    Args:
        workers: Number of workers, in digits; None for one per usable core.

    Returns:
        The engine.

    Raises:
        UsageError: It is no number above zero.
    """
    if workers is not None and not (workers.isascii() and workers.isdecimal() and int(workers) > 0):
        raise UsageError(
            f"engine 'processes' cannot have {workers!r} workers; write processes, for one per core, or a number of "
            "them as in processes:4"
        )
    return ProcessEngine(None if workers is None else int(workers))


class ProcessEngine:
    """Runs items in worker processes, as many at a time as there are workers.

    Workers are started as items come, so there are never more of them than items. Task, items and results are pickled.

    Args:
        workers: Number of workers; None for one per core that this process may use.

    Raises:
        UsageError: Fewer than one worker, or this process may start none.
    """

    def __init__(self, workers: int | None = None) -> None:
        inside.refuse_inside()
        if workers is not None and workers < 1:
            raise UsageError(f"at least one worker is needed; got {workers}")
        self.workers = usable_cores() if workers is None else workers

    def run(self, task: Task[Item, Result], items: Iterable[Item | None]) -> Iterator[tuple[Item, Result]]:
        """Yield every item with its result as results arrive.

        Args:
            task: Pickled once, opened once by every worker.
            items: Read one at a time, as workers become free; None waits for a result.

        Yields:
            Item, the very object that was read, and result.
        """
        with tempfile.TemporaryDirectory(prefix="landscape-", ignore_cleanup_errors=True) as folder:
            crew = _Crew(self.workers, task, Path(folder) / "task")
            try:
                yield from crew.results(items)
                crew.dismiss()
            finally:
                crew.stop()


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    item: Any = _IDLE
    loaded: bool = False
    closed: bool = False


class _Crew:
    """The workers of one run."""

    def __init__(self, size: int, task: Any, parcel: Path) -> None:
        self._size, self._task, self._parcel = size, task, parcel
        self._workers: list[_Worker] = []
        self._begun = 0
        pack(task, parcel)

    def results(self, items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Hand items out and yield what comes back, until both ends are empty."""
        queue = iter(items)
        more = self._hand_out(queue)
        while self._outstanding():
            arrived, failure = self._arrived()
            for worker, result in arrived:
                item, worker.item = worker.item, _IDLE
                yield item, result
                more = more and failure is None and self._hand_out(queue)
            if failure is not None:
                raise failure

    def dismiss(self) -> None:
        """Let all close the task, and wait: what they say then still counts."""
        for worker in self._workers:
            with suppress(OSError):  # gone already, which is told below
                worker.connection.send_bytes(inside.STOP)
        for worker in self._workers:
            kind, value = self._message(worker)
            if kind in ("error", "lost"):
                raise value
            worker.closed = True

    def stop(self) -> None:
        """End all workers, whatever they do, and wait until they are gone."""
        for worker in self._workers:
            if not worker.closed:
                worker.process.terminate()
        deadline = time.monotonic() + inside.PATIENCE
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()

    def _outstanding(self) -> bool:
        return any(worker.item is not _IDLE for worker in self._workers)

    def _hand_out(self, queue: Iterator[Any]) -> bool:
        """Give items to all that are free; return whether there may be more items."""
        while True:
            free = next((worker for worker in self._workers if worker.item is _IDLE), None)
            if free is None and len(self._workers) == self._size:
                return True
            item = next(queue, _END)
            if item is _END:
                return False
            if item is None:
                if not self._outstanding():
                    raise RuntimeError(STARVED)
                return True
            self._give(free or self._started(), item)

    def _give(self, worker: _Worker, item: Any) -> None:
        try:
            request = pickle.dumps(item, PROTOCOL)
        except Exception as error:
            raise UsageError(f"an item cannot be handed to a worker: {explained(error)}. {REMEDY}") from error
        worker.item = item
        with suppress(OSError):  # the worker is gone: its connection tells next
            worker.connection.send_bytes(request)

    def _started(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        self._begun += 1
        if not self._parcel.exists():  # all had loaded it, and one of them is gone
            pack(self._task, self._parcel)
        ours, theirs = context.Pipe()
        process = context.Process(
            target=inside.main,
            args=(theirs, inside.Place.here(self._parcel)),
            name=f"{inside.NAME}-{self._begun}",
            daemon=True,  # also ends where the generator was never closed
        )
        worker = _Worker(process, ours)
        with starting():
            try:
                process.start()
            except OSError as error:
                raise EngineError(f"cannot start worker {self._begun}: {error}. Ask for fewer.") from error
            self._workers.append(worker)
        theirs.close()
        return worker

    def _arrived(self) -> tuple[list[tuple[_Worker, Any]], BaseException | None]:
        """Wait until something arrives; return the results, and the first failure among them."""
        workers: dict[Any, _Worker] = {worker.connection: worker for worker in self._workers}
        results, failure = [], None
        for ready in wait(list(workers)):
            worker = workers[ready]
            kind, value = self._message(worker)
            if kind == "result":
                results.append((worker, value))
            elif kind == "lost" and worker.loaded and isinstance(self._task, Enduring):
                self._workers.remove(worker)
                worker.connection.close()
                results += [] if worker.item is _IDLE else [(worker, self._task.lost(worker.item, value))]
            elif kind in ("error", "lost"):
                failure = value if failure is None else failure
            elif kind == "loaded":
                worker.loaded = True
                self._tidy()
        return results, failure

    def _message(self, worker: _Worker) -> tuple[str, Any]:
        try:
            message = worker.connection.recv_bytes()
        except (EOFError, OSError):
            return "lost", _loss(worker)
        kind, value = pickle.loads(message)
        if kind == "error":
            value, said = value
            value.__cause__ = _InWorkerError(f'\n"""\n{said}"""')
        return kind, value

    def _tidy(self) -> None:
        """Remove the file once nobody will open it again: then no crash can leave it behind."""
        if len(self._workers) == self._size and all(worker.loaded for worker in self._workers):
            with suppress(OSError):  # Windows keeps what is mapped
                self._parcel.unlink()


class _InWorkerError(Exception):
    """Shows, as the cause of an error, where in the worker it arose."""


def _loss(worker: _Worker) -> EngineError | UsageError:
    """Word why a worker is gone."""
    worker.process.join(inside.PATIENCE)
    code, name = worker.process.exitcode, worker.process.name
    if code == inside.UNGUARDED:
        return UsageError(
            "the program starts workers as soon as it is imported, and every worker imports it. Put what it does below "
            "`if __name__ == '__main__':`, or use engine 'serial'."
        )
    when = "while it worked" if worker.loaded else "before it could begin"
    if code is not None and code < 0:
        hint = " The system does so when memory runs out: processes:N has fewer workers." if code == -9 else ""
        return EngineError(f"{name} was killed by signal {-code} ({signal.strsignal(-code)}) {when}.{hint}")
    return EngineError(f"{name} ended with exit code {code} {when}. What it wrote on the terminal may say why.")
