"""From stored pixels to the numbers that a network sees.

Every step is elementwise or per image, so an image has the same numbers whatever batch it comes in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from landscape.datasets.normalization import format_normalization
from landscape.errors import UsageError

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601-2, as Pillow's mode "L"


@dataclass(frozen=True)
class Transform:
    """What happens to uint8 images before a network sees them; plain values only.

    Pixels are scaled to 0..1, brought to ``size`` and ``channels``, then ``(x - mean) / std``.

    Args:
        mean: Mean per output channel, of pixels scaled to 0..1.
        std: Standard deviation per output channel.
        size: Height and width that come out. 28 x 28 becomes 32 x 32 by zero padding (black, two pixels a side); every
            other change is bilinear with antialiasing.
        channels: Channels that come out: those of the images, 3 (grey repeated) or 1 (luminance).
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int]
    channels: int

    @property
    def normalization(self) -> str:
        """Mean and standard deviation as text that ``load(normalization=...)`` reads back exactly."""
        return format_normalization(self.mean, self.std)

    def __call__(self, images: Tensor) -> Tensor:
        """Prepare a batch.

        Args:
            images: Pixels (n, c, h, w) uint8, on any device.

        Returns:
            Inputs ``(n, channels, *size)`` float32, on the same device.
        """
        return self.normalize_(self.pixels(images))

    def pixels(self, images: Tensor) -> Tensor:
        """Do the first part: scale, size and channels.

        Args:
            images: Pixels (n, c, h, w) uint8, on any device.

        Returns:
            New pixels ``(n, channels, *size)`` float32, 0 for black and 1 for white.
        """
        return to_channels(to_size(images.to(torch.float32).div_(255.0), self.size), self.channels)

    def normalize_(self, pixels: Tensor) -> Tensor:
        """Do the second part, in place.

        Args:
            pixels: What ``pixels`` gave ``(n, channels, *size)``.

        Returns:
            ``(pixels - mean) / std`` in the same memory.
        """
        # Python numbers, not tensors: no copy to the device per batch, which a CUDA graph could not capture.
        if len(set(zip(self.mean, self.std, strict=True))) == 1:
            return pixels.sub_(self.mean[0]).div_(self.std[0])
        for channel, mean, std in zip(pixels.unbind(1), self.mean, self.std, strict=True):
            channel.sub_(mean).div_(std)
        return pixels


def to_size(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring images to one size.

    Args:
        images: Float images (n, c, h, w), 0 for black.
        size: Height and width wanted.

    Returns:
        The images themselves where nothing changes, else new ones.
    """
    have = tuple(images.shape[-2:])
    if have == size:
        return images
    if have == (28, 28) and size == (32, 32):
        return F.pad(images, (2, 2, 2, 2))
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


def to_channels(images: Tensor, channels: int) -> Tensor:
    """Bring images to a number of channels.

    Args:
        images: Float images (n, c, h, w).
        channels: Channels wanted: c, 3 for grey images, 1 for coloured ones.

    Returns:
        The images themselves where nothing changes, else new ones.

    Raises:
        UsageError: No rule leads from c to ``channels``.
    """
    have = images.shape[1]
    if have == channels:
        return images
    if (have, channels) == (1, 3):
        return images.repeat(1, 3, 1, 1)
    if (have, channels) == (3, 1):
        # Three products and two sums, not a matrix product: its rounding would depend on the size of the batch.
        red, green, blue = (images[:, i : i + 1] * weight for i, weight in enumerate(_LUMINANCE))
        return red + green + blue
    raise UsageError(f"images of {have} channels cannot become {channels}: 1 becomes 3 by repeating, 3 becomes 1")
