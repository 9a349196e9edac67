"""The installed script, in a process of its own: what `python -m` and a runner inside this process would hide."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from landscape import load

SCRIPT = Path(sys.executable).with_name("landscape")
NETWORK = '''"""A network of a third party."""

from torch import nn


def factory():
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 4), nn.ReLU(), nn.Linear(4, 10))
'''

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="the package is not installed here")


def script(*words):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    typed = [str(word) for word in (SCRIPT, *words)]
    return subprocess.run(typed, capture_output=True, text=True, check=False, timeout=300, env=environment)


def test_a_network_of_ones_own_from_the_working_directory(place):
    (place / "mypkg").mkdir()
    (place / "mypkg" / "__init__.py").write_text("")
    (place / "mypkg" / "mymodule.py").write_text(NETWORK)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 4), torch.nn.ReLU(), torch.nn.Linear(4, 10))
    torch.save(net.state_dict(), "own.pth")
    words = ("--ckpt", "own.pth", "--dataset", "fashion_mnist_mini", "--points", 3, "--pairs", 1)
    done = script("surface", "--model", "mypkg.mymodule:factory", *words)
    assert done.returncode == 0, done.stderr
    surface = load("results/surfaces/own.h5")
    assert surface.recipe["model"] == "mypkg.mymodule:factory"
    assert surface.finished
    assert done.stdout.splitlines()[-1] == "results/surfaces/own.html"
    assert surface.provenance["command"].startswith("landscape surface --model mypkg.mymodule:factory --ckpt own.pth")
    assert "Warning" not in done.stderr.replace("Warning: the accuracy", ""), "no warning of a library"


def test_debug_shows_a_traceback():
    debugged = script("info", "nope.h5", "--debug")
    assert debugged.returncode == 1
    assert debugged.stderr.startswith("Traceback (most recent call last)")
    assert "StorageError: there is no file nope.h5" in debugged.stderr


def test_a_reader_that_goes_away_is_no_error(place):
    """As in `landscape --help | head -1`."""
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([SCRIPT, "--help"], stdout=write, stderr=subprocess.PIPE, text=True) as child:
        os.close(write)
        _, stderr = child.communicate(timeout=60)
    assert stderr == ""
