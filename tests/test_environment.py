"""What a result says of where it was made: versions and device, nothing private."""

from __future__ import annotations

import getpass
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import landscape
from landscape import environment as module
from landscape.environment import environment


def test_versions_and_device_are_named():
    found = environment("cpu, 3 threads")
    assert found["device"] == "cpu, 3 threads"
    assert found["landscape"] == landscape.__version__
    assert found["python"] == platform.python_version()
    assert found["torch"] == version("torch")
    assert torch.__version__.split("+")[0] in found["torch"]
    assert {"numpy", "h5py"} <= set(found)
    assert json.loads(json.dumps(found)) == found


def test_neither_host_nor_user_nor_path_is_told(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "host-of-somebody")
    text = json.dumps(environment("cpu"))
    private = [platform.node(), str(Path.home()), str(Path.cwd())]
    private += [name for name in [getpass.getuser()] if len(name) > 4]
    assert not [word for word in private if word in text]


def test_a_library_without_metadata_is_left_out(monkeypatch):
    def missing(name):
        if name == "torchvision":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(module, "version", missing)
    found = environment("cpu")
    assert "torchvision" not in found
    assert found["torch"] == "1.0"
