"""Which registered network a bare state dict belongs to: exact names first, else the sequence of shapes.

Where several fit, they are compared as functions: networks that agree in evaluation mode are one answer (and that is
said), networks that differ are a question back to the user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from landscape import models
from landscape.errors import CheckpointError, LandscapeError

_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, eq=False)
class Match:
    """A network that fits.

    Args:
        name: Its registered name.
        options: Options that give the state dict's shapes.
        state_dict: The weights under that network's own names.
        notes: What was assumed, as sentences.
        exact: Whether the names were the network's own.
    """

    name: str
    options: dict[str, Any]
    state_dict: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    exact: bool = True


def recognize(state: Mapping[str, Tensor], *, name: str | None = None, options: Mapping[str, Any], where: str) -> Match:
    """Find the network that a state dict belongs to.

    Args:
        state: Names to tensors, prefixes removed.
        name: The network's name, where the user gave it.
        options: Options that the user gave; they are not varied.
        where: What to call the file in messages.

    Returns:
        The network, its options and the weights under its names.

    Raises:
        CheckpointError: No network fits, or several that differ as functions.
    """
    if name:
        models.check_options(name, options)
    matches = [m for n in ([name] if name else models.names()) for m in _matches(n, state, options)]
    if any(m.exact for m in matches):
        matches = [m for m in matches if m.exact]
    if not matches:
        raise CheckpointError(_misfit(state, name, options, where) if name else _no_match(state, where))
    if len(matches) == 1:
        return _explained(matches[0], given=bool(name))
    groups = _groups_by_function(matches)
    if len(groups) > 1:
        listed = "; ".join(_call(group[0]) for group in groups)
        raise CheckpointError(
            f"the weights in {where} fit several networks that are different functions: {listed}. "
            "Say which with --model and --model-option KEY=VALUE (model=, model_options= in Python)."
        )
    first, *others = groups[0]
    note = (
        f"the weights fit {', '.join(_call(m) for m in groups[0])}, which agree in evaluation mode; took {first.name}"
    )
    return _explained(replace(first, notes=(note,)) if others else first, given=bool(name))


def _explained(match: Match, *, given: bool) -> Match:
    """Say what was assumed; of a network that the user named, how its options or its weights' places were found."""
    note = f"the file does not name its network; its tensors fit {_call(match)}"
    if given:
        note = f"the tensors fit {_call(match)}"
    if not match.exact:
        note += ", by the sequence of their shapes"
    return match if given and match.exact else replace(match, notes=(note, *match.notes))


def _matches(name: str, state: Mapping[str, Tensor], options: Mapping[str, Any]) -> Iterator[Match]:
    family = models.family(name)
    tried: list[dict[str, Any]] = []
    for layout in family.layouts:
        chosen = _inferred(family, state) | dict(layout) | dict(options)
        if chosen in tried:
            continue
        tried.append(chosen)
        try:
            wanted = expected(name, chosen)
            found = _fit(wanted, state)
            if found is None or not (family.foreign or set(wanted) == set(state)):
                continue
            plain = {k: v for k, v in chosen.items() if (k, v) not in (("num_classes", 10), ("in_channels", 3))}
            if plain != chosen and _shapes(expected(name, plain)) != _shapes(wanted):
                plain = chosen  # its own defaults are others
        except (LandscapeError, RuntimeError, ValueError):
            continue
        yield Match(name, plain, found, exact=set(wanted) == set(state))


