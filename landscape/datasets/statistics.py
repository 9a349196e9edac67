"""Mean and standard deviation of the pixels of a whole split."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import torch

from landscape.datasets.normalization import Statistics, per_channel
from landscape.datasets.source import RawSplit, Source
from landscape.errors import DataError

_CHUNK = 4_000_000  # pixels at a time: 32 MB as int64
_LUMINANCE = (299, 587, 114)  # the weights of the transform, in thousandths


def split_statistics(raw: RawSplit, channels: int) -> Statistics:
    """Compute mean and standard deviation (population) per channel over all images.

    Sums are integers, so the result is the exact one rounded once: it depends on no order, thread or chunk, and can be
    compared between machines. Pixels are those stored, before any change of size: padding does not enter.

    Args:
        raw: The split.
        channels: Channels of the prepared images. For 1, coloured images count with their luminance.

    Returns:
        Means and standard deviations of pixels scaled to 0..1; one each for grey images, whatever ``channels``.

    Raises:
        DataError: A channel is constant, so that it cannot be divided by its standard deviation.
    """
    example = raw.read(slice(0, 1))
    grey_wanted = channels == 1 and example.shape[1] == 3
    step, scale, count = max(1, _CHUNK // example.numel()), 255_000 if grey_wanted else 255, 0
    totals, squares = ([0] * (1 if grey_wanted else example.shape[1]) for _ in range(2))
    for start in range(0, len(raw.targets), step):
        pixels = raw.read(slice(start, start + step)).to(torch.int64)
        if grey_wanted:
            pixels = (pixels * torch.tensor(_LUMINANCE).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
        count += pixels.numel() // pixels.shape[1]
        # Summed per image by torch and over images by Python, whose integers do not overflow.
        for sums, values in ((totals, pixels), (squares, pixels.square())):
            for channel, of_images in enumerate(values.sum(dim=(2, 3)).T.tolist()):
                sums[channel] += sum(of_images)
    if any(count * square == total**2 for total, square in zip(totals, squares, strict=True)):
        raise DataError(
            "a channel of the train split is constant, so the statistics of the data set cannot normalise it: "
            "pass the normalization half or none"
        )
    variance = (count * square - total**2 for total, square in zip(totals, squares, strict=True))
    std = tuple(math.sqrt(Fraction(value, (count * scale) ** 2)) for value in variance)
    return tuple(float(Fraction(total, count * scale)) for total in totals), std


def train_statistics(source: Source, train: Callable[[], RawSplit], channels: int) -> Statistics:
    """Give the statistics that the normalization ``dataset`` stands for.

    Args:
        source: Where the images come from; what it knows is used where it fits.
        train: Gives the whole train split; called only where the statistics are not known.
        channels: Channels of the prepared images.

    Returns:
        One mean and one standard deviation per channel of the prepared images.
    """
    known = source.statistics
    if known is None or (channels == 1 and len(known[0]) != 1):
        known = split_statistics(train(), channels)
    return per_channel(known, channels)
