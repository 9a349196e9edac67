"""One call for one figure: plotly Figures for a notebook, PNG files for a paper."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import plotly.graph_objects as go

from landscape.atomic import replacing
from landscape.figures.data import Scale
from landscape.figures.data_band import BandPanel, Show, band_panels, single_panel
from landscape.figures.data_surface import surface_panels
from landscape.figures.draw_matplotlib import bands_image, surfaces_image
from landscape.figures.draw_plotly import figure
from landscape.figures.draw_plotly_band import draw_bands
from landscape.figures.draw_plotly_surface import View, draw_surfaces
from landscape.figures.text_band import band_title
from landscape.figures.text_sampling import sampling_sentence
from landscape.figures.text_surface import surface_conditions, surface_title
from landscape.records import LossBand, Surface, VariantBands


def surface(
    surfaces: Surface | Sequence[Surface],
    *,
    scale: Scale = "log",
    view: View = "surface",
    labels: Sequence[str] | None = None,
) -> go.Figure:
    """Draw every plane of one or more surfaces, on one scale of colours.

    Args:
        surfaces: One surface, or several that are compared.
        scale: Kind of loss axis.
        view: Interactive 3-D surfaces, or seen from above with iso-lines.
        labels: Names of the surfaces; by default what tells them apart.

    Returns:
        A plotly figure.

    Raises:
        UsageError: There is no surface, or the labels do not fit them.
    """
    many = [surfaces] if isinstance(surfaces, Surface) else list(surfaces)
    drawn = figure(draw_surfaces(surface_panels(many, labels), scale=scale, view=view))
    return titled(drawn, f"{surface_title(many)}<br><sub>{_below_title(many)}</sub>")


def _below_title(surfaces: Sequence[Surface]) -> str:
    sampling = [text.rstrip(".") for text in sampling_sentence(surfaces)]
    return " · ".join([*surface_conditions(surfaces), *(part for text in sampling for part in text.split("; "))])


def band(
    bands: VariantBands | LossBand,
    *,
    show: Show = "mean",
    scale: Scale = "linear",
    seed: int | None = None,
    runs: Literal["hide", "show"] = "hide",
) -> go.Figure:
    """Draw loss bands: for a comparison of variants a panel for each network and its BatchNorm twin.

    Args:
        bands: All runs of a comparison, or one band.
        show: Training loss with a running mean, as it is, or validation loss or accuracy by epoch. One band has
            steps only.
        scale: Kind of vertical axis.
        seed: Seed that is drawn; by default the first.
        runs: Whether single runs are drawn; collapsed and diverged ones always are, dashed.

    Returns:
        A plotly figure.
    """
    panels, title = _band_panels(bands, show, seed)
    return titled(figure(draw_bands(panels, show=show, scale=scale, runs=runs)), title)


def _band_panels(bands: VariantBands | LossBand, show: Show, seed: int | None) -> tuple[tuple[BandPanel, ...], str]:
    if isinstance(bands, LossBand):
        title = f"Loss band over {len(bands.members)} members ({bands.over.replace('_', ' ')})"
        return (single_panel("loss band", bands, smooth=show == "mean"),), title
    chosen = int(bands.seed[0]) if seed is None else seed
    return band_panels(bands, seed=chosen, show=show), f"{band_title(bands)} · seed {chosen}"


def titled(drawn: go.Figure, title: str) -> go.Figure:
    """Write a title over a figure, which grows by it."""
    drawn.update_layout(title={"text": title, "font": {"size": 16}, "x": 0.01, "xanchor": "left"})
    drawn.update_layout(height=drawn.layout.height + 60, margin={"t": drawn.layout.margin.t + 60})
    return drawn


def write_surface_png(
    path: str | os.PathLike[str],
    surfaces: Surface | Sequence[Surface],
    *,
    scale: Scale = "log",
    labels: Sequence[str] | None = None,
    dpi: int = 150,
) -> Path:
    """Write the planes of one or more surfaces as an image: seen from above, with labelled iso-lines.

    Args:
        path: The file to write, replaced whole; its ending may be ``.png``, ``.pdf`` or ``.svg``.
        surfaces: One surface, or several that are compared.
        scale: Kind of loss axis.
        labels: Names of the surfaces; by default what tells them apart.
        dpi: Dots per inch.

    Returns:
        The path.

    Raises:
        StorageError: The file cannot be written.
        UsageError: There is no surface, or the labels do not fit them.
    """
    many = [surfaces] if isinstance(surfaces, Surface) else list(surfaces)
    title, line = surface_title(many), _below_title(many)
    image = surfaces_image(surface_panels(many, labels), scale=scale, title=title, conditions=line)
    target = Path(path)
    with replacing(target) as partial:
        image.savefig(partial, dpi=dpi, format=target.suffix[1:] or "png")
    return target


def write_band_png(
    path: str | os.PathLike[str],
    bands: VariantBands | LossBand,
    *,
    show: Show | None = None,
    scale: Scale = "linear",
    seed: int | None = None,
    dpi: int = 150,
) -> Path:
    """Write loss bands as an image.

    Args:
        path: The file to write, replaced whole; its ending may be ``.png``, ``.pdf`` or ``.svg``.
        bands: All runs of a comparison, or one band.
        show: Training loss with a running mean, as it is, or validation loss or accuracy by epoch. By default a
            row of the first and, where there are epochs, a row of validation losses.
        scale: Kind of vertical axis.
        seed: Seed that is drawn, and said; by default the first.
        dpi: Dots per inch.

    Returns:
        The path.

    Raises:
        StorageError: The file cannot be written.
    """
    epochs = isinstance(bands, VariantBands) and bands.epoch.size > 0
    shows: tuple[Show, ...] = (show,) if show else ("mean", "val_loss") if epochs else ("mean",)
    rows = [(one, _band_panels(bands, one, seed)[0]) for one in shows]
    image = bands_image(rows, scale=scale, title=_band_panels(bands, shows[0], seed)[1])
    target = Path(path)
    with replacing(target) as partial:
        image.savefig(partial, dpi=dpi, format=target.suffix[1:] or "png")
    return target
