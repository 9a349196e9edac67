"""``npz:FILE``: arrays ``x_train``, ``y_train``, ``x_test``, ``y_test`` as Keras stores them, maybe ``classes``.

``x`` holds uint8 pixels, (n, h, w) or (n, h, w, c) with 1 or 3 channels; ``y`` integer classes, (n,) or (n, 1).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from landscape.datasets.source import SOURCES, RawSplit, Request, Source, missing
from landscape.errors import DataError

Arrays = Mapping[str, NDArray[Any]]


def read_npz(path: Path, request: Request) -> RawSplit:
    """Read one split of a file of arrays; nothing in the file is executed.

    Args:
        path: The file.
        request: Which split.

    Returns:
        The split.

    Raises:
        DataError: The file is missing or damaged, or an array is missing or of another form.
    """
    if not path.is_file():
        raise DataError(missing(request, f"there is no file {path}"))
    try:
        arrays = np.load(path, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise DataError(f"{path} holds a single array. Store several with numpy.savez: {_WANTED}")
        with arrays:
            return _split(arrays, request.split, path.name)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"cannot read {path} as a file of arrays (numpy.savez): {error}") from error


_WANTED = "x_train, y_train, x_test, y_test, and optionally classes"


def _split(arrays: Arrays, split: str, file: str) -> RawSplit:
    lacking = [key for key in (f"x_{split}", f"y_{split}") if key not in arrays]
    if lacking:
        raise DataError(
            f"{file} lacks {' and '.join(lacking)}; it holds {', '.join(arrays) or 'nothing'}. It needs {_WANTED}"
        )
    images = _pixels(arrays[f"x_{split}"], f"x_{split} of {file}")
    targets = _labels(arrays[f"y_{split}"], f"y_{split} of {file}")
    if len(images) != len(targets):
        raise DataError(f"{file} holds {len(images)} images in x_{split}, but {len(targets)} labels in y_{split}")
    return RawSplit.of(images, targets, _classes(arrays, file))


def _pixels(x: NDArray[Any], what: str) -> torch.Tensor:
    if x.dtype != np.uint8:
        spread = f" from {x.min():g} to {x.max():g}" if x.size and np.issubdtype(x.dtype, np.number) else ""
        hint = " (for pixels in 0..1: (255 * x).round().astype('uint8'))" if np.issubdtype(x.dtype, np.floating) else ""
        raise DataError(f"{what} holds {x.dtype} values{spread}: store pixels as uint8, 0 to 255{hint}")
    if x.ndim == 3:
        return torch.from_numpy(x)[:, None]
    if x.ndim == 4 and x.shape[3] in (1, 3):
        return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()
    hint = ". Channels come last: x.transpose(0, 2, 3, 1)" if x.ndim == 4 and x.shape[1] in (1, 3) else ""
    raise DataError(f"{what} has shape {x.shape}; it must be (n, h, w) or (n, h, w, c) with 1 or 3 channels{hint}")


def _labels(y: NDArray[Any], what: str) -> torch.Tensor:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{what} has shape {y.shape} and type {y.dtype}; it must hold integers, (n,) or (n, 1)")
    return torch.from_numpy(y.astype(np.int64))


def _classes(arrays: Arrays, file: str) -> tuple[str, ...]:
    if "classes" in arrays:
        stored = arrays["classes"]
        if stored.ndim != 1 or stored.dtype.kind not in "US":
            raise DataError(
                f"classes of {file} has shape {stored.shape} and type {stored.dtype}; it must be a list of names"
            )
        return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in stored)
    # Without names: as many numbers as the labels of both splits need, so that train and test agree.
    highest = [int(arrays[key].max()) for key in ("y_train", "y_test") if key in arrays and arrays[key].size]
    return tuple(str(index) for index in range(max(highest, default=-1) + 1))


def _open(request: Request) -> RawSplit:
    return read_npz(Path(request.argument).expanduser(), request)


SOURCES.add("npz", Source(_open, argument="FILE"))
