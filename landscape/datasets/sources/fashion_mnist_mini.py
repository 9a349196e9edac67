"""The images that come with this package: 5,000 + 1,000 of Fashion-MNIST, the classes in equal numbers.

Made by ``tools/make_fashion_mnist_mini.py``; the licence is in ``NOTICE.txt`` beside them. They are stored as 28 x 28
grey pixels and, unless asked otherwise, padded to 32 x 32 and repeated to 3 channels, so that networks for CIFAR-10
take them.
"""

from __future__ import annotations

from pathlib import Path

from landscape.datasets.source import SOURCES, RawSplit, Request, Source
from landscape.datasets.sources.npz import read_npz

EMBEDDED = Path(__file__).parents[1] / "embedded" / "fashion_mnist_mini.npz"


def _open(request: Request) -> RawSplit:
    return read_npz(EMBEDDED, request)


SOURCES.add("fashion_mnist_mini", Source(_open, image_size=32, channels=3))
