from __future__ import annotations

from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def errands(monkeypatch):
    """The module of tasks, under a name that workers can import too."""
    monkeypatch.syspath_prepend(HERE)
    import errands

    return errands


@pytest.fixture
def log(errands, tmp_path):
    return errands.Log(tmp_path / "log")
