"""The table of networks: a factory with what is needed to recognise its checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import nn

from landscape.errors import LandscapeError, UsageError
from landscape.registry import Registry, import_object, unknown


@dataclass(frozen=True)
class Family:
    """A network under one name.

    Args:
        factory: Builds it from keyword options.
        options: Names of the options that it takes.
        defaults: What those options are when they are not given, so that a recipe can say it.
        layouts: Option sets that give different state dicts, or different functions of equal ones; a checkpoint is
            compared with each.
        image_size: Height and width of the images that it takes, or a size among those; None for any usual one.
        initial: Those options that decide the weights it begins with and nothing else; a checkpoint has its own.
        foreign: Whether a file under other names than its own may hold it. A network that is found nowhere else says
            no, and is known by its own names alone.
    """

    factory: Callable[..., nn.Module]
    options: tuple[str, ...] = ("num_classes", "in_channels")
    defaults: Mapping[str, Any] = field(default_factory=dict)
    layouts: tuple[Mapping[str, Any], ...] = ({},)
    image_size: int | None = None
    initial: tuple[str, ...] = ("init", "seed", "pretrained")
    foreign: bool = True


_FAMILIES: Registry[Family | Callable[..., nn.Module]] = Registry("model", group="landscape.models")
_PREFIXES: dict[str, Callable[[str], Family]] = {}


def register(name: str, family: Family | Callable[..., nn.Module]) -> None:
    """Add a network to the table.

    Args:
        name: The name that users type.
        family: A ``Family``, or a plain factory that takes ``num_classes`` and ``in_channels``.
    """
    _FAMILIES.add(name, family)


def register_prefix(prefix: str, lookup: Callable[[str], Family]) -> None:
    """Add networks that are named ``prefix:NAME``.

    Args:
        prefix: What stands before the colon; no longer the name of a module to import from.
        lookup: Finds the entry of ``NAME``. It imports nothing that the name says, so that a file may give the name.
    """
    _PREFIXES[prefix] = lookup


def isolated(factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Make a factory leave torch's global generator alone: layers draw from it when they are made.

    Args:
        factory: Builds a network, and seeds what it draws itself.

    Returns:
        A factory of the same networks.
    """

    @wraps(factory)
    def build_alone(**options: Any) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return factory(**options)

    return build_alone


def names() -> list[str]:
    """Return the names of all networks, in the order in which checkpoints are compared with them."""
    return _FAMILIES.names()


def known(name: str) -> bool:
    """Say whether a name stands for code of this installation's registry, so that a file may give it.

    Args:
        name: Any name.

    Returns:
        True for registered names and those of a registered prefix; False for ``package.module:factory``.
    """
    prefix, colon, _ = name.partition(":")
    return name in _FAMILIES or bool(colon and prefix in _PREFIXES)


def family(name: str) -> Family:
    """Look a network up.

    Args:
        name: A registered name, ``torchvision:NAME``, or ``package.module:factory``.

    Returns:
        Its entry.

    Raises:
        UsageError: There is no such network, or the object is not callable.
    """
    prefix, colon, rest = name.partition(":")
    found: Any
    if not colon or name in _FAMILIES:
        found = _FAMILIES.get(name)
    else:
        found = _PREFIXES[prefix](rest) if prefix in _PREFIXES else import_object(name)
    if isinstance(found, Family):
        return found
    if not callable(found):
        raise UsageError(f"{name!r} is a {type(found).__name__}, not a function that builds a network")
    return Family(found, options=())


def check_options(name: str, options: Iterable[str]) -> None:
    """Refuse an option that a network does not have.

    Args:
        name: A registered name, or ``package.module:factory``, whose options are not known.
        options: Names of options.

    Raises:
        UsageError: The network has no such option; the message lists those that it has.
    """
    entry = family(name)
    for option in options:
        if entry.options and option not in entry.options:
            raise UsageError(f"{name}: {unknown('option', option, list(entry.options))}")


def lasting(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the options that only decide initial weights: once there are weights, they mean nothing.

    Args:
        name: Name of a network.
        options: Its options.

    Returns:
        The others.
    """
    initial = family(name).initial
    return {k: v for k, v in options.items() if k not in initial}


def recipe_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as a recipe states them: a file of weights by its name and what is in it, not by where it lies.

    Args:
        options: Options of a network.

    Returns:
        Plain values.
    """
    file = options.get("pretrained")
    if not file or not Path(file).is_file():
        return dict(options)
    with Path(file).open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return dict(options) | {"pretrained": f"{Path(file).name} sha256:{digest[:16]}"}


def build(name: str, **options: Any) -> nn.Module:
    """Build a network.

    Args:
        name: A registered name, ``torchvision:NAME``, or ``package.module:factory``.
        **options: Its options, for instance ``num_classes=100``.

    Returns:
        The network, on the CPU, in training mode.

    Raises:
        UsageError: The network has no such option, or the factory fails with these options or returns no network.
        LandscapeError: What the factory itself says in words.
    """
    check_options(name, options)
    factory = family(name).factory
    try:
        model = factory(**options)
    except LandscapeError:
        raise
    except Exception as error:  # a value that nobody checked, or a factory of the user's own, may fail in any way
        given = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no options"
        said = " ".join(str(error).split()).rstrip(".")  # torch's own words may be many lines
        raise UsageError(
            f"cannot build {name} with {given}: {type(error).__name__}{': ' if said else ''}{said}. Check the values "
            "of these options, or the function that builds the network."
        ) from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"{name!r} returned a {type(model).__name__}, not a torch.nn.Module")
    return model
