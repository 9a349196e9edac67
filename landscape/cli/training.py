"""Options that the commands share that train networks, and how they become settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from landscape.cli.options import FILE, stack, take
from landscape.cli.types import CommaList
from landscape.words import BN_PLACEMENTS, INITS, OPTIMIZERS

F = TypeVar("F", bound=Callable[..., Any])

_IMAGES = ("dataset", "root", "limit", "normalization", "image_size", "channels", "download")
_NETWORK = ("init", "bn_placement", "conv_bias")  # of the VGG variants
_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "optimizer": (
        "--optimizer",
        {"type": click.Choice(OPTIMIZERS), "default": "adamw", "help": "momentum is SGD with 0.9."},
    ),
    "weight_decay": (
        "--weight-decay",
        {"type": click.FloatRange(min=0), "default": 1e-4, "help": "As the optimiser takes it."},
    ),
    "epochs": (
        "--epochs",
        {"type": click.IntRange(min=1), "default": 20, "help": "Passes over the training part."},
    ),
    "batch_size": ("--batch-size", {"type": click.IntRange(min=1), "default": 128, "help": "Images a step."}),
    "seeds": ("--seeds", {"type": CommaList(click.INT, distinct=True), "default": "0"}),
    "tensorboard": (
        "--tensorboard",
        {"type": FILE, "metavar": "DIR", "help": "Log scalars and hyperparameters there, a run a folder."},
    ),
    "init": (
        "--init",
        {"type": click.Choice(INITS), "help": "Initial weights, the same for every network.  [default: {}]"},
    ),
    "bn_placement": (
        "--bn-placement",
        {"type": click.Choice(BN_PLACEMENTS), "help": "Where BatchNorm stands.  [default: conv]"},
    ),
    "conv_bias": (
        "--conv-bias/--no-conv-bias",
        {"default": None, "help": "Bias in convolutions.  [default: conv-bias]"},
    ),
}


def training_option(name: str, **changes: Any) -> Callable[[F], F]:
    """Make an option that several commands have, in one form for all.

    Args:
        name: What it is called among a command's values.
        **changes: What this command says otherwise: ``default``, ``help``.

    Returns:
        A decorator.
    """
    flag, said = _OPTIONS[name]
    settings = {**said, **changes}
    settings["show_default"] = settings.get("default") is not None
    return click.option(flag, name, **settings)


def network_options(init: str) -> Callable[[F], F]:
    """Make the options of the VGG variants.

    Args:
        init: What help says of the initial weights that are taken where none are asked for.

    Returns:
        A decorator.
    """
    said = str(_OPTIONS["init"][1]["help"]).format(init)
    return stack(training_option("init", help=said), training_option("bn_placement"), training_option("conv_bias"))


def take_images(options: dict[str, Any]) -> Any:
    """Take what ``data_options`` brought out of a command's options.

    Args:
        options: Values by name; those of the images are removed.

    Returns:
        ``landscape.datasets.options.DataOptions``.
    """
    from landscape.datasets.options import DataOptions

    return DataOptions(**take(options, *_IMAGES))


def take_network(options: dict[str, Any]) -> dict[str, Any]:
    """Take what ``network_options`` brought out of a command's options.

    Args:
        options: Values by name; those of the network are removed.

    Returns:
        What was given: a network of one's own may not take the others.
    """
    return {name: value for name, value in take(options, *_NETWORK).items() if value is not None}
