"""Load a data set by name."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import torch

from landscape.datasets import sources as _sources  # noqa: F401  (importing it registers them)
from landscape.datasets.array_dataset import ArrayDataset
from landscape.datasets.normalization import Statistics, parse_normalization, per_channel
from landscape.datasets.order import balanced_order
from landscape.datasets.source import SOURCES, RawSplit, Request, Source, Split
from landscape.datasets.statistics import train_statistics
from landscape.datasets.transform import Transform, to_channels
from landscape.errors import DataError, TooFewImagesError, UnknownNameError, UsageError
from landscape.registry import import_object, unknown


def names() -> list[str]:
    """List the data sets that ``load`` takes.

    Returns:
        Their names; a part in capitals stands for a path (``npz:FILE``).
    """
    known = [f"{name}:{source.argument}" if source.argument else name for name, source in SOURCES]
    return sorted(known, key=lambda name: (":" in name, name))


def load(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    split: str = "train",
    limit: int | None = None,
    seed: int = 0,
    normalization: str = "dataset",
    image_size: int | None = None,
    channels: int | None = None,
    download: bool = False,
) -> ArrayDataset:
    """Load labelled images.

    Args:
        name: One of ``names()``, or ``package.module:source`` for a ``Source`` of one's own.
        root: Folder of downloaded archives; None for ``$LANDSCAPE_DATA``, else ``./data``.
        split: ``"train"`` or ``"test"``; never augmented.
        limit: Take the first so many of one seeded, class-balanced shuffle, so that 128 lies within 512; None for all
            images in their stored order.
        seed: Seed of that shuffle.
        normalization: ``dataset`` (statistics of the whole train split whatever the split and limit), ``half``,
            ``none``, or means and standard deviations as ``M,M,M/S,S,S``.
        image_size: Height and width wanted; 28 becomes 32 by zero padding, other changes are bilinear. None keeps the
            images' own (``fashion_mnist_mini``: 32).
        channels: 3 repeats grey, 1 takes the luminance; None keeps the images' own (``fashion_mnist_mini``: 3).
        download: Whether the network may be used.

    Returns:
        The images, on the CPU.

    Raises:
        UsageError: An argument has no meaning: an unknown name, split or normalization, a limit below one.
        DataError: The images are missing or damaged.
        TooFewImagesError: There are fewer than the limit; a ``DataError`` too.
    """
    _check(split, limit=limit, image_size=image_size, channels=channels)
    given = parse_normalization(normalization)
    source, argument = _find(name)
    request = Request(name, cast(Split, split), _root(root), argument, download, image_size or source.image_size)
    raw = _open(source, request)
    if limit is not None and limit > len(raw.targets):
        raise TooFewImagesError(
            f"{limit} {split} images of {name!r} were asked for, but there are {len(raw.targets)}. Lower the limit"
        )
    order = slice(None) if limit is None else balanced_order(raw.targets, seed)[:limit]
    images = raw.read(order)
    transform = _transform(images[:1], given, source=source, request=request, raw=raw, channels=channels)
    public = _public_name(name, source)
    return ArrayDataset(
        images, raw.targets[order], raw.classes, public, split, transform, normalization, limit=limit, seed=seed
    )


def _check(split: str, **counts: int | None) -> None:
    if split not in get_args(Split):
        raise UsageError(f"there is no split {split!r}: use train or test")
    for name, value in counts.items():
        if value is not None and value < 1:
            raise UsageError(f"{name}={value} has no meaning: give a positive number, or leave it out")


def _transform(
    example: torch.Tensor,
    given: Statistics | None,
    *,
    source: Source,
    request: Request,
    raw: RawSplit,
    channels: int | None,
) -> Transform:
    if example.dtype != torch.uint8 or example.ndim != 4:
        form = f"{example.dtype} images of {example.ndim} dimensions"
        raise DataError(f"{request.name!r} gave {form}, not uint8 (n, channels, height, width)")
    wanted = channels or source.channels or example.shape[1]
    to_channels(example, wanted)  # refuses what cannot be done before anything is computed
    if given is None:
        whole = raw if request.split == "train" else None
        mean, std = train_statistics(source, lambda: whole or _open(source, replace(request, split="train")), wanted)
    else:
        mean, std = per_channel(given, wanted)
    size = (request.image_size,) * 2 if request.image_size else (example.shape[2], example.shape[3])
    return Transform(mean, std, size, wanted)


def _find(name: str) -> tuple[Source, str]:
    prefix, colon, argument = name.partition(":")
    if not colon or prefix in SOURCES:
        source = SOURCES.get(prefix)
        if bool(source.argument) != bool(argument):
            form = f"{prefix}:{source.argument}" if source.argument else prefix
            raise UsageError(f"{name!r} names no data set: write {form}")
        return source, argument
    try:
        found = import_object(name)
    except UsageError as error:
        raise UnknownNameError(f"{unknown('dataset', prefix, names())} As package.module:source: {error}") from error
    if not isinstance(found, Source):
        raise UsageError(f"{name!r} is a {type(found).__name__}, not a landscape.datasets.Source")
    return found, ""


def _root(root: str | os.PathLike[str] | None) -> Path:
    return Path(root or os.environ.get("LANDSCAPE_DATA") or "data").expanduser()


def _open(source: Source, request: Request) -> RawSplit:
    raw = source.open(request)
    if not len(raw.targets):
        raise DataError(f"the {request.split} split of {request.name!r} holds no image")
    low, high = int(raw.targets.min()), int(raw.targets.max())
    if low < 0 or high >= len(raw.classes):
        raise DataError(
            f"targets of {request.name!r} ({request.split}) run from {low} to {high}, but there are "
            f"{len(raw.classes)} classes: targets must be 0 to {len(raw.classes) - 1}"
        )
    return raw


def _public_name(name: str, source: Source) -> str:
    # Only the last part of a path: recipes are shared, and a path says where somebody works.
    prefix, _, argument = name.partition(":")
    return f"{prefix}:{Path(argument).name}" if source.argument else name
