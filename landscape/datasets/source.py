"""What a source of images supplies. A new source is a new file under ``sources/``, or an entry point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from landscape.datasets.normalization import Statistics
from landscape.registry import Registry

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Request:
    """What ``load`` asks of a source.

    Args:
        name: The data set as the user wrote it, for messages.
        split: Which images.
        root: Folder of downloaded archives.
        argument: Text after the colon of ``npz:FILE`` or ``folder:DIR``; empty for other sources.
        download: Whether the network may be used.
        image_size: Size asked for: a source whose images differ in size brings them to it.
    """

    name: str
    split: Split
    root: Path
    argument: str = ""
    download: bool = False
    image_size: int | None = None


@dataclass(frozen=True, eq=False)
class RawSplit:
    """All images of one split, possibly not read yet.

    Args:
        targets: Class of each image (n,), int64.
        classes: Names of the classes.
        read: Gives the pixels (m, c, h, w), uint8, at some positions: a slice or a tensor of indices.
    """

    targets: Tensor
    classes: tuple[str, ...]
    read: Callable[[Tensor | slice], Tensor]

    @classmethod
    def of(cls, images: Tensor, targets: Tensor, classes: tuple[str, ...]) -> RawSplit:
        """Wrap images that are in memory.

        Args:
            images: Pixels (n, c, h, w), uint8.
            targets: Class of each image (n,), any integer type.
            classes: Names of the classes.

        Returns:
            The split.
        """
        return cls(targets.to(torch.int64), tuple(classes), lambda rows: images[rows])


@dataclass(frozen=True)
class Source:
    """A kind of data set.

    Args:
        open: Gives one split; raises ``DataError`` where the images are missing or damaged.
        statistics: Known mean and standard deviation of the train split, per stored channel, for pixels in 0..1; None
            to compute them from the images.
        image_size: Size that ``image_size=None`` stands for; None keeps the images' own.
        channels: Channels that ``channels=None`` stands for; None keeps the images' own.
        argument: What follows the colon of the name, for instance ``"FILE"``; empty for a plain name.
    """

    open: Callable[[Request], RawSplit]
    statistics: Statistics | None = None
    image_size: int | None = None
    channels: int | None = None
    argument: str = ""


SOURCES: Registry[Source] = Registry("dataset", group="landscape.datasets")


def missing(request: Request, found: str, remedy: str = "") -> str:
    """Word the error for images that are not there.

    Args:
        request: What was asked.
        found: What is missing and where, without a full stop.
        remedy: Ways that this source adds, each ending in ``"; "``.

    Returns:
        The message of the ``DataError`` to raise; it lists the ways to images.
    """
    return (
        f"{request.split} images of {request.name!r} are missing: {found}. Ways on: {remedy}"
        "--dataset npz:FILE for arrays x_train, y_train, x_test, y_test; "
        "--dataset folder:DIR for DIR/train/CLASS/* and DIR/test/CLASS/*; "
        "--dataset fashion_mnist_mini for images that come with this package"
    )
