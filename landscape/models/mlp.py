"""A fully connected network for 32 x 32 images, of the course lab that compares it with convolutional ones."""

from __future__ import annotations

from torch import nn

from landscape.models.base import Family, isolated, register
from landscape.models.classifier import Classifier, check_counts
from landscape.models.classifier import dropout as drop

IMAGE = 32


def mlp(*, num_classes: int = 10, in_channels: int = 3, dropout: float = 0.25, seed: int = 0) -> nn.Module:
    """Build the network: 3072-512-256-128-10 with ReLU, dropout before the last layer.

    Args:
        num_classes: Outputs.
        in_channels: Channels of the images.
        dropout: Dropout rate.
        seed: Seed of the initial weights.

    Returns:
        The network: 1,738,890 parameters for ten classes.
    """
    check_counts(num_classes, in_channels)
    layers: list[nn.Module] = []
    width = in_channels * IMAGE * IMAGE
    for out in (512, 256, 128):
        layers += [nn.Linear(width, out), nn.ReLU(inplace=True)]
        width = out
    layers += [drop(dropout), nn.Linear(width, num_classes)]
    return Classifier("mlp", [], layers, in_channels=in_channels, image_size=IMAGE, seed=seed)


register(
    "mlp",
    Family(
        isolated(mlp),
        options=("num_classes", "in_channels", "dropout", "seed"),
        defaults={"dropout": 0.25},
        image_size=IMAGE,
    ),
)
