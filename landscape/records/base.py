"""What makes a dataclass a record: every array states its dimensions, so that storage needs no branch per kind.

A record is a frozen dataclass whose fields are declared with ``array(...)`` (numbers with named dimensions),
``mapping()`` (plain JSON values: recipe, environment) or ``embedded(...)`` (a smaller record whose arrays join those of
the outer one, under a prefix). ``to_parts`` takes a record apart into variables and attributes; ``from_parts`` is its
inverse. A dimension with a one-dimensional array of its own name is labelled by it; the others are counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Json = Any  # what json.dumps takes: typing it exactly costs more casts than it finds mistakes

R = TypeVar("R", bound="Record")
_SPEC = "landscape"
KINDS: dict[str, type[Record]] = {}


@dataclass(frozen=True)
class Variable:
    """One named array as a file holds it.

    Args:
        dims: Names of its dimensions, one per axis.
        data: The values.
        units: Unit of the values; empty for none.
        about: One line on what it is.
    """

    dims: tuple[str, ...]
    data: NDArray[Any]
    units: str = ""
    about: str = ""


@dataclass(frozen=True)
class _Array:
    dims: tuple[str, ...]
    dtype: type
    units: str
    about: str
    fill: Any = None


@dataclass(frozen=True)
class _Embedded:
    type: type[Record]
    prefix: str


class _Mapping: ...


def array(
    *dims: str, dtype: type = np.float64, units: str = "", about: str = "", fill: Any = None, **default: Any
) -> Any:
    """Declare a field that holds an array; without dimensions it holds one number.

    Args:
        *dims: Names of its dimensions.
        dtype: Type of the values.
        units: Unit of the values.
        about: One line on what it is.
        fill: What stands for a value that was not recorded: the field may be left out, and a file of an earlier release
            does not have it. A dimension that no other array has is then empty.
        **default: Default of the field.

    Returns:
        The field.
    """
    if fill is not None:
        default = {"default": None}
    return field(metadata={_SPEC: _Array(dims, dtype, units, about, fill)}, **default)


def mapping() -> Any:
    """Declare a field that holds a mapping of JSON values; empty by default."""
    return field(default_factory=dict, metadata={_SPEC: _Mapping()})


def embedded(record: type[Record], prefix: str = "", **default: Any) -> Any:
    """Declare a field that holds a smaller record, its variables under ``prefix``."""
    return field(metadata={_SPEC: _Embedded(record, prefix)}, **default)


class Record:
    """Base of all records. ``kind`` names the type in a file; ``format_version`` counts changes of its layout."""

    __slots__ = ()
    kind: ClassVar[str] = ""
    format_version: ClassVar[int] = 1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.kind:
            KINDS[cls.kind] = cls

    def __repr__(self) -> str:
        """Name the record and its dimensions; the values of a surface would fill screens."""
        variables, _ = to_parts(self)
        sizes = {dim: n for v in variables.values() for dim, n in zip(v.dims, v.data.shape, strict=True)}
        return f"{type(self).__name__}({', '.join(f'{dim}: {n}' for dim, n in sizes.items())})"

    def __post_init__(self) -> None:
        """Give every array its type and check that equal dimensions have equal lengths."""
        lengths: dict[str, tuple[int, str]] = {}
        arrays = [(item, spec) for item, spec in _specs(type(self)) if isinstance(spec, _Array)]
        left_out = [(item, spec) for item, spec in arrays if spec.fill is not None and getattr(self, item.name) is None]
        for item, spec in arrays:
            if (item, spec) in left_out:
                continue
            value: NDArray[Any] = np.asarray(getattr(self, item.name), dtype=spec.dtype)
            if value.ndim != len(spec.dims):
                wanted = "(" + ", ".join(spec.dims) + ")"
                raise ValueError(
                    f"{type(self).__name__}.{item.name} has shape {value.shape}; its dimensions are {wanted}"
                )
            for dim, length in zip(spec.dims, value.shape, strict=True):
                known, by = lengths.setdefault(dim, (length, item.name))
                if known != length:
                    raise ValueError(
                        f"{type(self).__name__}: {item.name} has {length} values along {dim!r}, {by} has {known}"
                    )
            object.__setattr__(self, item.name, value if spec.dims else value.item())
        for item, spec in left_out:
            shape = tuple(lengths.get(dim, (0, ""))[0] for dim in spec.dims)
            object.__setattr__(self, item.name, np.full(shape, spec.fill, dtype=spec.dtype))


def _specs(cls: type[Record]) -> list[tuple[dataclasses.Field[Any], Any]]:
    return [(f, f.metadata[_SPEC]) for f in dataclasses.fields(cls) if _SPEC in f.metadata]  # type: ignore[arg-type]


def to_parts(record: Record) -> tuple[dict[str, Variable], dict[str, Mapping[str, Json]]]:
    """Take a record apart.

    Args:
        record: Any record.

    Returns:
        Its variables by name, and its mappings by name.
    """
    variables: dict[str, Variable] = {}
    mappings: dict[str, Mapping[str, Json]] = {}
    for item, spec in _specs(type(record)):
        value = getattr(record, item.name)
        if isinstance(spec, _Array):
            data: NDArray[Any] = np.asarray(value, dtype=spec.dtype)
            variables[item.name] = Variable(spec.dims, data, spec.units, spec.about)
        elif isinstance(spec, _Embedded):
            inner, _ = to_parts(value)
            variables |= {spec.prefix + name: variable for name, variable in inner.items()}
        else:
            mappings[item.name] = dict(value)
    return variables, mappings


def from_parts(cls: type[R], arrays: Mapping[str, NDArray[Any]], mappings: Mapping[str, Mapping[str, Json]]) -> R:
    """Put a record together again; the inverse of ``to_parts``.

    Args:
        cls: The record's type.
        arrays: Values by variable name; names that the type does not have are left alone.
        mappings: Mappings by name.

    Returns:
        The record.

    Raises:
        KeyError: A variable is missing.
    """
    values: dict[str, Any] = {}
    for item, spec in _specs(cls):
        if isinstance(spec, _Array):
            values[item.name] = arrays[item.name] if spec.fill is None else arrays.get(item.name)
        elif isinstance(spec, _Embedded):
            inner = {name.removeprefix(spec.prefix): a for name, a in arrays.items() if name.startswith(spec.prefix)}
            values[item.name] = from_parts(spec.type, inner, {})
        else:
            values[item.name] = mappings.get(item.name, {})
    return cls(**values)
