"""What was measured, what was interpolated, and what a number depends on besides the network: in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from landscape.figures.data import count, number, percent
from landscape.figures.data_surface import surface_labels
from landscape.records import Surface

_TOLERATED = 5e-3  # largest relative difference from fp32 that needs no warning


def sampling_sentence(surfaces: Sequence[Surface]) -> tuple[str, ...]:
    """Say how many cells were measured, and how far the others may be off.

    Args:
        surfaces: One surface, or several on grids of one size.

    Returns:
        A sentence, with the largest error of all; none where no cell was interpolated.
    """
    sparse = [surface for surface in surfaces if (surface.done & ~surface.measured).any()]
    if not sparse:
        return ()
    many = np.concatenate([(surface.done & surface.measured).sum(axis=(1, 2)) for surface in surfaces])
    low, high = int(many.min()), int(many.max())
    words = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    place = " per plane" if many.size > 1 else ""
    text = f"{words} of {math.prod(sparse[0].grid.shape):,} cells measured{place}, the others interpolated"
    errors = [surface.error_estimate for surface in sparse]
    if all(math.isfinite(error) and error > 0 for error in errors):
        return (f"{text}; 95 % of them within {percent(float(f'{max(errors):.2g}'))} (estimated from held-out cells).",)
    return (f"{text}; how far they are off was not estimated.",)


def surface_assumed(surfaces: Sequence[Surface]) -> tuple[str, ...]:
    """Collect what was assumed about the checkpoints, and the warnings: both belong beside the center's loss.

    Args:
        surfaces: Surfaces drawn together.

    Returns:
        Sentences, each once.
    """
    texts: list[str] = []
    for surface, name in zip(surfaces, surface_labels(surfaces), strict=True):
        texts += [f"Assumed: {text}" for text in _sentences(surface.provenance.get("assumed"))]
        texts += [f"Warning: {text}" for text in _sentences(surface.provenance.get("warnings"))]
        if surface.at_chance:
            texts.append(_chance(surface))
        texts += _batches(surface)
        texts += _precision(surface, f"{name}: " if name else "")
        if surface.checks.get("ok") is False:
            texts.append("Warning: a geometry check failed; the folded block below the figure lists them.")
        texts += [f"Range: {text}" for text in _sentences(surface.provenance.get("range_notes"))]
        for note in _sentences(surface.checks.get("sampling_notes")):
            of = "" if all(note in _sentences(s.checks.get("sampling_notes")) for s in surfaces) else f" of {name}"
            texts.append(f"Sampling{of}, {note}")
        if surface.grid.center is None:
            texts.append("The grid has no cell at the center: the center's loss comes from its own evaluation.")
    return tuple(dict.fromkeys(texts))


def _sentences(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(text) for text in value or ()]


def _chance(surface: Surface) -> str:
    text = (
        f"Warning: the accuracy at the center, {number(surface.center.accuracy, 3)}, is that of guessing among "
        f"{surface.recipe['classes']} classes"
    )
    return text + ("; what was assumed may be wrong." if surface.provenance.get("assumed") else ".")


def _batches(surface: Surface) -> list[str]:
    recipe = surface.recipe
    if recipe.get("bn") != "batch" or not recipe.get("has_batchnorm", True):
        return []
    size = recipe.get("batch_size")
    text = "BN mode batch: the loss depends on the batch size, for each batch is normalised by its own statistics; "
    if not isinstance(size, int):
        return [f"{text}here the size is not recorded."]
    examples = int(recipe.get("examples") or surface.center.examples or 0)
    if examples and size >= examples:
        return [
            f"{text}here one batch holds all {examples:,} examples: BN modes batch and "
            "recalibrated are the same function then."
        ]
    return [f"{text}here a batch holds {count(size, 'example')}."]


def _precision(surface: Surface, prefix: str) -> list[str]:
    error = surface.checks.get("precision_error")
    if not isinstance(error, dict) or not np.isfinite(error.get("largest", math.nan)):
        return []
    largest, rms = float(error["largest"]), float(error.get("rms", math.nan))
    typical = "" if math.isnan(rms) else f", {percent(float(f'{rms:.2g}'))} in the root mean square"
    text = (
        f"{prefix}losses in {surface.recipe.get('precision', 'this precision')} differ from those in fp32 by at most "
        f"{percent(float(f'{largest:.2g}'))}{typical}, over {count(int(error.get('cells', 0)), 'cell')}"
    )
    lost = int(error.get("not_finite", 0))
    text += f"; {count(lost, 'more cell')} finite in one of the two only" if lost else ""
    if largest > _TOLERATED or lost:
        return [f"Warning: {text}. Measure in fp32 what depends on such differences."]
    return [f"{text[0].upper()}{text[1:]}."]
