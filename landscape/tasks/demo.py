"""``landscape demo``: the whole main job on the embedded images, in under three minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landscape import figures
from landscape.datasets.options import DataOptions
from landscape.progress import Report
from landscape.records import Surface
from landscape.tasks.data import DataChoice
from landscape.tasks.surface import SurfaceOptions, surface_from_checkpoint
from landscape.tasks.variants import WrittenBands, bands_from_training
from landscape.training import TrainConfig, VariantsConfig

NETWORKS = ("vgg_light", "vgg_light_bn")
MODES = (("vgg_light", "frozen"), ("vgg_light_bn", "frozen"), ("vgg_light_bn", "recalibrated"))
INTRO = (
    "Two small VGG networks, without and with BatchNorm, were trained on 4,500 Fashion-MNIST images at four learning "
    "rates, and the loss was measured on random planes around the best of each. Everything here was computed on this "
    "machine, in a few minutes and without a network connection: it shows what the toolkit does, not a result. For the "
    "network with BatchNorm two modes are shown, because the mode decides how sharp it looks: frozen keeps the running "
    "statistics of the checkpoint at every cell, recalibrated recomputes them there."
)


@dataclass(frozen=True)
class WrittenDemo:
    """What the demo left behind.

    Args:
        bands: Runs and bands.
        surfaces: Surfaces of both networks.
        page: The one page.
    """

    bands: WrittenBands
    surfaces: tuple[Surface, ...]
    page: Path


def demo(
    out: Path = Path("results/demo"),
    *,
    epochs: int = 10,
    points: int = 41,
    pairs: int = 2,
    limit: int | None = None,
    device: str = "auto",
    standalone: bool = False,
    command: str = "",
    progress: Report | None = None,
) -> WrittenDemo:
    """Train vgg_light with and without BatchNorm, measure both, and draw one page. Offline; it can be continued.

    Args:
        out: Folder for everything.
        epochs: Passes over the training part.
        points: Points on each axis of the surfaces.
        pairs: Direction pairs.
        limit: Images to train on; None for all 5,000.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        standalone: Whether the page carries plotly's script.
        command: What the user typed, to be shown on the page.
        progress: Called with a ``Progress``; counts start anew for each part.

    Returns:
        Records and files.
    """
    data = DataOptions("fashion_mnist_mini", limit=limit)
    shared = TrainConfig(epochs=epochs, data=data, device=device, out=out)
    bands = bands_from_training(
        VariantsConfig(NETWORKS, seeds=(0,), shared=shared), command=command, standalone=standalone, progress=progress
    )
    surfaces: list[Surface] = []
    for variant, mode in MODES:
        options = SurfaceOptions(
            pairs=pairs, points=points, bn=mode, device=device, data=DataChoice("fashion_mnist_mini", limit=512)
        )
        target = out / f"{variant}-{mode}.h5"
        written = surface_from_checkpoint(
            out / f"{variant}.pth", target, options, command=command, standalone=standalone, progress=progress
        )
        surfaces += written.surfaces
    sections = [figures.surface_section(surfaces), figures.band_section(bands.bands)]
    title = "Loss landscapes of two small networks, with and without BatchNorm"
    page = figures.write_page(out / "demo.html", sections, title=title, intro=INTRO, standalone=standalone)
    return WrittenDemo(bands, tuple(surfaces), page)
