"""Errors that a user can act on: what was asked, what was found, what to do.

Every error raised on purpose derives from ``LandscapeError``; the command line prints its message as one paragraph
and shows no traceback.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class LandscapeError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(LandscapeError, ValueError):
    """An argument cannot mean anything: a negative radius, an empty list, an unknown option."""


class UnknownNameError(UsageError):
    """A name that no registry knows."""


class LayoutError(LandscapeError, ValueError):
    """Tensors whose names or shapes do not fit each other."""


class ShapeError(LandscapeError, ValueError):
    """Inputs of a size that the network cannot take."""


class DataError(LandscapeError):
    """Images that are missing, damaged or of an unexpected form."""


class TooFewImagesError(DataError):
    """Fewer images than were asked for."""


class CheckpointError(LandscapeError):
    """A checkpoint that cannot be read, or whose network cannot be told."""


class ObjectiveError(LandscapeError):
    """A loss that cannot be measured as asked, for instance one that changes from call to call."""


class StorageError(LandscapeError):
    """A result file that cannot be read or written."""


class ResumeError(StorageError):
    """A stored result that comes from another recipe than the one asked for."""


class MissingExtraError(LandscapeError, ImportError):
    """An optional library that is not installed."""


def require(module: str, *, extra: str, purpose: str = "this") -> ModuleType:
    """Import an optional library at its first use.

    Args:
        module: Import name, for instance ``"ray"``.
        extra: The extra of the distribution that brings it.
        purpose: What it is needed for, as the subject of the message.

    Returns:
        The imported module.

    Raises:
        MissingExtraError: It is not installed. The message holds the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{purpose} needs {module}: pip install 'landscape-lab[{extra}]'") from error
