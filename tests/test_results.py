"""Committed results can be read, are whole, and hold what their page says of geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from landscape.records import SmoothnessTrace, Surface, VariantBands
from landscape.storage import load

RESULTS = Path(__file__).parent.parent / "results"
UNTRACKED = {"variants", "surfaces", "demo"}  # where commands write by default
FILES = sorted(
    path
    for path in RESULTS.rglob("*.h5")
    if path.relative_to(RESULTS).parts[0] not in UNTRACKED and "work" not in path.relative_to(RESULTS).parts
)


def test_there_are_results():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_committed_result_is_whole(path):
    record = load(path)
    assert record.environment["torch"]
    assert record.provenance["command"].startswith("landscape ")
    assert str(Path.home()) not in repr(dict(record.provenance))
    if isinstance(record, Surface):
        assert record.finished
        assert record.checks["ok"]
        i, j = record.grid.center
        rounding = 5e-6 if record.execution.get("evaluator", "sequential") == "folded" else 0  # float32, another order
        np.testing.assert_allclose(record.loss[:, i, j], record.center.loss, rtol=rounding, atol=0)
    elif isinstance(record, VariantBands):
        assert np.isfinite(record.loss[~record.diverged]).all()
    elif isinstance(record, SmoothnessTrace):
        assert len(record.step) > 1
        assert np.isfinite(record.start_loss[0])  # what follows may diverge: that is what was measured
