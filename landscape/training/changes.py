"""Settings that differ from those of a base run: their keys, their values, and a folder's name for them.

A key is a field of ``TrainConfig``, or ``model_options.NAME``, ``scheduler_options.NAME``, ``data.NAME`` for one entry
of those fields. ``ALIASES`` are the shorter spellings that ``landscape train`` has for some of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from landscape import models
from landscape.datasets.options import DataOptions
from landscape.errors import UsageError
from landscape.registry import unknown
from landscape.training.config import TrainConfig

_DATA = ("dataset", "limit", "normalization", "image_size", "channels")
ALIASES: Mapping[str, str] = {
    "lr": "learning_rate",
    "wd": "weight_decay",
    "activation": "model_options.activation",
    **{name: f"data.{name}" for name in _DATA},
}
_SHORT = {full: short for short, full in ALIASES.items() if short != "wd"}
_OPEN = ("model_options", "scheduler_options")
_ELSEWHERE = {
    "seed": "seeds are given by themselves (--seeds 0,1,2; seeds = [0, 1, 2])",
    "out": "every setting has its own folder below --out",
    "device": "all runs are on one device (--device)",
    "tensorboard": "every setting logs into its own folder below --tensorboard",
}
_NONE = "none"
_LONGEST = 120  # characters of a folder's name


def _kinds() -> dict[str, str]:
    own = {f.name: str(f.type) for f in dataclasses.fields(TrainConfig)}
    data = {f"data.{f.name}": str(f.type) for f in dataclasses.fields(DataOptions) if f.name in (*_DATA, "seed")}
    return {name: kind for name, kind in own.items() if name not in (*_OPEN, *_ELSEWHERE, "data")} | data


KINDS: Mapping[str, str] = _kinds()

KEYS = (*(_SHORT.get(name, name) for name in KINDS), "activation", *(f"{field}.NAME" for field in _OPEN))  # as told


def full_key(key: str) -> str:
    """Return the full name of a key.

    Args:
        key: As a user wrote it; dashes stand for underscores.

    Returns:
        A field of ``TrainConfig``, or one entry of a field, after a dot.

    Raises:
        UsageError: There is no such key; the message names the closest one.
    """
    plain = key.strip().replace("-", "_")
    name = ALIASES.get(plain, plain)
    field, _, entry = name.partition(".")
    if name in KINDS or (field in _OPEN and entry):
        return name
    if name in _ELSEWHERE:
        raise UsageError(f"{key!r} cannot differ between the settings of a sweep: {_ELSEWHERE[name]}")
    raise UsageError(unknown("setting of a run", key, list(KEYS)))


def flat(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Bring changes to full keys and to values of the right type.

    Args:
        changes: Values by key. ``{"model_options": {"activation": "tanh"}}`` stands for
            ``{"model_options.activation": "tanh"}``.

    Returns:
        Values by full key, in the order of the fields.

    Raises:
        UsageError: A key does not exist or comes twice, or a value is of another type.
    """
    found: dict[str, Any] = {}
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and key in (*_OPEN, "data")
        for name, one in ({f"{key}.{k}": v for k, v in value.items()} if nested else {key: value}).items():
            full = full_key(name)
            if full in found:
                raise UsageError(f"{full!r} is set twice in {', '.join(changes)}")
            found[full] = typed(full, one)
    order = [*KINDS, *sorted(k for k in found if k not in KINDS)]
    return {key: found[key] for key in order if key in found}


def typed(key: str, value: Any) -> Any:
    """Check a value, and bring it to the type of its field.

    Args:
        key: A full key.
        value: As a file or the command line gives it: ``none`` stands for no value.

    Returns:
        The value.

    Raises:
        UsageError: It is of another type.
    """
    kind = KINDS.get(key)
    if kind is None:
        return value
    if kind.startswith("tuple"):
        words = re.split(r"[+,]", value) if isinstance(value, str) else value
        return tuple(word.strip() for word in words if word.strip() not in {"", _NONE})
    if "None" in kind and value in (None, _NONE):
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind.startswith("float") and number:
        return float(value)
    if kind.startswith("int") and number and value == int(value):
        return int(value)
    if kind.startswith("str") and isinstance(value, str):
        return value
    wanted = {"float": "a number", "int": "a whole number", "str": "a word"}[kind.split(" ")[0]]
    raise UsageError(f"{_SHORT.get(key, key)} takes {wanted}; got {value!r}")


def changed(base: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """Apply changes.

    Options of the base that only another network or another scheduler takes are left out.

    Args:
        base: Settings of a run.
        changes: Values by full key.

    Returns:
        The settings of another run.
    """
    fields: dict[str, Any] = {}
    if changes.get("model", base.model) != base.model:
        taken = models.family(changes["model"]).options
        fields["model_options"] = {k: v for k, v in base.model_options.items() if not taken or k in taken}
    if changes.get("scheduler", base.scheduler) != base.scheduler:
        fields["scheduler_options"] = {}
    for key, value in changes.items():
        field, dot, entry = key.partition(".")
        before = fields.get(field, getattr(base, field))
        if not dot:
            fields[field] = value
        elif isinstance(before, Mapping):
            fields[field] = {**before, entry: value}
        else:
            fields[field] = dataclasses.replace(before, **{entry: value})
    return dataclasses.replace(base, **fields)


def value_in(config: TrainConfig, key: str) -> Any:
    """Look a setting up.

    Args:
        config: Settings of a run.
        key: A full key.

    Returns:
        Its value; None for an option that is not given.
    """
    field, dot, entry = key.partition(".")
    value = getattr(config, field)
    return (value.get(entry) if isinstance(value, Mapping) else getattr(value, entry)) if dot else value


def short_key(key: str) -> str:
    """Return the shorter spelling of a full key, where it has one."""
    return _SHORT.get(key, key)


def text(value: Any) -> str:
    """Write a value of a setting as a word: floats with all digits that tell them apart."""
    if value is None or value == ():
        return _NONE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "+".join(text(item) for item in value)
    return str(value)


def slug(changes: Mapping[str, Any]) -> str:
    """Name a setting so that a folder can be called so.

    The name depends on the changes alone: adding a value to a grid renames nothing.

    Args:
        changes: Values by full key, as ``flat`` gives them.

    Returns:
        For instance ``batch_size=64_lr=0.001``. Where a character had to be replaced, or the name is long, a part of
        its SHA-256 keeps it apart from others.
    """
    whole = "_".join(f"{short_key(key)}={text(value)}" for key, value in changes.items())
    plain = whole.replace(":", "-")
    safe = re.sub(r"[^\w.=+-]+", "-", plain, flags=re.ASCII)[:_LONGEST]
    return safe if safe == plain else f"{safe}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
