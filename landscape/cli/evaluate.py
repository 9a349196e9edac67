"""``landscape evaluate``."""

from __future__ import annotations

import json
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
    loss_option,
    machine_options,
    output_options,
)
from landscape.cli.progress import shown
from landscape.cli.tables import show


@click.command(short_help="Say how well a network classifies, class by class.")
@checkpoint_options
@loss_option
@click.option(
    "--mistakes",
    type=click.IntRange(min=0),
    default=12,
    show_default=True,
    help="How many of the most confident mistakes are kept with their images.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=500, show_default=True, help="Images at a time.")
@data_options(limit=None, settle=False)
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True, help="Which images.")
@machine_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on standard output.")
@click.option(
    "--out", type=FILE, help="Evaluation file, replaced if it exists.  [default: results/evaluations/<checkpoint>.h5]"
)
@output_options
def evaluate(
    *,
    ckpt: Path,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    standalone: bool,
    model_options: tuple[tuple[str, Any], ...],
    **options: Any,
) -> None:
    """Say how well a network classifies: accuracy, top-5 and loss, class by class, and what it takes for what.

    Writes the evaluation (.h5), a page with the confusion matrix and the most confident mistakes (.html) and a picture
    (.png) beside each other. Intervals are Wilson's, 95 %.

    \b
        landscape evaluate --ckpt vgg_bn.pth
        landscape evaluate --ckpt vgg_bn.pth --split train --limit 5000 --json
    """  # noqa: D301 - for click, a real backspace
    from landscape import figures
    from landscape.tasks.evaluate import EvaluateOptions, evaluate_checkpoint, evaluation_json

    data = data_choice(options)
    settings = EvaluateOptions(data=data, model_options=dict(model_options), **options)
    with shown(quiet, limit=data.limit) as progress:
        written = evaluate_checkpoint(
            ckpt,
            out,
            settings,
            command=command_line(),
            standalone=standalone,
            progress=progress,
            say=None if quiet else partial(click.echo, err=True),
        )
    if as_json:
        click.echo(json.dumps(evaluation_json(written), indent=2, ensure_ascii=False, allow_nan=False))
        return
    found = written.evaluation
    if not quiet:
        for text in figures.evaluation_notes(found):
            if not text.startswith("Assumed"):  # told before
                click.echo(text, err=True)
        click.echo(figures.evaluation_summary(found))
        for make in (figures.class_table, figures.confusion_table, figures.mistake_table):
            table = make(found)
            if table is not None:
                show(table)
    for path in (written.file, written.image, written.page):
        click.echo(path)
