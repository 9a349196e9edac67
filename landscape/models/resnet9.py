"""A residual network of nine layers for 32 x 32 images.

Source: the course lab; the network goes back to D. Page's fast training of CIFAR-10 (DAWNBench 2018).
"""

from __future__ import annotations

from torch import Tensor, nn

from landscape.models.base import Family, isolated, register
from landscape.models.classifier import Classifier, check_counts

IMAGE = 32


class Residual(nn.Module):
    """Two blocks whose outcome is added to their input; no activation after the sum.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_block(width, width), *_block(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the shape of ``x``."""
        return x + self.body(x)  # type: ignore[no-any-return]


def _block(width: int, out: int, *, pool: int = 1) -> list[nn.Module]:
    layers = [nn.Conv2d(width, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
    return [*layers, nn.MaxPool2d(pool)] if pool > 1 else layers


def resnet9(*, num_classes: int = 10, in_channels: int = 3, seed: int = 0) -> nn.Module:
    """Build the network.

    Blocks of a 3 x 3 convolution with bias, BatchNorm and ReLU: 64; 128 and max pooling by 2; a residual pair of 128;
    256 and 512, each with max pooling by 2; a residual pair of 512; max pooling by 4; 512-128-10 with no activation
    between, so that the two linear layers are one linear map of rank up to 128.

    Args:
        num_classes: Outputs.
        in_channels: Channels of the images.
        seed: Seed of the initial weights.

    Returns:
        The network: 6,637,194 parameters for ten classes.
    """
    check_counts(num_classes, in_channels)
    features = [
        *_block(in_channels, 64),
        *_block(64, 128, pool=2),
        Residual(128),
        *_block(128, 256, pool=2),
        *_block(256, 512, pool=2),
        Residual(512),
        nn.MaxPool2d(4),
    ]
    head = [nn.Linear(512, 128), nn.Linear(128, num_classes)]
    return Classifier("resnet9", features, head, in_channels=in_channels, image_size=IMAGE, seed=seed)


register("resnet9", Family(isolated(resnet9), options=("num_classes", "in_channels", "seed"), image_size=IMAGE))
