"""What surrounds the start of a worker process: signals, environment and main program as it shall meet them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform != "win32":
    from multiprocessing import resource_tracker


@contextmanager
def starting() -> Iterator[None]:
    """Start worker processes in the body; whatever is changed for them is put back."""
    with _interrupts_held(), _passive_threads(), _main_importable():
        yield


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C until the body is done; workers inherit that it is held and so never see it."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # multiprocessing starts it with the first worker, and would let Ctrl-C through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _passive_threads() -> Iterator[None]:
    """Let threads of workers sleep while they wait: workers share the cores. Read when PyTorch loads."""
    given = "OMP_WAIT_POLICY" in os.environ
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        yield
    finally:
        if not given:
            os.environ.pop("OMP_WAIT_POLICY", None)


@contextmanager
def _main_importable() -> Iterator[None]:
    """Hide the file of a program read from standard input: workers would look for ``<stdin>`` to import it."""
    program = sys.modules["__main__"]
    file = getattr(program, "__file__", None)
    if file is None or not file.startswith("<"):
        yield
        return
    del program.__file__
    try:
        yield
    finally:
        program.__file__ = file
