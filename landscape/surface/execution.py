"""How a surface is measured: chosen once, stored with it, and kept when it is continued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Execution:
    """What decides the last digits of a value, and the speed.

    Args:
        evaluator: How a block becomes numbers.
        batch_size: Largest batch.
        threads: CPU threads of a worker.
        cells: Cells evaluated at once, where the evaluator can.
    """

    evaluator: str
    batch_size: int
    threads: int
    cells: int = 1

    @classmethod
    def stored(cls, values: Mapping[str, Any]) -> Execution:
        """Take the choice out of a record's ``execution``; other entries are left alone."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)
