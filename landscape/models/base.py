"""The table of networks: a factory with what is needed to recognise its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from landscape.errors import UsageError
from landscape.registry import Registry, import_object, unknown


@dataclass(frozen=True)
class Family:
    """A network under one name.

    Args:
        factory: Builds it from keyword options.
        options: Names of the options that it takes.
        defaults: What those options are when they are not given, so that a recipe can say it.
        layouts: Option sets that give different state dicts; a checkpoint is compared with each.
        image_size: Height and width of the images that it takes; None for any.
        foreign: Whether a file under other names than its own may hold it. A network that is found nowhere else says
            no, and is known by its own names alone.
    """

    factory: Callable[..., nn.Module]
    options: tuple[str, ...] = ("num_classes", "in_channels")
    defaults: Mapping[str, Any] = field(default_factory=dict)
    layouts: tuple[Mapping[str, Any], ...] = ({},)
    image_size: int | None = None
    foreign: bool = True


_FAMILIES: Registry[Family | Callable[..., nn.Module]] = Registry("model", group="landscape.models")


def register(name: str, family: Family | Callable[..., nn.Module]) -> None:
    """Add a network to the table.

    Args:
        name: The name that users type.
        family: A ``Family``, or a plain factory that takes ``num_classes`` and ``in_channels``.
    """
    _FAMILIES.add(name, family)


def names() -> list[str]:
    """Return the names of all networks, in the order in which checkpoints are compared with them."""
    return _FAMILIES.names()


def family(name: str) -> Family:
    """Look a network up.

    Args:
        name: A registered name, or ``package.module:factory``.

    Returns:
        Its entry.

    Raises:
        UsageError: There is no such network, or the object is not callable.
    """
    found: Any = import_object(name) if ":" in name and name not in _FAMILIES else _FAMILIES.get(name)
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


def build(name: str, **options: Any) -> nn.Module:
    """Build a network.

    Args:
        name: A registered name, or ``package.module:factory``.
        **options: Its options, for instance ``num_classes=100``.

    Returns:
        The network, on the CPU, in training mode.

    Raises:
        UsageError: The network has no such option, or the factory does not return a network.
    """
    check_options(name, options)
    try:
        model = family(name).factory(**options)
    except TypeError as error:
        raise UsageError(f"cannot build {name} with {options or 'no options'}: {error}") from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"{name!r} returned a {type(model).__name__}, not a torch.nn.Module")
    return model
