"""What an import brings along, seen in a fresh interpreter."""

import json
import os
import subprocess
import sys

import pytest

LIST_MODULES = "import json, sys; sys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))"
HELP = """
import sys
from landscape.cli import main
sys.argv = ["landscape", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


def loaded_after(code: str) -> tuple[set[str], str]:
    """Top-level modules after running ``code``, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LIST_MODULES}"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1])), done.stdout


def test_help_is_quick_to_import() -> None:
    loaded, printed = loaded_after(HELP)
    assert "Usage: landscape" in printed
    assert "click" in loaded
    assert not loaded & {"torch", "torchvision", "plotly", "h5py", "matplotlib", "scipy"}


@pytest.mark.parametrize(
    ("imports", "needed", "unwanted"),
    [
        ("landscape", "landscape", {"torch", "numpy", "plotly", "h5py", "matplotlib", "scipy"}),
        ("landscape.records, landscape.errors, landscape.registry", "numpy", {"torch", "h5py", "plotly", "scipy"}),
        ("landscape.surface, landscape.training", "torch", {"plotly", "matplotlib", "scipy"}),
        ("landscape.figures", "landscape.records", {"torch", "torchvision"}),
    ],
    ids=["package", "ground", "measuring and training", "figures"],
)
def test_an_import_brings_only_what_it_needs(imports: str, needed: str, unwanted: set[str]) -> None:
    loaded, _ = loaded_after(f"import {imports}")
    assert needed in loaded
    assert not loaded & unwanted


def test_every_public_name_can_be_reached() -> None:
    loaded_after("import landscape\nfor name in landscape.__all__: getattr(landscape, name)")


@pytest.mark.parametrize(("given", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_the_command_lets_waiting_threads_sleep_unless_told_otherwise(given: str | None, found: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    code = "import os, landscape.cli; print(os.environ['OMP_WAIT_POLICY'])"
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout.strip() == found