def expected(name: str, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict of a network without memory for its weights, where the network can be built so.

    Args:
        name: A registered name, or ``package.module:factory``.
        options: Its options.

    Returns:
        Tensors of the right names and shapes; their values mean nothing.
    """
    try:
        with torch.device("meta"):
            return models.build(name, **options).state_dict()
    except (RuntimeError, ValueError):  # it reads a value while it is built, as torch.linspace(...).item()
        with torch.random.fork_rng(devices=[]):
            return models.build(name, **options).state_dict()


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: t.shape for name, t in state.items()}


def _inferred(family: models.Family, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Classes from the last weight matrix, channels from the first convolution; each from the other where it lacks."""
    matrices = [t for t in state.values() if t.ndim == 2]
    kernels = [t for t in state.values() if t.ndim == 4]
    found = {}
    if "num_classes" in family.options and (matrices or kernels):
        found["num_classes"] = len((matrices or kernels)[-1])
    if "in_channels" in family.options and kernels:
        found["in_channels"] = kernels[0].shape[1]
    elif "in_channels" in family.options and matrices and family.image_size:
        found["in_channels"] = matrices[0].shape[1] // family.image_size**2
    return found


def _fit(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The weights under the expected names: by name where the names agree, else by place."""
    if _shapes(wanted) == _shapes(state):
        return {name: state[name] for name in wanted}
    slots = [(n, t) for n, t in wanted.items() if not n.endswith(_COUNTER)]
    given = [(n, t) for n, t in state.items() if not n.endswith(_COUNTER)]
    if [t.shape for _, t in slots] != [t.shape for _, t in given]:
        return None
    found = {n: t for (n, _), (_, t) in zip(slots, given, strict=True)}
    counters = {n: torch.zeros((), dtype=torch.int64) for n in wanted if n.endswith(_COUNTER)}
    return {n: found.get(n, counters.get(n)) for n in wanted}  # type: ignore[misc]


def _groups_by_function(matches: list[Match]) -> list[list[Match]]:
    """Group networks whose outputs agree on seeded random images in evaluation mode."""
    groups: list[tuple[Tensor | None, list[Match]]] = []
    for match in matches:
        outputs = _outputs(match)
        for known, group in groups:
            if outputs is not None and known is not None and _same(outputs, known):
                group.append(match)
                break
        else:
            groups.append((outputs, [match]))
    return [group for _, group in groups]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True)


def _outputs(match: Match) -> Tensor | None:
    family = models.family(match.name)
    size = family.image_size or 32
    channels = int(match.options.get("in_channels", 3))
    images = torch.randn(4, channels, size, size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.random.fork_rng(devices=[]):
            model: nn.Module = models.build(match.name, **match.options)
        model.load_state_dict(match.state_dict)
        with torch.inference_mode():
            return model.eval()(images)  # type: ignore[no-any-return]
    except (LandscapeError, RuntimeError, ValueError):
        return None


def _call(match: Match) -> str:
    if not match.options:
        return match.name
    return f"{match.name} ({', '.join(f'{k}={v}' for k, v in match.options.items())})"


def _no_match(state: Mapping[str, Tensor], where: str) -> str:
    return (
        f"the weights in {where} ({_described(state)}) do not fit {', '.join(models.names())}. "
        "Name the network with --model NAME or --model package.module:factory, and its options with "
        "--model-option KEY=VALUE; in Python pass the network itself."
    )


def _misfit(state: Mapping[str, Tensor], name: str, options: Mapping[str, Any], where: str) -> str:
    """Say where the network that was named differs; a network that cannot be built says so itself."""
    wanted = _shapes(expected(name, _inferred(models.family(name), state) | dict(options)))
    found = _shapes(state)
    names = [n for n in (*wanted, *found) if not n.endswith(_COUNTER)]
    differs = next((n for n in names if wanted.get(n) != found.get(n)), "")
    shapes = [
        "no such tensor" if shape is None else str(tuple(shape)) for shape in (wanted.get(differs), found.get(differs))
    ]
    return (
        f"the weights in {where} ({_described(state)}) do not fit {name}: at {differs!r} the network has {shapes[0]}, "
        f"the file {shapes[1]}. Name another network with --model, or its options with --model-option KEY=VALUE."
    )


def _described(state: Mapping[str, Tensor]) -> str:
    count = sum(t.numel() for n, t in state.items() if not n.endswith(_COUNTER))
    shapes = ", ".join(f"{n} {tuple(t.shape)}" for n, t in list(state.items())[:3])
    return f"{len(state)} tensors, {count:,} numbers; {shapes}, ..."
