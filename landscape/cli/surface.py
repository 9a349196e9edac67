"""``landscape surface`` and ``landscape check``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from landscape.cli.options import (
    FILE,
    checkpoint_options,
    command_line,
    data_choice,
    data_options,
    engine_option,
    loss_option,
    machine_options,
    output_options,
    quiet_options,
    split_option,
)
from landscape.cli.progress import shown
from landscape.cli.types import Positive, Radius
from landscape.words import BN_MODES, NORMALIZATIONS, SAMPLINGS

LIMIT = 512
_TOLD = ("Warning", "BN mode", "Sampling")  # of what the page assumes; the rest is said before measuring


def _planes(function: Any) -> Any:
    for option in (
        click.option("--seed", type=int, default=0, show_default=True, help="Seed of the directions."),
        click.option("--orthogonal/--no-orthogonal", default=True, show_default=True, help="Orthogonal pairs."),
        click.option(
            "--normalize",
            type=click.Choice(NORMALIZATIONS),
            default="filter",
            show_default=True,
            help="How long a direction is.",
        ),
        click.option("--pairs", type=click.IntRange(min=1), default=4, show_default=True, help="Direction pairs."),
    ):
        function = option(function)
    return function


@click.command()
@checkpoint_options
@_planes
@click.option("--points", type=click.IntRange(min=1), default=41, show_default=True, help="Points on each axis.")
@click.option(
    "--radius",
    type=Radius(),
    default=1.0,
    show_default=True,
    help="Largest multiplier of a direction, or auto: to where the loss reaches the budget.",
)
@click.option(
    "--budget", type=Positive(), help="Loss at which an automatic range ends.  [default: 5 x the center's + 1]"
)
@click.option(
    "--bn", type=click.Choice([*BN_MODES, "all"]), default="frozen", show_default=True, help="BatchNorm statistics."
)
@loss_option
@click.option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    default="adaptive",
    show_default=True,
    help="Which cells are measured: those that the surface needs, the others interpolated; or all.",
)
@click.option(
    "--rtol",
    type=Positive(),
    default=0.03,
    show_default=True,
    help="Wanted relative error that 95 % of the estimated cells keep.",
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), help="Images at a time, at most.  [default: 512; on a GPU 4096]"
)
@click.option(
    "--evaluator",
    default="auto",
    show_default=True,
    help="How cells become numbers: auto times a few, sequential is bit for bit a direct evaluation.",
)
@data_options(limit=LIMIT, settle=False)
@split_option
@machine_options
@engine_option
@click.option(
    "--out", type=FILE, help="Surface file, continued if it exists.  [default: results/surfaces/<checkpoint>.h5]"
)
@output_options
def surface(
    ckpt: Path,
    out: Path | None,
    quiet: bool,
    standalone: bool,
    model_options: tuple[tuple[str, Any], ...],
    **options: Any,
) -> None:
    """Measure the loss on random planes through a checkpoint.

    Writes the surface (.h5), an interactive page (.html) and a picture (.png) beside each other. Stop it with Ctrl-C;
    the same command continues.

    \b
        landscape surface --ckpt vgg_bn.pth --pairs 4
        landscape surface --ckpt vgg_bn.pth --bn all --points 25 --limit 512
    """  # noqa: D301, DOC501 - for click, a real backspace
    from landscape import figures
    from landscape.tasks.surface import SurfaceOptions, surface_from_checkpoint

    if options["budget"] is not None and options["radius"] != "auto":
        raise click.UsageError("--budget is the loss at which an automatic range ends: add --radius auto")
    data = data_choice(options)
    settings = SurfaceOptions(data=data, model_options=dict(model_options), **options)
    if settings.points % 2 == 0 and not quiet:
        click.echo(
            f"{settings.points} points an axis is even: no cell lies on the center; its loss is measured apart.",
            err=True,
        )
    with shown(quiet, limit=data.limit) as progress:
        written = surface_from_checkpoint(
            ckpt,
            out,
            settings,
            command=command_line(),
            standalone=standalone,
            progress=progress,
            say=None if quiet else partial(click.echo, err=True),
        )
    if not quiet:
        for text in figures.surface_assumed(written.surfaces):
            if text.startswith(_TOLD):
                click.echo(text, err=True)
        click.echo(figures.surface_summary(written.surfaces))
    for path in (*written.files, written.image, written.page):
        click.echo(path)


@click.command(short_help="Check the geometry of the planes, on this machine.")
@checkpoint_options
@_planes
@click.option("--bn", type=click.Choice(BN_MODES), default="frozen", show_default=True, help="BatchNorm statistics.")
@data_options(limit=LIMIT, settle=False, otherwise="none: seeded random images")
@split_option
@machine_options
@quiet_options
def check(ckpt: Path, quiet: bool, model_options: tuple[tuple[str, Any], ...], **options: Any) -> int:
    """Check the geometry of planes through a checkpoint, on this machine.

    Filter norms, orthogonality, the center cell against a direct evaluation, and the network left as it was. Without
    --dataset the network sees seeded random images. Exits with 1 when a check fails.

    \b
        landscape check --ckpt vgg_bn.pth
    """  # noqa: D301, DOC201 - help for a terminal
    from landscape.tasks.check import check as run
    from landscape.tasks.surface import SurfaceOptions

    data = data_choice(options)
    report = run(ckpt, SurfaceOptions(data=data, model_options=dict(model_options), **options))
    if not quiet:
        for note in report.notes:
            click.echo(f"Assumed: {note}", err=True)
        pairs = f"{options['pairs']} pair{'' if options['pairs'] == 1 else 's'}"
        click.echo(f"{report.model}, BN mode {options['bn']}, {pairs}, on {report.inputs}")
        for name, value in report.checks.items():
            shown = f"{value:.3g}" if isinstance(value, float) else value
            click.echo(f"  {name.replace('_', ' '):<24}{shown}")
    click.echo("geometry holds" if report.checks["ok"] else "geometry does NOT hold")
    return 0 if report.checks["ok"] else 1
