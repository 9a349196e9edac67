"""Small generated data sets, and a network that must not be touched."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from PIL import Image

CLASSES = ("ant", "bee", "cat")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def arrays():
    """31 + 14 colour images of 6 x 5 in three classes of unequal size."""
    rng = np.random.default_rng(0)
    y_train = np.array([0] * 16 + [1] * 9 + [2] * 6)
    y_test = np.array([0, 1, 2, 1, 2, 0, 0, 1, 2, 2, 1, 0, 1, 0])
    return {
        "x_train": rng.integers(0, 256, (31, 6, 5, 3), dtype=np.uint8),
        "y_train": rng.permutation(y_train),
        "x_test": rng.integers(0, 90, (14, 6, 5, 3), dtype=np.uint8),
        "y_test": y_test,
        "classes": np.array(CLASSES),
    }


@pytest.fixture
def npz(tmp_path):
    """Write arrays to a file and return the name that `load` takes."""

    def write(arrays, name="some.npz"):
        np.savez(tmp_path / name, **arrays)
        return f"npz:{tmp_path / name}"

    return write


@pytest.fixture
def folder(tmp_path):
    """Write the images as PNG files in the ImageFolder layout and return the name that `load` takes."""

    def write(arrays, root="pictures", suffix="png"):
        for split in ("train", "test"):
            for name in CLASSES:
                (tmp_path / root / split / name).mkdir(parents=True)
            for i, (x, y) in enumerate(zip(arrays[f"x_{split}"], arrays[f"y_{split}"], strict=True)):
                Image.fromarray(x).save(tmp_path / root / split / CLASSES[int(y)] / f"{i:03d}.{suffix}")
        return f"folder:{tmp_path / root}"

    return write
