"""Three convolutions and two linear layers for 32 x 32 images, of the course lab that compares it with ``resnet9``."""

from __future__ import annotations

from torch import nn

from landscape.models.base import Family, isolated, register
from landscape.models.classifier import Classifier, check_counts

IMAGE = 32
_WIDTH = 64


def cnn(*, num_classes: int = 10, in_channels: int = 3, seed: int = 0) -> nn.Module:
    """Build the network.

    Three 3 x 3 convolutions of 64 channels with BatchNorm and ReLU, the first without bias; average pooling by 2;
    16384-64-10 with ReLU after the 64.

    Args:
        num_classes: Outputs.
        in_channels: Channels of the images.
        seed: Seed of the initial weights.

    Returns:
        The network: 1,125,258 parameters for ten classes.
    """
    check_counts(num_classes, in_channels)
    features: list[nn.Module] = []
    for place in range(3):
        width = _WIDTH if place else in_channels
        conv = nn.Conv2d(width, _WIDTH, 3, padding=1, bias=place > 0)
        features += [conv, nn.BatchNorm2d(_WIDTH), nn.ReLU(inplace=True)]
    features.append(nn.AvgPool2d(2))
    hidden = nn.Linear(_WIDTH * (IMAGE // 2) ** 2, 64)
    head = [hidden, nn.ReLU(inplace=True), nn.Linear(64, num_classes)]
    return Classifier("cnn", features, head, in_channels=in_channels, image_size=IMAGE, seed=seed)


register("cnn", Family(isolated(cnn), options=("num_classes", "in_channels", "seed"), image_size=IMAGE))
