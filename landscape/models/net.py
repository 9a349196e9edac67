"""The small convolutional network of PyTorch's classifier tutorial, with BatchNorm, Kaiming weights, or wider layers.

Source: https://pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html; the variants are those of the course lab.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from landscape.models.base import Family, isolated, register
from landscape.models.classifier import Classifier, check_counts

IMAGE = 32


def net(
    name: str,
    *,
    widths: tuple[int, int, int, int] = (6, 16, 120, 84),
    batchnorm: bool = False,
    kaiming: bool = False,
    num_classes: int = 10,
    in_channels: int = 3,
    seed: int = 0,
) -> nn.Module:
    """Build the network: two 5 x 5 convolutions with ReLU and max pooling, three linear layers.

    Args:
        name: What it is called in messages.
        widths: Channels of the convolutions, then outputs of the first two linear layers.
        batchnorm: BatchNorm, before ReLU, after both convolutions and the first linear layer.
        kaiming: Kaiming normal weights; biases as torch draws them.
        num_classes: Outputs.
        in_channels: Channels of the images.
        seed: Seed of the initial weights.

    Returns:
        The network: 62,006 parameters for ten classes, 62,290 with BatchNorm, 244,962 for the wide one.
    """
    check_counts(num_classes, in_channels)
    first, second, third, fourth = widths
    features = [
        *_normalized(nn.Conv2d(in_channels, first, 5), nn.BatchNorm2d(first), batchnorm),
        nn.MaxPool2d(2),
        *_normalized(nn.Conv2d(first, second, 5), nn.BatchNorm2d(second), batchnorm),
        nn.MaxPool2d(2),
    ]
    classifier = [
        *_normalized(nn.Linear(second * 5 * 5, third), nn.BatchNorm1d(third), batchnorm),
        nn.Linear(third, fourth),
        nn.ReLU(inplace=True),
        nn.Linear(fourth, num_classes),
    ]
    model = Classifier(name, features, classifier, in_channels=in_channels, image_size=IMAGE, seed=seed)
    if kaiming:
        _kaiming(model, seed)
    return model


def _normalized(layer: nn.Module, norm: nn.Module, batchnorm: bool) -> list[nn.Module]:
    return [layer, *([norm] if batchnorm else []), nn.ReLU(inplace=True)]


def _kaiming(model: nn.Module, seed: int) -> None:
    """Normal weights with variance 2 / fan-in (He et al. 2015, arXiv:1502.01852) in every layer."""
    generator = torch.Generator("cpu").manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and not layer.weight.is_meta:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)


def _family(name: str, **fixed: object) -> Family:
    options = ("num_classes", "in_channels", "seed")
    return Family(isolated(partial(net, name, **fixed)), options=options, image_size=IMAGE)  # type: ignore[arg-type]


register("net", _family("net"))
register("net_bn", _family("net_bn", batchnorm=True))
register("net_kaiming", _family("net_kaiming", kaiming=True))
register("net_wide", _family("net_wide", widths=(12, 32, 240, 168)))
