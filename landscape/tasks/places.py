"""Places to write to, looked at before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path

from landscape.errors import StorageError


def check_writable(out: Path) -> None:
    """Look whether a folder can be made and written to, for the first file is written after a whole epoch.

    Args:
        out: The folder.

    Raises:
        StorageError: It cannot.
    """
    there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        reason = "is not writable" if there.is_dir() else "is a file"
        raise StorageError(
            f"cannot write to the folder {out}: {there} {reason}. Nothing was trained. Choose a folder that can be "
            "written to (--out)."
        )
