"""Writing a file whole: a crash or a reader meets the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from landscape.errors import StorageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hand out a path beside ``path``; what is written there is synced and renamed over it on a clean exit.

    Folders are made as needed. When the body fails the file beside is removed and ``path`` is as it was.

    Args:
        path: The file to write or replace.

    Yields:
        The path to write to, in the same folder and so on the same file system.

    Raises:
        StorageError: The folder cannot be written to, or the disk is full.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise StorageError(f"cannot write {path}: it is a folder. Name a file (--out)")
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)  # the rename itself
    except OSError as error:
        _remove(partial)
        reason = error.strerror or str(error)
        raise StorageError(
            f"cannot write {path}: {reason}. What was there before is untouched. Make room or choose a place that can "
            "be written to (--out), and give the same command again to continue."
        ) from error
    except BaseException:
        _remove(partial)
        raise


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
