"""Where blocks of cells and runs are executed."""

import inspect

from landscape.engines import processes as _processes  # noqa: F401 - registers itself
from landscape.engines.base import ENGINES, Engine, EngineError, Task
from landscape.engines.cores import usable_cores
from landscape.engines.serial import SerialEngine
from landscape.errors import UsageError


def get(name: str) -> Engine:
    """Make the engine of a name.

    Args:
        name: A registered engine, for instance ``serial``. What an engine can be told follows a colon: ``processes``
            has as many workers as there are cores, ``processes:4`` has four.

    Returns:
        The engine.

    Raises:
        UnknownNameError: There is no such engine.
        UsageError: The engine does not take what follows the colon.
    """
    known, colon, option = name.partition(":")
    factory = ENGINES.get(known)
    if colon and not inspect.signature(factory).parameters:
        raise UsageError(f"engine {known!r} takes nothing behind a colon; got {name!r}, write {known!r}")
    engine: Engine = factory(option) if colon else factory()
    return engine


__all__ = ["ENGINES", "Engine", "EngineError", "SerialEngine", "Task", "get", "usable_cores"]
