"""Training images changed anew in every epoch: flipped, cropped, recoloured, noisy.

What happens to an image follows from a seed (a run's seed and the epoch) and the image's place in the data set, so a
run that was stopped and continued sees the same images. Flips and crops are drawn on the CPU for a whole epoch, so they
are the same on every device, and applied to whole batches by index; noise comes from the generator of the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from landscape.datasets.array_dataset import ArrayDataset
from landscape.errors import UsageError
from landscape.registry import unknown
from landscape.words import AUGMENTATIONS

PADDING = 4  # black pixels on each side, from which a crop is taken
NOISE = 0.05


@dataclass(frozen=True)
class Augmentation:
    """Which changes are made, in this order.

    Args:
        autoaugment: Each stored image goes through torchvision's AutoAugment policy for CIFAR-10 (Cubuk et al. 2019,
            arXiv:1805.09501). Image by image, and the device is waited for.
        crop: A window of the image's own size out of the image with ``PADDING`` black pixels on each side.
        flip: Half of the images, mirrored left to right.
        noise: Standard deviation of Gaussian noise added to pixels scaled to 0..1, before normalization; not clipped.
    """

    autoaugment: bool = False
    crop: bool = False
    flip: bool = False
    noise: float = 0.0

    @classmethod
    def parse(cls, words: Sequence[str]) -> Augmentation:
        """Read what a user wrote.

        Args:
            words: ``flip``, ``crop``, ``autoaugment``, ``noise`` or ``noise:SD``, each at most once.

        Returns:
            The changes.

        Raises:
            UsageError: A word is unknown or given twice, or the deviation is no number above zero.
        """
        chosen: dict[str, float] = {}
        for word in words:
            name, colon, text = word.partition(":")
            if name not in AUGMENTATIONS:
                raise UsageError(unknown("augmentation", name, list(AUGMENTATIONS)))
            if name in chosen:
                raise UsageError(f"the augmentation {name!r} is given twice: {', '.join(words)}")
            if colon and name != "noise":
                raise UsageError(f"the augmentation {name!r} takes no number; got {word!r}")
            chosen[name] = _deviation(text) if colon else NOISE
        return cls(**{n: value if n == "noise" else True for n, value in chosen.items()})  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return self.autoaugment or self.crop or self.flip or self.noise > 0

    def __str__(self) -> str:
        """Write it as ``parse`` reads it."""
        words = [name for name in AUGMENTATIONS[:3] if getattr(self, name)]
        return ",".join([*words, *([f"noise:{self.noise:g}"] if self.noise else [])])


def _deviation(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise UsageError(f"the standard deviation of noise is a number above zero, of pixels from 0 to 1; got {text!r}")
    return value


class Augmented:
    """The images of one epoch.

    Args:
        dataset: The images as they are stored.
        augmentation: What is done to them.
        seed: Decides all draws, with an image's place in the data set (noise: with the order of the batches).
    """

    def __init__(self, dataset: ArrayDataset, augmentation: Augmentation, seed: int) -> None:
        self._dataset, self._what = dataset, augmentation
        draws, n, device = torch.Generator("cpu").manual_seed(seed), len(dataset), dataset.device
        # all are drawn, used or not: adding one change leaves the draws of the others as they are
        flipped = torch.rand(n, generator=draws) < 0.5
        corners = torch.randint(2 * PADDING + 1, (n, 2), generator=draws)
        self._seeds = torch.randint(2**62, (n,), generator=draws)
        self._flipped, self._corners = flipped.to(device), corners.to(device)
        self._noise = torch.Generator(device).manual_seed(seed)

    def batch(self, indices: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """Prepare some of the images.

        Args:
            indices: Positions (m,). A tensor on the images' device costs no copy.

        Returns:
            Inputs ``(m, *shape)`` float32 and targets (m,), as ``ArrayDataset.batch`` gives them.
        """
        data, what = self._dataset, self._what
        rows = torch.as_tensor(indices, dtype=torch.int64, device=data.device)
        stored = data.images[rows]
        if what.autoaugment:
            stored = _autoaugmented(stored, self._seeds[rows.cpu()].tolist())
        pixels = data.transform.pixels(stored)
        if what.crop or what.flip:
            corners = self._corners[rows] if what.crop else None
            pixels = moved(pixels, self._flipped[rows] if what.flip else None, corners)
        if what.noise:
            drawn = torch.randn(pixels.shape, generator=self._noise, device=pixels.device)
            pixels = pixels.add_(drawn, alpha=what.noise)
        return data.transform.normalize_(pixels), data.targets[rows]


def moved(pixels: Tensor, flipped: Tensor | None, corners: Tensor | None) -> Tensor:
    """Crop images out of their padded selves, then mirror some; one gather for the whole batch.

    Args:
        pixels: Images (m, c, h, w).
        flipped: Which are mirrored left to right (m,); None for none.
        corners: Upper and left edge of each window in the padded image (m, 2), 0 to ``2 * PADDING``; the middle leaves
            an image in its place. None for no crop.

    Returns:
        New images of the same shape.
    """
    m, channels, height, width = pixels.shape
    device = pixels.device
    down = torch.arange(height, device=device).expand(m, height)
    across = torch.arange(width, device=device).expand(m, width)
    if flipped is not None:
        across = torch.where(flipped[:, None], width - 1 - across, across)
    if corners is not None:
        pixels = F.pad(pixels, (PADDING,) * 4)
        down, across = down + corners[:, :1], across + corners[:, 1:]
    image = torch.arange(m, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[:, None, None]
    return pixels[image, channel, down[:, None, :, None], across[:, None, None, :]]


def _autoaugmented(images: Tensor, seeds: Sequence[int]) -> Tensor:
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    policy = AutoAugment(AutoAugmentPolicy.CIFAR10)
    with torch.random.fork_rng(devices=[]):  # it draws from the CPU's global generator, wherever the image is
        changed = []
        for image, seed in zip(images, seeds, strict=True):
            torch.default_generator.manual_seed(seed)
            changed.append(policy(image))
    return torch.stack(changed)
