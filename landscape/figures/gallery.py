"""A grid of small pictures, each with its caption, as a page holds them: embedded, so that no file is needed."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture and what is said of it.

    Args:
        pixels: Shape ``(height, width, channels)`` with 1 or 3 channels, uint8.
        caption: A line below it.
        detail: A quiet line below that.
    """

    pixels: NDArray[Any]
    caption: str
    detail: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Pictures under one heading.

    Args:
        title: The heading.
        pictures: The pictures, in reading order.
        note: A line below them.
    """

    title: str
    pictures: Sequence[Picture]
    note: str = ""


def data_uri(pixels: NDArray[Any]) -> str:
    """Write pixels as a PNG inside an address.

    Args:
        pixels: Shape ``(height, width, channels)`` with 1 or 3 channels, uint8.

    Returns:
        ``data:image/png;base64,...``; the picture holds exactly these pixels.
    """
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
    image.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def gallery_html(gallery: Gallery) -> str:
    """Write a gallery for a page.

    Args:
        gallery: The pictures.

    Returns:
        HTML.
    """
    items = "".join(
        f'<li><img src="{data_uri(picture.pixels)}" alt="{escape(picture.caption)}">'
        f"<span>{escape(picture.caption)}</span><small>{escape(picture.detail)}</small></li>"
        for picture in gallery.pictures
    )
    note = f'<p class="small">{escape(gallery.note)}</p>' if gallery.note else ""
    return f'<div class="gallery"><h3>{escape(gallery.title)}</h3><ul>{items}</ul>{note}</div>'
