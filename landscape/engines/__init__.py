"""Where blocks of cells and runs are executed."""

from landscape.engines import serial as _serial  # noqa: F401 - registers itself
from landscape.engines.base import ENGINES, Engine, Task


def get(name: str) -> Engine:
    """Make the engine of a name.

    Args:
        name: A registered engine, for instance ``serial``.

    Returns:
        The engine.
    """
    engine: Engine = ENGINES.get(name)()
    return engine


__all__ = ["ENGINES", "Engine", "Task", "get"]
