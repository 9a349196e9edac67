"""``landscape plot`` and ``landscape info``."""

from __future__ import annotations

from pathlib import Path

import click

from landscape.cli.options import FILE, output_options, quiet_options
from landscape.cli.types import CommaList

FORMATS = ("html", "png", "pdf", "vtk")


@click.command(short_help="Draw a stored result again, without measuring.")
@click.argument("files", metavar="FILE...", type=FILE, nargs=-1, required=True)
@click.option(
    "--format",
    "formats",
    type=CommaList(click.Choice(FORMATS)),
    default="html,png",
    show_default=True,
    help="html, png, pdf, vtk; several with commas.",
)
@click.option("--out", type=FILE, help="Where to write; the format gives the ending.  [default: beside the first FILE]")
@output_options
def plot(files: tuple[Path, ...], formats: tuple[str, ...], out: Path | None, standalone: bool, quiet: bool) -> None:
    """Draw a stored surface, stored bands, traces or an evaluation again, without measuring anything.

    Several files make one figure where all are traces of 'landscape smoothness'.

    \b
        landscape plot results/surfaces/vgg_bn.h5 --format html,pdf,vtk
        landscape plot traces/vgg-lr0.1-seed0.h5 traces/vgg_bn-lr0.1-seed0.h5 --out smoothness
    """  # noqa: D301 - for click, a real backspace
    from landscape.tasks.plot import plot as run

    for path in run(files, formats=formats, out=out, standalone=standalone):
        click.echo(path)


@click.command(short_help="Say what a file holds and how it was made.")
@click.argument("file", type=FILE)
@quiet_options
def info(file: Path, quiet: bool) -> None:
    """Say what a result file or a checkpoint holds and how it was made.

    \b
        landscape info results/surfaces/vgg_bn.h5
    """  # noqa: D301 - for click, a real backspace
    from landscape.tasks.info import info as run

    lines = run(file)
    width = min(36, max(len(name) for name, _ in lines)) + 2
    for name, text in lines:
        click.echo(f"{name:<{width}}{text}")
