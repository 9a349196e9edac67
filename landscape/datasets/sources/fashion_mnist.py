"""Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey images of 28 x 28, from torchvision's archive.

Debian's package ``dataset-fashion-mnist`` holds the same files as ``.gz``. torchvision finds them only when they are
unpacked into ``FashionMNIST/raw`` below the data root.
"""

from __future__ import annotations

from landscape.datasets.source import SOURCES, RawSplit, Request, Source
from landscape.datasets.sources._torchvision import open_archive


def _open(request: Request) -> RawSplit:
    archive = open_archive("FashionMNIST", request, "FashionMNIST/raw")
    return RawSplit.of(archive.data[:, None], archive.targets, tuple(archive.classes))


SOURCES.add("fashion_mnist", Source(_open, statistics=((0.2860,), (0.3530,))))
