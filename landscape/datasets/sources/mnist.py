"""MNIST (LeCun et al. 1998): 60,000 + 10,000 grey images of 28 x 28, from torchvision's archive."""

from __future__ import annotations

from landscape.datasets.source import SOURCES, RawSplit, Request, Source
from landscape.datasets.sources._torchvision import open_archive


def _open(request: Request) -> RawSplit:
    archive = open_archive("MNIST", request, "MNIST/raw")
    return RawSplit.of(archive.data[:, None], archive.targets, tuple(archive.classes))


SOURCES.add("mnist", Source(_open, statistics=((0.1307,), (0.3081,))))
