"""A small residual network for 32 x 32 images in three depths, of the course lab on tuning a network.

``cifar10net`` has two convolutions around one residual block, ``cifar10net_3`` and ``cifar10net_4`` one and two
convolutions more. Source: the course lab; the block is that of He et al. 2016, arXiv:1512.03385.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from landscape.models.base import Family, isolated, register
from landscape.models.classifier import ACTIVATIONS, Classifier, check_counts
from landscape.models.classifier import activation as activate
from landscape.models.classifier import dropout as drop

IMAGE = 32
_WIDTHS = {"cifar10net": (32, 64), "cifar10net_3": (32, 64, 128), "cifar10net_4": (32, 64, 128, 256)}


class Residual(nn.Module):
    """Two 3 x 3 convolutions without bias, each with BatchNorm, added to their input.

    Args:
        width: Channels.
        kind: Activation between the convolutions and after the sum.
    """

    def __init__(self, width: int, kind: str = "relu") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.activation = activate(kind)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the shape of ``x``."""
        inner = self.activation(self.bn1(self.conv1(x)))
        return self.activation(x + self.bn2(self.conv2(inner)))  # type: ignore[no-any-return]


def cifar10net(
    name: str,
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    activation: str = "relu",
    activation_in_block: bool = False,
    dropout: float = 0.5,
    seed: int = 0,
) -> nn.Module:
    """Build the network.

    Every convolution (3 x 3, with bias) is followed by BatchNorm, the activation and max pooling; the residual block
    stands after the first. The activation does not reach the residual block, which stays with ReLU as in the lab,
    unless ``activation_in_block`` says so.

    Args:
        name: ``cifar10net``, ``cifar10net_3`` or ``cifar10net_4``.
        num_classes: Outputs.
        in_channels: Channels of the images.
        activation: ``relu``, ``sigmoid`` or ``tanh``.
        activation_in_block: Whether the residual block takes that activation too.
        dropout: Dropout rate before the linear layer.
        seed: Seed of the initial weights.

    Returns:
        The network: 79,114, 132,746 or 418,186 parameters for ten classes.
    """
    check_counts(num_classes, in_channels)
    first, *others = _WIDTHS[name]
    features = [*_stage(in_channels, first, activation), Residual(first, activation if activation_in_block else "relu")]
    width = first
    for out in others:
        features += _stage(width, out, activation)
        width = out
    side = IMAGE // 2 ** len(_WIDTHS[name])
    head = [drop(dropout), nn.Linear(width * side * side, num_classes)]
    return Classifier(name, features, head, in_channels=in_channels, image_size=IMAGE, seed=seed)


def _stage(width: int, out: int, kind: str) -> list[nn.Module]:
    return [nn.Conv2d(width, out, 3, padding=1), nn.BatchNorm2d(out), activate(kind), nn.MaxPool2d(2)]


_defaults: dict[str, Any] = {"activation": "relu", "activation_in_block": False, "dropout": 0.5}
_functions = [{"activation": kind, "activation_in_block": inside} for kind in ACTIVATIONS for inside in (False, True)]
for _name in _WIDTHS:
    register(
        _name,
        Family(
            isolated(partial(cifar10net, _name)),
            options=("num_classes", "in_channels", *_defaults, "seed"),
            defaults=_defaults,
            layouts=tuple(f for f in _functions if f != {"activation": "relu", "activation_in_block": True}),
            image_size=IMAGE,
        ),
    )
