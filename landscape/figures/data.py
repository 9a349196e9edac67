"""What every figure needs before it is drawn: numbers as text, round ticks, tables and facts.

Nothing here, and nothing in the renderers, changes a measured value. What cannot be drawn becomes NaN: a gap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from landscape.records.base import FloatArray

Scale = Literal["log", "linear"]
WITHOUT_BN, WITH_BN = "#e0701a", "#2b83c6"  # orange and blue: apart for colour-blind readers, and on light and dark
DATASETS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "fashion_mnist_mini": "Fashion-MNIST (embedded)",
}
SPLITS = {"train": "training", "test": "test"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of finished text.

    Args:
        caption: What it shows.
        header: Names of the columns.
        rows: Cells as text, one tuple per row.
        words: Number of leading columns that hold words; the others hold figures and are aligned right.
        note: A line below it.
        definitions: Names and what they mean, folded below it.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    note: str = ""
    definitions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """A list of settings or checks under one heading.

    Args:
        title: The heading.
        items: Names and values as text.
        code: Whether the values are commands, shown as they would be typed.
    """

    title: str
    items: tuple[tuple[str, str], ...]
    code: bool = False


def number(value: float, digits: int = 4) -> str:
    """Write a number for a reader.

    Args:
        value: Any number.
        digits: Most significant digits.

    Returns:
        The number; a dash for NaN, the sign for infinity.
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text.replace("-", "−")
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def with_error(value: float, error: float) -> str:
    """Write a number with its standard error.

    Args:
        value: The number.
        error: Its standard error; NaN where it is not known.

    Returns:
        For instance ``0.043 ± 0.014``: as many decimals as two digits of the error have, and at most four significant
        digits; the number alone where the error is not known.
    """
    if math.isnan(error):
        return number(value)
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{number(value)} ± {number(error, 2)}"
    return f"{number(round(value, 1 - math.floor(math.log10(error))))} ± {number(error, 2)}"


def percent(share: float) -> str:
    """Write a share in percent.

    Args:
        share: A share, 0 to 1.

    Returns:
        For instance ``97.3 %``; only all is 100.
    """
    text = number(100 * share, 3)
    return f"{'over 99.9' if text == '100' and share < 1 else text} %"


def ratio_text(value: float, sd: float = float("nan"), seeds: int = 0) -> str:
    """Write a ratio, with its spread where there is one.

    Args:
        value: The ratio, or its mean over seeds.
        sd: Standard deviation over seeds; NaN for one seed.
        seeds: Number of seeds, said beside the spread; 0 leaves that out.

    Returns:
        Three significant digits, for instance ``1.10 ± 0.21 (3 seeds)``.
    """
    text = f"{value:#.3g}".rstrip(".") if math.isfinite(value) and 0.01 <= abs(value) < 1000 else number(value, 3)
    text += "" if math.isnan(sd) else f" ± {number(sd, 2)}"
    return text + (f" ({seeds} seeds)" if seeds and not math.isnan(sd) else "")


def count(value: int, one: str, many: str = "") -> str:
    """Write how many there are, with the word that fits.

    Args:
        value: How many.
        one: The word for one.
        many: The word for another number; by default with an ``s``.

    Returns:
        For instance ``1,681 cells``.
    """
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """Join words as in a sentence.

    Args:
        words: What to join.

    Returns:
        For instance ``a, b and c``.
    """
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def scaled(values: FloatArray, scale: Scale) -> FloatArray:
    """Place losses on an axis.

    Args:
        values: Losses.
        scale: Kind of axis.

    Returns:
        The losses or their decimal logarithm. What is not finite, or not positive on a logarithmic axis, is NaN.
    """
    kept = np.where(np.isfinite(values) & ((values > 0) | (scale == "linear")), values, np.nan)
    return np.log10(kept) if scale == "log" else kept


def round_values(low: float, high: float, scale: Scale, *, most: int = 8) -> list[float]:
    """Choose round losses between two losses: for ticks and iso-lines.

    Args:
        low: Smallest loss; positive for a logarithmic scale.
        high: Largest loss.
        scale: Kind of axis.
        most: Number of values that is not exceeded.

    Returns:
        Increasing values within ``[low, high]``.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return [low] if math.isfinite(low) else []
    if scale == "log" and high / low > 4:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            values = [d * 10.0**k for k in decades for d in digits]
            values = [v for v in values if low <= v <= high]
            if len(values) <= most:
                return values
        return values[:: math.ceil(len(values) / most)]
    raw = (high - low) / most
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(base * m for m in (1, 2, 2.5, 5, 10) if base * m >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)][:most]


def fact_text(value: Any) -> str:
    """Write a setting as text.

    Args:
        value: A JSON value.

    Returns:
        Text; long lists are shortened and say how many there are.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value, 6)
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {fact_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        shown = ", ".join(fact_text(v) for v in value[:12])
        return shown if len(value) <= 12 else f"{shown}, … ({len(value)} values)"
    return "not recorded" if value is None else str(value)


def facts(title: str, values: Mapping[str, Any], names: tuple[str, ...] | None = None) -> Facts:
    """Make a list of facts from a record's mapping.

    Args:
        title: The heading.
        values: The mapping.
        names: Keys to take where they are present; by default all.

    Returns:
        The facts, in the order asked.
    """
    keys = [name for name in (values if names is None else names) if name in values]
    return Facts(title, tuple((key.replace("_", " "), fact_text(values[key])) for key in keys))


def data_words(recipe: Mapping[str, Any], examples: int = 0) -> str:
    """Say which data a record was made from.

    Args:
        recipe: Its recipe.
        examples: Number of examples, where the recipe does not say.

    Returns:
        For instance ``128 CIFAR-10 training images``.
    """
    total = int(recipe.get("examples") or examples or 0)
    name = recipe.get("dataset")
    if not name:
        return count(total, "example") if total else "data not recorded"
    split = str(recipe.get("split", ""))
    words = [f"{total:,}" if total else "", DATASETS.get(str(name), str(name)), SPLITS.get(split, split), "images"]
    return " ".join(word for word in words if word)
