"""What networks for images of one size share: the check of their input, and features followed by a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from landscape.errors import ShapeError, UsageError
from landscape.models.layers import initialize
from landscape.registry import unknown

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def check_images(
    images: Tensor, network: str, *, channels: int, size: int | None = None, smallest: int | None = None
) -> None:
    """Refuse images that a network cannot take, with the options that bring them to its size.

    Args:
        images: What was given to ``forward``.
        network: What the network is called, as the subject of the message.
        channels: Channels that it takes.
        size: Height and width that it takes; None for any.
        smallest: Least height and width, where any size from there on will do.

    Raises:
        ShapeError: The images have another shape than ``(n, channels, size, size)``.
    """
    least, sides = (smallest or 1) if size is None else size, tuple(images.shape[2:])
    differ = images.ndim == 4 and images.shape[1] != channels
    fits = images.ndim == 4 and not differ and min(sides) >= least
    if fits and (size is None or sides == (size, size)):
        return
    found = " x ".join(str(side) for side in images.shape[1:])
    if size is not None:
        wanted, way = f"{channels} x {size} x {size} images", f"--image-size {size} --channels {channels}"
    elif least > 1:
        wanted = f"images with {channels} channels and at least {least} x {least} pixels"
        way = f"--image-size {least} --channels {channels}"
    else:
        wanted, way = f"images with {channels} channels", f"--channels {channels}"
    other = f", or build the network with in_channels={images.shape[1]}" if differ else ""
    raise ShapeError(
        f"{network} takes {wanted}; got {found}. Prepare them with {way} "
        f"({'channels=' if way.startswith('--channels') else 'image_size=, channels='} in Python){other}."
    )


def check_counts(num_classes: int, in_channels: int) -> None:
    """Refuse numbers that make no network.

    Args:
        num_classes: Outputs.
        in_channels: Channels of the images.

    Raises:
        UsageError: One of them is below 1.
    """
    if num_classes < 1 or in_channels < 1:
        raise UsageError(f"classes and channels are at least 1; got {num_classes} and {in_channels}")


def activation(name: str) -> nn.Module:
    """Make an activation.

    Args:
        name: ``relu``, ``sigmoid`` or ``tanh``.

    Returns:
        The layer.

    Raises:
        UsageError: There is no such activation.
    """
    if name not in ACTIVATIONS:
        raise UsageError(unknown("activation", str(name), list(ACTIVATIONS)))
    return ACTIVATIONS[name]()


def dropout(rate: float) -> nn.Module:
    """Make a dropout layer.

    Args:
        rate: Share of the values that are set to zero while training.

    Returns:
        The layer.

    Raises:
        UsageError: The rate is no share.
    """
    if not 0 <= rate < 1:
        raise UsageError(f"a dropout rate is at least 0 and below 1; got {rate}")
    return nn.Dropout(rate)


class Classifier(nn.Module):
    """Features of images of one size, flattened, then a classifier.

    Args:
        network: What it is called in messages.
        features: Layers before the flattening.
        classifier: Layers after it.
        in_channels: Channels of the images.
        image_size: Their height and width.
        seed: Seed of the initial weights: what torch's layers draw for themselves, each from a generator of its own.
    """

    def __init__(
        self,
        network: str,
        features: Sequence[nn.Module],
        classifier: Sequence[nn.Module],
        *,
        in_channels: int,
        image_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.network, self.in_channels, self.image_size = network, in_channels, image_size
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(*classifier)
        initialize(self, how="default", seed=seed)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits.

        Args:
            images: Shape ``(n, in_channels, image_size, image_size)``.

        Returns:
            Shape ``(n, num_classes)``.
        """
        check_images(images, self.network, channels=self.in_channels, size=self.image_size)
        return self.classifier(torch.flatten(self.features(images), 1))  # type: ignore[no-any-return]
