"""VGG-A for 32 x 32 images and its light version, each plain, with BatchNorm, with dropout, with both.

Relatives of BatchNorm (``landscape.models.norms``) may stand in its places.

Source: Simonyan and Zisserman 2015, arXiv:1409.1556, configuration A, with the 512-512-10 head of the course project
that compares it with and without BatchNorm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import UsageError
from landscape.models.base import Family, register
from landscape.models.classifier import check_counts, check_images
from landscape.models.layers import initialize
from landscape.models.norms import NORMS
from landscape.words import BN_PLACEMENTS, BnPlacement

VGG_A = ((64,), (128,), (256, 256), (512, 512), (512, 512))
LIGHT = ((16,), (32,))
IMAGE = 32


class VGG(nn.Module):
    """Stages of 3 x 3 convolutions, each ended by max pooling, and three linear layers.

    Args:
        stages: Widths of the convolutions of every stage.
        hidden: Width of the two hidden linear layers.
        network: What it is called in messages.
        norm: What normalizes after every convolution, a name of ``landscape.models.norms.NORMS``; None for nothing.
        dropout: Dropout of 0.5 before each of the first two linear layers.
        num_classes: Outputs.
        in_channels: Channels of the images.
        bn_placement: ``conv``, or ``conv+fc`` for the normalization after the first two linear layers too.
        conv_bias: Whether convolutions have a bias.
        init: Initialisation, see ``landscape.models.layers``.
        seed: Seed of the initial weights.

    Raises:
        UsageError: An option has no such value.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[int]],
        hidden: int,
        *,
        network: str,
        norm: str | None,
        dropout: bool,
        num_classes: int = 10,
        in_channels: int = 3,
        bn_placement: BnPlacement = "conv",
        conv_bias: bool = True,
        init: str = "he",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if bn_placement not in BN_PLACEMENTS:
            raise UsageError(f"there is no BatchNorm placement {bn_placement!r}; known: {', '.join(BN_PLACEMENTS)}")
        check_counts(num_classes, in_channels)
        self.network, self.in_channels = network, in_channels
        of_maps, of_vectors = NORMS[norm] if norm else (None, None)
        features: list[nn.Module] = []
        width = in_channels
        for stage in stages:
            for out in stage:
                features.append(nn.Conv2d(width, out, 3, padding=1, bias=conv_bias))
                features += [of_maps(out)] if of_maps else []
                features.append(nn.ReLU(inplace=True))
                width = out
            features.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*features)
        side = IMAGE // 2 ** len(stages)
        head: list[nn.Module] = []
        width = width * side * side
        for _ in range(2):
            head += [nn.Dropout(0.5)] if dropout else []
            head.append(nn.Linear(width, hidden))
            head += [of_vectors(hidden)] if of_vectors and bn_placement == "conv+fc" else []
            head.append(nn.ReLU(inplace=True))
            width = hidden
        self.classifier = nn.Sequential(*head, nn.Linear(width, num_classes))
        initialize(self, how=init, seed=seed)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits.

        Args:
            images: Shape ``(n, in_channels, 32, 32)``.

        Returns:
            Shape ``(n, num_classes)``.
        """
        check_images(images, self.network, channels=self.in_channels, size=IMAGE)
        return self.classifier(torch.flatten(self.features(images), 1))  # type: ignore[no-any-return]


def _register(
    name: str,
    stages: Sequence[Sequence[int]],
    hidden: int,
    *,
    norm: str | None,
    dropout: bool = False,
    foreign: bool = True,
) -> None:
    def factory(**options: Any) -> nn.Module:
        with torch.random.fork_rng(devices=[]):  # torch's layers draw when they are made; `initialize` draws anew
            return VGG(stages, hidden, network=name, norm=norm, dropout=dropout, **options)

    shapes: list[dict[str, Any]] = [{}, {"conv_bias": False}]
    if norm:
        shapes += [{"bn_placement": "conv+fc"}, {"bn_placement": "conv+fc", "conv_bias": False}]
    defaults = {"bn_placement": "conv", "conv_bias": True, "init": "he"}
    options = ("num_classes", "in_channels", *defaults, "seed")
    register(name, Family(factory, options, defaults, tuple(shapes), IMAGE, foreign=foreign))


for _suffix, _dropout in (("", False), ("_dropout", True)):
    _register(f"vgg{_suffix}", VGG_A, 512, norm=None, dropout=_dropout)
    _register(f"vgg{_suffix}_bn", VGG_A, 512, norm="bn", dropout=_dropout)
_register("vgg_light", LIGHT, 128, norm=None)
_register("vgg_light_bn", LIGHT, 128, norm="bn")
for _norm in NORMS:
    if _norm != "bn":  # of one name and function with it in evaluation mode is the noisy one, which so comes after it
        _register(f"vgg_{_norm}", VGG_A, 512, norm=_norm, foreign=False)
        _register(f"vgg_light_{_norm}", LIGHT, 128, norm=_norm, foreign=False)
