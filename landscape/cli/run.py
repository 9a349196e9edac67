"""``landscape run``: everything that an experiment file says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from landscape.cli.options import FILE, command_line, quiet_options
from landscape.cli.progress import shown


@click.command(short_help="Run an experiment file.")
@click.argument("experiment", type=FILE)
@click.option("--reduced", is_flag=True, help="The form that fits a small machine; the file says what it cuts.")
@click.option("--dataset", help="Images in place of those of the file, for instance npz:cifar10.npz.")
@click.option("--data-root", "root", type=FILE, help="Folder of the archives.  [default: $LANDSCAPE_DATA or ./data]")
@click.option("--download", is_flag=True, help="Allow fetching the archive.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:i.")
@click.option("--out", type=FILE, help="Folder of the outcome.  [default: results/<name of the file>]")
@quiet_options
def run(experiment: Path, reduced: bool, device: str, out: Path | None, quiet: bool, **images: Any) -> None:
    """Run an experiment: its steps, its table against what was published.

    An experiment is a TOML file with a question, a protocol, steps and expectations. The outcome is a page in
    Markdown with the numbers; runs, checkpoints and interactive pages are below work/. Stop it with Ctrl-C; the same
    command continues.

    \b
        landscape run experiments/variants_band.toml --reduced
    """  # noqa: D301 - for click, a real backspace
    from landscape.tasks.experiment import run_experiment

    given = {key: value for key, value in images.items() if value}
    with shown(quiet) as progress:
        finished = run_experiment(
            experiment,
            reduced=reduced,
            out=out,
            data=given,
            device=device,
            command=command_line(),
            progress=progress,
            say=None if quiet else lambda text: click.echo(text, err=True),
        )
    for outcome in finished.outcomes.values():
        if outcome.page is not None:
            click.echo(outcome.page)
    click.echo(finished.summary)
