"""What the sources that read torchvision's archives share."""

from __future__ import annotations

from typing import Any

from landscape.datasets.source import Request, missing
from landscape.errors import DataError


def open_archive(kind: str, request: Request, layout: str) -> Any:
    """Open a data set of torchvision.

    Args:
        kind: Name of its class, for instance ``"CIFAR10"``.
        request: What is asked; the network is used only where it allows so.
        layout: Where its files lie below the root.

    Returns:
        The data set: ``data``, ``targets``, ``classes``.

    Raises:
        DataError: The files are missing, damaged, or could not be downloaded.
    """
    import torchvision  # slow, and needed by three sources only

    try:
        return getattr(torchvision.datasets, kind)(
            request.root, train=request.split == "train", download=request.download
        )
    except (RuntimeError, ValueError, AssertionError, EOFError, OSError) as error:
        place = request.root / layout
        if request.download:
            raise DataError(f"cannot download {request.name!r} into {place}: {error}") from error
        if not isinstance(error, (RuntimeError, FileNotFoundError)):
            raise DataError(f"cannot read {request.name!r} in {place}: {error}") from error
        remedy = f"--download to fetch them into {request.root}; --data-root DIR where DIR/{layout} exists; "
        # torchvision's RuntimeError says "not found or corrupted" for both.
        raise DataError(missing(request, f"{place} is not there, or is damaged", remedy)) from error
