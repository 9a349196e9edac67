"""Normalization as text: which mean and standard deviation are taken off the pixels (scaled to 0..1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from landscape.errors import UsageError

Statistics = tuple[tuple[float, ...], tuple[float, ...]]

_FIXED: dict[str, Statistics] = {"half": ((0.5,), (0.5,)), "none": ((0.0,), (1.0,))}
_FORMS = (
    "write dataset (statistics of the whole train split), half (0.5 and 0.5), none (pixels in 0..1), or means and "
    "standard deviations as M,M,M/S,S,S (of pixels in 0..1; one for each channel, or one for all)"
)


def parse_normalization(text: str) -> Statistics | None:
    """Read a normalization.

    Args:
        text: ``dataset``, ``half``, ``none``, ``M,M,M/S,S,S`` or ``M/S``.

    Returns:
        Means and standard deviations as written, or None for ``dataset``: those come from the data.

    Raises:
        UsageError: The text has none of these forms, a number is not finite, or a standard deviation is not positive.
    """
    if text == "dataset":
        return None
    if text in _FIXED:
        return _FIXED[text]
    means, slash, stds = text.partition("/")
    try:
        mean, std = _numbers(means), _numbers(stds)
    except ValueError:
        slash = ""
    if not slash:
        raise UsageError(f"normalization {text!r} is not known: {_FORMS}")
    if not all(math.isfinite(value) for value in (*mean, *std)) or min(std) <= 0:
        raise UsageError(f"normalization {text!r} needs finite means and positive standard deviations: {_FORMS}")
    return mean, std


def format_normalization(mean: Sequence[float], std: Sequence[float]) -> str:
    """Write a normalization so that ``parse_normalization`` gives back the same numbers, bit for bit.

    Args:
        mean: Mean per channel.
        std: Standard deviation per channel.

    Returns:
        Text of the form ``M,M,M/S,S,S``.
    """
    return "/".join(",".join(repr(float(value)) for value in values) for values in (mean, std))


def per_channel(statistics: Statistics, channels: int) -> Statistics:
    """Repeat statistics given once for all channels.

    Args:
        statistics: Means and standard deviations, one or ``channels`` of each.
        channels: Channels of the prepared images.

    Returns:
        ``channels`` means and ``channels`` standard deviations.

    Raises:
        UsageError: There is another number of them.
    """
    mean, std = (values * channels if len(values) == 1 else values for values in statistics)
    if len(mean) != channels or len(std) != channels:
        raise UsageError(
            f"a normalization of {len(statistics[0])} means and {len(statistics[1])} standard deviations does not fit "
            f"images of {channels} channel{'s' * (channels != 1)}: give {channels} of each, or one for all"
        )
    return mean, std


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))
