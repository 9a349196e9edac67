"""One copy of a task for all workers: a file.

Tensors are written once and mapped by every worker, so their memory is shared until a worker writes into it, and then
only that page is its own. ``torch.multiprocessing`` would share them too, but it moves the caller's own tensors into
shared memory, which cuts them off from NumPy arrays on the same storage, lets workers write into them, takes a file
descriptor for each, and needs a /dev/shm that containers keep small.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import IO, Any

from landscape.engines.base import EngineError
from landscape.errors import UsageError

PROTOCOL = pickle.HIGHEST_PROTOCOL
REMEDY = "Functions and classes must stand by name in a module that can be imported; or use engine 'serial'."
_ZIP = b"PK"  # how torch's files begin, and a pickle never does


def pack(task: Any, path: Path) -> None:
    """Write a task.

    Args:
        task: Anything that can be pickled.
        path: The file to write.

    Raises:
        UsageError: Something in the task cannot be pickled. The message names it.
        EngineError: There is no room for the file.
    """
    try:
        with path.open("wb") as file:
            _dump(task, file)
    except Exception as error:  # pickling runs the code of the objects, which may fail in any way
        reason = error.__context__ if isinstance(error, RuntimeError) else error  # torch writes over an OSError
        if isinstance(reason, OSError):
            raise EngineError(
                f"cannot write the task for the workers into {path.parent}: {reason.strerror or reason}. Make room, or "
                "let the environment variable TMPDIR name another folder."
            ) from error
        raise UsageError(f"the task cannot be handed to other processes: {explained(error)}. {REMEDY}") from error


def unpack(path: Path) -> Any:
    """Read a task; tensors stay in the file until they are used.

    Args:
        path: What ``pack`` wrote.

    Returns:
        The task.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            file.seek(0)
            return pickle.load(file)
    import torch

    return torch.load(path, mmap=True, weights_only=False)  # our own file, in a folder that only this user can write


def explained(error: BaseException) -> str:
    """Return what an error says, with the notes in which Python 3.14 names the way to the culprit."""
    return "; ".join([f"{error}".rstrip(".") or type(error).__name__, *getattr(error, "__notes__", [])])


def _dump(task: Any, file: IO[bytes]) -> None:
    if "torch" not in sys.modules:
        pickle.dump(task, file, PROTOCOL)
        return
    try:
        _WithoutTensors(file, PROTOCOL).dump(task)  # workers that need no torch do not wait for its import
    except _TensorFound:
        import torch

        file.seek(0)
        file.truncate()
        torch.save(task, file, pickle_protocol=PROTOCOL)


class _TensorFound(Exception):  # noqa: N818 - it reports, it is no error
    pass


class _WithoutTensors(pickle.Pickler):
    def persistent_id(self, obj: Any) -> None:
        torch = sys.modules["torch"]
        if isinstance(obj, (torch.Tensor, torch.UntypedStorage, torch.TypedStorage)):
            raise _TensorFound
