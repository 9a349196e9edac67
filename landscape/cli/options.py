"""Options that several commands share, and how they become settings."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from landscape.cli.types import KeyValue
from landscape.words import PRECISIONS

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path)


def stack(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Make one decorator of several options, which help lists in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def take(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Take the options of these names out, those that there are.

    Args:
        options: Values by name; those taken are removed.
        *names: Which ones.

    Returns:
        Values by name.
    """
    return {name: options.pop(name) for name in names if name in options}


def data_options(
    *, limit: int | None, settle: bool, otherwise: str = "as the checkpoint says, else cifar10"
) -> Callable[[F], F]:
    """Make the options that say which images.

    Args:
        limit: Default number of images; None for all.
        settle: Whether data set and normalization have defaults of their own; else the checkpoint says them.
        otherwise: What help says of a data set that nobody named.

    Returns:
        A decorator.
    """
    told = {} if settle else {"show_default": "as the checkpoint says"}
    return stack(
        click.option(
            "--dataset",
            default="cifar10" if settle else None,
            show_default=True if settle else otherwise,
            help="fashion_mnist_mini, cifar10, mnist, fashion_mnist, folder:DIR or npz:FILE.",
        ),
        click.option(
            "--data-root", "root", type=FILE, help="Folder of the archives.  [default: $LANDSCAPE_DATA or ./data]"
        ),
        click.option("--download", is_flag=True, help="Allow fetching the archive."),
        click.option(
            "--limit",
            type=click.IntRange(min=1),
            default=limit,
            show_default=True,
            help="Number of images: a class-balanced prefix of one fixed shuffle.",
        ),
        click.option(
            "--image-size", type=click.IntRange(min=1), help="Height and width: 28 to 32 is padded, others resized."
        ),
        click.option("--channels", type=click.IntRange(min=1), help="Channels: 1 to 3 is repeated."),
        click.option(
            "--normalization",
            default="dataset" if settle else None,
            show_default=True if settle else told["show_default"],
            help="dataset, half, none or M,M,M/S,S,S.",
        ),
    )


def data_choice(options: dict[str, Any]) -> Any:
    """Take what ``data_options`` and ``--split`` brought out of a command's options.

    Args:
        options: Values by name; those of the images are removed.

    Returns:
        A ``landscape.tasks.data.DataChoice``; a default limit that nobody typed may be more than there is.
    """
    from landscape.tasks.data import DataChoice

    names = ("dataset", "root", "split", "limit", "normalization", "image_size", "channels", "download")
    fewer = click.get_current_context().get_parameter_source("limit") is click.core.ParameterSource.DEFAULT
    return DataChoice(fewer=fewer, **take(options, *names))


def checkpoint_options(function: F) -> F:
    """Add the options that name a checkpoint and its network."""
    return stack(
        click.option("--ckpt", type=FILE, required=True, help="Checkpoint."),
        click.option("--model", help="Its network, where the file does not say it: a name or package.module:factory."),
        click.option(
            "--model-option",
            "model_options",
            type=KeyValue(),
            multiple=True,
            help="An option of the network; repeat for more.",
        ),
    )(function)


def loss_option(function: F) -> F:
    """Add the option that says with which loss a checkpoint is measured."""
    return click.option(
        "--loss",
        help="cross_entropy, label_smoothing:0.1, mse or bce.  [default: that of the training, else cross_entropy]",
    )(function)


def machine_options(function: F) -> F:
    """Add the options that say where and how exactly things are computed."""
    return stack(
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:i."),
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            default="fp32",
            show_default=True,
            help="Arithmetic of the network.",
        ),
    )(function)


def engine_option(function: F) -> F:
    """Add the option that says where work is executed."""
    return click.option(
        "--engine",
        default="serial",
        show_default=True,
        help="Where work is executed: serial, or processes[:N], N workers on the CPU's cores.",
    )(function)


def split_option(function: F) -> F:
    """Add the option that says which part of a data set is used."""
    splits = click.Choice(["train", "test"])
    return click.option("--split", type=splits, default="train", show_default=True, help="Which images.")(function)


def output_options(function: F) -> F:
    """Add what every long command has."""
    return stack(
        click.option("--standalone", is_flag=True, help="Put plotly's script into the page instead of beside it."),
        quiet_options,
    )(function)


def quiet_options(function: F) -> F:
    """Add what every command has."""
    return stack(
        click.option("--quiet", is_flag=True, help="Print errors and results only."),
        click.option("--debug", is_flag=True, expose_value=False, help="Show where an error arose."),
    )(function)


def command_line() -> str:
    """Return what the user typed, quoted for a shell."""
    return shlex.join(["landscape", *sys.argv[1:]])
