"""``landscape train-variants`` and ``landscape demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from landscape.cli.options import FILE, command_line, data_options, engine_option, machine_options, output_options, take
from landscape.cli.progress import shown
from landscape.cli.training import network_options, take_images, take_network, training_option
from landscape.cli.types import CommaList, Positive
from landscape.progress import Progress
from landscape.words import FUSE, LEARNING_RATES, VARIANTS


@click.command("train-variants", short_help="Train networks over learning rates, draw loss bands.")
@click.option(
    "--lrs",
    "learning_rates",
    type=CommaList(Positive(), distinct=True),
    default=",".join(f"{r:g}" for r in LEARNING_RATES),
    show_default=True,
    help="Learning rates: the members of a band.",
)
@click.option(
    "--variants",
    type=CommaList(click.STRING, distinct=True),
    default=",".join(VARIANTS),
    show_default=True,
    help="Networks.",
)
@training_option("seeds", help="Seeds; each gives a band.")
@training_option("epochs")
@training_option("batch_size")
@training_option("optimizer")
@training_option("weight_decay")
@network_options(init="he")
@data_options(limit=None, settle=True)
@machine_options
@engine_option
@click.option(
    "--fuse",
    type=click.Choice(FUSE),
    default="auto",
    show_default=True,
    help="Train the learning rates of a network in one pass; auto tries it on a GPU.",
)
@training_option("tensorboard")
@click.option(
    "--out",
    type=FILE,
    default=Path("results/variants"),
    show_default=True,
    help="Folder for runs, checkpoints and bands.",
)
@output_options
def train_variants(out: Path, quiet: bool, standalone: bool, **options: Any) -> None:
    """Train network variants over learning rates and draw their loss bands.

    A loss band (the labs' Lipschitz curves) is the spread of different training runs at the same step. It does not
    measure how the loss varies along a gradient or around one network.

    Every variant x learning rate x seed; a tenth of the train split is held out. Finished runs are never trained
    again. Stop it with Ctrl-C; the same command continues at the last epoch.

    \b
        landscape train-variants --lrs 1e-4,5e-4,1e-3,3e-3
        landscape train-variants --variants vgg_light,vgg_light_bn --limit 5000 --epochs 5
    """  # noqa: D301 - for click, a real backspace
    from landscape import figures
    from landscape.tasks.variants import bands_from_training
    from landscape.training import TrainConfig, VariantsConfig

    data, network = take_images(options), take_network(options)
    members = take(options, "variants", "learning_rates", "seeds", "engine", "fuse")
    shared = TrainConfig(data=data, model_options=network, out=out, **options)
    config = VariantsConfig(**members, shared=shared)

    def images(first: Progress) -> int:
        """Without --limit the number of images shows in the number of steps."""
        steps = first.total / len(config.runs()) / shared.epochs
        return data.limit or round(steps * shared.batch_size / (1 - shared.validation))

    with shown(quiet, limit=images) as progress:
        written = bands_from_training(config, command=command_line(), standalone=standalone, progress=progress)
    if not quiet:
        click.echo(figures.band_summary(written.bands))
    for path in (*written.checkpoints, written.file, written.image, written.page):
        click.echo(path)


@click.command(short_help="Train, measure and draw on embedded images.")
@click.option("--out", type=FILE, default=Path("results/demo"), show_default=True, help="Folder for everything.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:i.")
@output_options
def demo(out: Path, device: str, quiet: bool, standalone: bool) -> None:
    """Show everything on embedded images: train two small networks, measure them, draw one page.

    Needs no network connection and under three minutes on two cores. The last line is the page to open.

    \b
        landscape demo
    """  # noqa: D301 - for click, a real backspace
    from landscape import figures
    from landscape.tasks.demo import demo as run

    with shown(quiet) as progress:
        written = run(out, device=device, standalone=standalone, command=command_line(), progress=progress)
    if not quiet:
        click.echo(figures.band_summary(written.bands.bands))
        click.echo(figures.surface_summary(written.surfaces))
        click.echo("Open this page in a browser:")
    click.echo(written.page)
