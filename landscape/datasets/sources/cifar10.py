"""CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 x 32, from torchvision's archive."""

from __future__ import annotations

import torch

from landscape.datasets.source import SOURCES, RawSplit, Request, Source
from landscape.datasets.sources._torchvision import open_archive


def _open(request: Request) -> RawSplit:
    archive = open_archive("CIFAR10", request, "cifar-10-batches-py")
    images = torch.from_numpy(archive.data).permute(0, 3, 1, 2).contiguous()
    return RawSplit.of(images, torch.tensor(archive.targets), tuple(archive.classes))


_MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
_STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)

SOURCES.add("cifar10", Source(_open, statistics=(_MEAN, _STD)))
