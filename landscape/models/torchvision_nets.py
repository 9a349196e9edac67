"""torchvision's classification networks: ``torchvision:NAME``, ``resnet18``, and ``resnet18_gray`` for gray images.

The names of their tensors are torchvision's, so weights that were saved from its models fit as they are. Nothing is
ever downloaded: pretrained weights are a local file (``pretrained=FILE``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import UnknownNameError
from landscape.models.base import Family, isolated, register, register_prefix
from landscape.models.classifier import check_counts, check_images
from landscape.models.pretrained import load_pretrained
from landscape.registry import unknown

_PREFIX = "torchvision"
_OPTIONS = ("num_classes", "in_channels", "seed", "pretrained")
_MAIN_OUTPUT = {"aux_logits": False, "init_weights": True}  # these two return several outputs while training
_KEYWORDS: dict[str, dict[str, bool]] = {"googlenet": _MAIN_OUTPUT, "inception_v3": _MAIN_OUTPUT}
_FIXED = ("vit_", "maxvit_")  # networks that take one size: 224
_ADVISED = ("swin_", "efficientnet_v2_")  # the stated least size is that of the weights; any will do


@dataclass(frozen=True)
class _Takes:
    """A hook that checks images before torchvision's ``forward`` sees them; an object, which can be pickled."""

    network: str
    channels: int
    size: int | None
    smallest: int

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        check_images(inputs[0], self.network, channels=self.channels, size=self.size, smallest=self.smallest)


def torchvision_net(
    name: str,
    *,
    label: str = "",
    num_classes: int = 10,
    in_channels: int = 3,
    image_size: int | None = None,
    fresh_first: bool = False,
    seed: int = 0,
    pretrained: str = "",
) -> nn.Module:
    """Build a network of torchvision.

    Args:
        name: Its name there.
        label: What it is called in messages.
        num_classes: Outputs.
        in_channels: Channels of the images. Where they are not three, the first convolution is a new one of that many,
            drawn as torch draws new layers.
        image_size: Height and width that it takes; None for any that its layers can.
        fresh_first: Whether the first convolution is a new one in any case, with bias.
        seed: Seed of the initial weights, which are torchvision's.
        pretrained: File of weights to begin with; those of the last layer may be of another number of classes, and
            are then left out.

    Returns:
        The network.
    """
    import torchvision  # slow to import

    check_counts(num_classes, in_channels)
    torch.default_generator.manual_seed(seed)  # the caller's own state is put back by `isolated`
    builder = torchvision.models.get_model
    model: nn.Module = builder(name, weights=None, num_classes=num_classes, **_KEYWORDS.get(name, {}))
    if in_channels != 3 or fresh_first:
        _replace_first(model, in_channels, bias=True if fresh_first else None)
    if pretrained:
        load_pretrained(model, pretrained)
    takes = _Takes(label or f"{_PREFIX}:{name}", in_channels, image_size, _smallest(name))
    model.register_forward_pre_hook(takes)
    return model


def _replace_first(model: nn.Module, channels: int, *, bias: bool | None) -> None:
    name, old = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None if bias is None else bias,
    )
    model.set_submodule(name, new)


@cache
def _smallest(name: str) -> int:
    """Least height and width, as torchvision states it beside its weights."""
    import torchvision

    if name.startswith(_ADVISED):
        return 1
    weights: Any = torchvision.models.get_model_weights(name)
    return int(max(weights.DEFAULT.meta["min_size"]))


def lookup(name: str) -> Family:
    """Find a classification network of torchvision.

    Args:
        name: Its name there, for instance ``resnet50``.

    Returns:
        Its entry.

    Raises:
        UnknownNameError: There is none; the message holds the closest name.
    """
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UnknownNameError(unknown("classification network of torchvision", name, known))
    size = 224 if name.startswith(_FIXED) else None
    factory = isolated(partial(torchvision_net, name, image_size=size))
    least = _smallest(name)
    return Family(factory, options=_OPTIONS, image_size=size or (least if least > 32 else None))


register_prefix(_PREFIX, lookup)
register("resnet18", Family(isolated(partial(torchvision_net, "resnet18", label="resnet18")), options=_OPTIONS))


def resnet18_gray(*, num_classes: int = 10, in_channels: int = 1, seed: int = 0, pretrained: str = "") -> nn.Module:
    """Build torchvision's ResNet-18 for 1 x 224 x 224 images, its first convolution a new one with bias.

    Args:
        num_classes: Outputs.
        in_channels: Channels of the images.
        seed: Seed of the initial weights.
        pretrained: File of weights of this network to begin with.

    Returns:
        The network: 11,175,434 parameters for ten classes.

    Source: He et al. 2016, arXiv:1512.03385; the first convolution is that of the course lab on MNIST.
    """
    return torchvision_net(
        "resnet18",
        label="resnet18_gray",
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=224,
        fresh_first=True,
        seed=seed,
        pretrained=pretrained,
    )


register("resnet18_gray", Family(isolated(resnet18_gray), options=_OPTIONS, image_size=224))
