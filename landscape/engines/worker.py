"""What runs in a worker process. Nothing is imported here that an idle worker would wait for."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from landscape.engines.base import EngineError
from landscape.engines.parcel import PROTOCOL, REMEDY, explained, unpack
from landscape.errors import UsageError

NAME = "landscape-worker"
PATIENCE = 5.0  # seconds to close the task in, before the process is killed
UNGUARDED = 77  # exit code: the program starts workers while a worker imports it
STOP = b""  # the request that ends a worker; no pickle is empty
_begun = False


@dataclass(frozen=True)
class Place:
    """What a worker takes over from the process that started it.

    Args:
        folder: Working directory; multiprocessing would take the one at its own import.
        path: Where modules are looked for.
        parcel: File with the task, in a folder of its own.
    """

    folder: str
    path: tuple[str, ...]
    parcel: Path

    @classmethod
    def here(cls, parcel: Path) -> Place:
        """Describe this process."""
        folder = str(Path.cwd())
        return cls(folder, tuple(entry or folder for entry in sys.path), parcel)

    def enter(self) -> None:
        """Make this process like the one described."""
        os.chdir(self.folder)
        sys.path[:] = self.path


def refuse_inside() -> None:
    """Refuse to start workers where they cannot be started.

    Raises:
        UsageError: This is a worker, or another process that may have no children.
        SystemExit: This is a worker that is importing the main program; the message is left to the process that
            started it, which tells it once and not once per worker.
    """
    process = multiprocessing.current_process()
    if process.name.startswith(NAME) and not _begun:
        sys.exit(UNGUARDED)
    if process.daemon:
        raise UsageError(
            f"the process {process.name!r} is a worker and may start none itself; use engine 'serial' there"
        )


def main(connection: Connection, place: Place) -> None:
    """Do what comes through a connection until told to stop.

    Every message sent is a pair: ``loaded``, ``result``, ``closed`` or ``error``, and what belongs to it.

    Args:
        connection: To the process that started this one.
        place: What to take over from it.

    Raises:
        SystemExit: The task ended the process, or the other end is gone.
    """
    global _begun  # noqa: PLW0603 - a process begins once
    _begun = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    threading.Thread(target=_leave_with_parent, args=(place.parcel.parent,), daemon=True).start()
    try:
        place.enter()
        task = _load(place.parcel)
        _send(connection, "loaded", None)
        signal.signal(signal.SIGTERM, _leave)
        with task.open() as work:
            for item in _items(connection):
                _send(connection, "result", work(item))
        _send(connection, "closed", None)
    except SystemExit:
        raise
    except BaseException as error:
        _send(connection, "error", (portable(error), traceback.format_exc()))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to unwind; an exit handler would be interrupted
        gc.freeze()  # or the interpreter searches all of PyTorch for cycles on its way out, for half a second


def _load(parcel: Path) -> Any:
    try:
        return unpack(parcel)
    except (AttributeError, ImportError) as error:
        raise UsageError(f"a worker cannot load the task: {explained(error)}. {REMEDY}") from error


def _items(connection: Connection) -> Iterator[Any]:
    while True:
        try:
            request = connection.recv_bytes()
        except (EOFError, OSError):  # nobody is there to work for
            sys.exit(0)
        if request == STOP:
            return
        try:
            item = pickle.loads(request)
        except (AttributeError, ImportError) as error:
            raise UsageError(f"a worker cannot load an item: {explained(error)}. {REMEDY}") from error
        yield item


def _send(connection: Connection, kind: str, value: Any) -> None:
    """Send a message as plain bytes: a tensor in shared memory would be gone with this process."""
    try:
        message = pickle.dumps((kind, value), PROTOCOL)
    except Exception as error:
        raise UsageError(f"a {kind} cannot be handed back by a worker: {explained(error)}. {REMEDY}") from error
    try:
        connection.send_bytes(message)
    except OSError:
        sys.exit(0)


def portable(error: BaseException) -> BaseException:
    """Return the error if it survives pickling, else one that says the same."""
    try:
        if type(pickle.loads(pickle.dumps(error, PROTOCOL))) is type(error):
            return error
    except Exception:  # classes with arguments of their own cannot be made again from a message
        pass
    return EngineError(f"{type(error).__module__}.{type(error).__qualname__} in a worker: {error}")


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # asked once more, it would not get to the end of leaving
    sys.exit(128 + number)  # unwinds, so that the task is closed and unfinished files are removed


def _leave_with_parent(folder: Path) -> None:
    """Leave as soon as the process that started this one is gone, also in the middle of an item."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(1)
