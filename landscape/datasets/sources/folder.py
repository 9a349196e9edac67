"""``folder:DIR``: image files in ``DIR/train/CLASS/`` and ``DIR/test/CLASS/``, the layout of ``ImageFolder``.

The classes are the folders below ``train``, in alphabetical order. Files are decoded when they are needed, so a small
limit with a given normalization reads few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from landscape.datasets.source import SOURCES, RawSplit, Request, Source, missing
from landscape.errors import DataError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
_DEEP = ("I", "F")  # Pillow's modes of more than 8 bits begin so

Out = TypeVar("Out")


def _open(request: Request) -> RawSplit:
    root = Path(request.argument).expanduser()
    classes = _class_folders(root / "train") if (root / "train").is_dir() else _class_folders(root / request.split)
    here = _class_folders(root / request.split)
    if not here:
        lacking = f"there is no folder {root / request.split} with one folder for each class"
        raise DataError(missing(request, lacking))
    strangers = sorted(set(here) - set(classes))
    if strangers:
        raise DataError(f"{root / request.split} has classes that {root / 'train'} lacks: {', '.join(strangers)}")
    files = [(path, classes.index(name)) for name in here for path in _image_files(root / request.split / name)]
    if not files:
        raise DataError(missing(request, f"the folders below {root / request.split} hold no image file"))
    paths = [path for path, _ in files]
    size, mode = _common_form(paths, request)
    targets = torch.tensor([index for _, index in files])
    return RawSplit(targets, tuple(classes), lambda rows: _read(paths, rows, size, mode))


def _class_folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)


def _common_form(paths: Sequence[Path], request: Request) -> tuple[tuple[int, int] | None, str]:
    # The size that files are brought to while reading, None where they share one; and the mode for all.
    forms = _each(_form, paths)
    modes = {mode for _, mode in forms}
    deep = next((path for path, (_, mode) in zip(paths, forms, strict=True) if mode.startswith(_DEEP)), None)
    if deep is not None:
        raise DataError(f"{deep} has more than 8 bits per channel: store images with 8")
    sizes = {size for size, _ in forms}
    if len(sizes) > 1 and request.image_size is None:
        (w0, h0), (w1, h1) = sorted(sizes)[0], sorted(sizes)[-1]
        raise DataError(
            f"images of {request.name!r} ({request.split}) differ in size, from {w0} x {h0} to {w1} x {h1}: "
            "pass an image size (--image-size N), and they are brought to it"
        )
    common = None if len(sizes) == 1 or request.image_size is None else (request.image_size,) * 2
    return common, "L" if modes <= {"L", "1"} else "RGB"


def _read(paths: Sequence[Path], rows: Tensor | slice, size: tuple[int, int] | None, mode: str) -> Tensor:
    chosen = paths[rows] if isinstance(rows, slice) else [paths[row] for row in rows.tolist()]

    def pixels(path: Path) -> Tensor:
        with Image.open(path) as image:
            converted = image.convert(mode)
        if size is not None:
            converted = converted.resize(size, Image.Resampling.BILINEAR)  # antialiased, as the transform is
        array = np.array(converted)
        return torch.from_numpy(array[None] if mode == "L" else np.ascontiguousarray(array.transpose(2, 0, 1)))

    return torch.stack(_each(pixels, chosen))


def _form(path: Path) -> tuple[tuple[int, int], str]:
    with Image.open(path) as image:  # reads the header only
        return image.size, image.mode


def _each(function: Callable[[Path], Out], paths: Iterable[Path]) -> list[Out]:
    def named(path: Path) -> Out:
        try:
            return function(path)
        except (OSError, SyntaxError, UnidentifiedImageError) as error:
            raise DataError(f"cannot read {path} as an image: {error}. Repair or remove it") from error

    with ThreadPoolExecutor() as pool:  # Pillow decodes without the interpreter's lock
        return list(pool.map(named, paths))


SOURCES.add("folder", Source(_open, argument="DIR"))
