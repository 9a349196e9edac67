"""Tasks for worker processes: found by name on their path, free of torch, noting what happens in a file.

A note is a line of a file, since counters of a worker's copy of a task are not seen by a test.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Log:
    """Words and process numbers, one pair a line."""

    path: Path

    def note(self, word):
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, f"{word} {os.getpid()}\n".encode())
        os.close(handle)

    def count(self, word):
        return self.words().count(word)

    def all_closed(self):
        """Whether what was opened was closed; a worker may be ended just before it notes that it opened."""
        return self.count("opened") <= self.count("closed")

    def words(self):
        return [line.split()[0] for line in self._lines()]

    def workers(self):
        return {int(line.split()[1]) for line in self._lines()}

    def wait_for(self, word, count=1, seconds=30.0):
        limit = time.monotonic() + seconds
        while self.count(word) < count:
            assert time.monotonic() < limit, f"no {count} x {word!r} after {seconds} s: {self.words()}"
            time.sleep(0.01)

    def _lines(self):
        return self.path.read_text().splitlines() if self.path.exists() else []


@dataclass(frozen=True)
class Errand:
    """Squares numbers. ``fail`` names where it fails instead: ``open``, ``close``, or an item."""

    log: Log
    fail: object = None
    error: type = ArithmeticError

    @contextmanager
    def open(self):
        if self.fail == "open":
            raise self.error("open")
        try:
            self.log.note("opened")
            yield self.work
        finally:
            self.log.note("closed")
        if self.fail == "close":
            raise self.error("close")

    def work(self, item):
        if item == self.fail:
            raise self.error(str(item))
        self.log.note(f"did-{item}")
        return item**2


class Doing(Errand):
    """Does what an item, a tuple of a verb and its object, says."""

    def work(self, item):
        verb, what = item
        return getattr(self, verb)(what)

    def say(self, what):
        self.log.note(what)
        return what

    def hear(self, what):
        """Wait until another worker has said it."""
        self.log.wait_for(what)

    def sleep(self, seconds):
        self.log.note("slept")
        time.sleep(seconds)

    def resist(self, seconds):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.sleep(seconds)

    def die(self, number):
        os.kill(os.getpid(), number) if number > 0 else os._exit(-number)

    def throw(self, error):
        raise error

    def ask(self, name):
        return {
            "cwd": str(Path.cwd()),
            "torch": "torch" in sys.modules,
            "wait policy": os.environ.get("OMP_WAIT_POLICY"),
            "interrupt": signal.getsignal(signal.SIGINT),
        }[name]

    def get_engine(self, name):
        from landscape import engines

        return engines.get(name)

    def function(self, name):
        return lambda: name


class Enduring(Doing):
    """Goes on without a worker."""

    def lost(self, item, error):
        return f"{item[0]} was lost: {error}"


class Inconvenient(Exception):  # noqa: N818
    """Cannot be made again from its message, as unpickling tries."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def two_things(_):
    raise Inconvenient(1, 2)


def alive(number):
    """Whether a process is there and does something."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(numbers, seconds=20.0):
    limit = time.monotonic() + seconds
    while any(map(alive, numbers)):
        assert time.monotonic() < limit, f"still there after {seconds} s: {[n for n in numbers if alive(n)]}"
        time.sleep(0.02)
