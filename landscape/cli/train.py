"""``landscape train``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from landscape.cli.options import FILE, command_line, data_options, machine_options, output_options, stack, take
from landscape.cli.progress import shown
from landscape.cli.training import take_images, training_option
from landscape.cli.types import CommaList, KeyValue, Positive
from landscape.progress import Progress
from landscape.words import SCHEDULERS

F = TypeVar("F", bound=Callable[..., Any])

_NETWORK = (
    click.option("--model", required=True, help="The network: a name or package.module:factory."),
    click.option(
        "--model-option", "model_options", type=KeyValue(), multiple=True, help="An option of it; repeat for more."
    ),
    click.option(
        "--pretrained",
        type=FILE,
        metavar="FILE",
        help="Short for --model-option pretrained=FILE: weights to begin with; resnet18 replaces its last layer.",
    ),
    click.option("--activation", help="Short for --model-option activation=...: relu, sigmoid or tanh in cifar10net."),
)
_OPTIMIZATION = (
    click.option(
        "--loss",
        default="cross_entropy",
        show_default=True,
        help="cross_entropy, label_smoothing:0.1, bce or mse (both against one-hot targets).",
    ),
    training_option("optimizer"),
    click.option(
        "--lr",
        "learning_rate",
        type=Positive(),
        default=1e-3,
        show_default=True,
        help="Learning rate; onecycle's peak.",
    ),
    click.option(
        "--scheduler",
        type=click.Choice(SCHEDULERS),
        default="none",
        show_default=True,
        help="How the learning rate moves: onecycle by step, plateau by validation loss, step and cosine by epoch.",
    ),
    click.option(
        "--scheduler-option",
        "scheduler_options",
        type=KeyValue(),
        multiple=True,
        help="A setting of it, under torch's name; repeat for more.  [default: onecycle pct_start=0.3 div_factor=25 "
        "final_div_factor=1e4; plateau factor=0.1 patience=5 threshold=1e-4 cooldown=0 min_lr=0; step step_size=10 "
        "gamma=0.1; cosine eta_min=0]",
    ),
    training_option("weight_decay"),
    click.option("--grad-clip", help="Cut gradients: value:0.1 each element, norm:1 the norm of all.  [default: not]"),
    training_option("batch_size"),
    training_option("epochs"),
    click.option(
        "--early-stop",
        type=click.IntRange(min=1),
        metavar="PATIENCE",
        help="End after so many epochs without a lower validation loss.  [default: never]",
    ),
    click.option(
        "--augment",
        type=CommaList(click.STRING),
        help="Change training images anew in every epoch: flip, crop, autoaugment, noise:0.05; several with commas.",
    ),
    click.option(
        "--val-every",
        type=click.IntRange(min=1),
        metavar="STEPS",
        help="Validate after so many steps too, and keep the best network found so.  [default: after epochs]",
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Of weights, batches, dropout, augmentation."),
)


def run_options(function: F) -> F:
    """Add the options that settle one training run, apart from its images and the machine."""
    return stack(*_NETWORK, *_OPTIMIZATION)(function)


def network_shorts(options: dict[str, Any]) -> dict[str, str]:
    """Take the options of a command out that are short for an option of the network.

    Args:
        options: Values by name; these are removed.

    Returns:
        Options of the network.
    """
    found = take(options, "activation", "pretrained")
    return {name: str(value) for name, value in found.items() if value is not None}


def config_from(options: dict[str, Any], out: Path | None, tensorboard: Path | None = None) -> Any:
    """Make the settings of a run from what was typed.

    Args:
        options: Values of ``run_options``, ``data_options`` and ``machine_options``, by name.
        out: Folder of the run.
        tensorboard: Folder of logs.

    Returns:
        A ``TrainConfig``.
    """
    from landscape.training import TrainConfig

    given = dict(options)
    data = take_images(given)
    network = dict(given.pop("model_options")) | network_shorts(given)
    given["scheduler_options"] = dict(given["scheduler_options"])
    given["augment"] = given["augment"] or ()
    return TrainConfig(data=data, model_options=network, out=out, tensorboard=tensorboard, **given)


@click.command(short_help="Train a network; curves as a page and a picture.")
@run_options
@data_options(limit=None, settle=True)
@machine_options
@training_option("tensorboard")
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Continue the run of that name in --out, or remove it and begin anew.",
)
@click.option(
    "--out", type=FILE, default=Path("results/train"), show_default=True, help="Folder for record, checkpoints, curves."
)
@output_options
def train(out: Path, tensorboard: Path | None, resume: bool, quiet: bool, standalone: bool, **options: Any) -> None:
    """Train a network on a data set and draw its curves.

    A tenth of the train split is held out; the network with the highest accuracy on it is kept as -best.pth beside
    -last.pth. A finished run is not trained again. Stop it with Ctrl-C; the same command continues at the last epoch.

    \b
        landscape train --model vgg_bn --epochs 10
        landscape train --model vgg_light_bn --optimizer adam --lr 1e-2 --scheduler onecycle --augment flip,crop
    """  # noqa: D301 - for click, a real backspace
    from landscape import figures
    from landscape.tasks.train import train_network

    config = config_from(options, out, tensorboard)

    def images(first: Progress) -> int:
        """Without --limit the number of images shows in the number of steps."""
        found: float = config.data.limit or first.total / config.epochs * config.batch_size / (1 - config.validation)
        return round(found)

    with shown(quiet, limit=images) as progress:
        written = train_network(config, resume=resume, command=command_line(), standalone=standalone, progress=progress)
    if not quiet:
        click.echo(figures.training_summary(written.run))
    for path in (*written.checkpoints, written.file, written.image, written.page):
        click.echo(path)
