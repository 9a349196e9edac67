from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from landscape.datasets import load
from landscape.datasets.sources.fashion_mnist_mini import EMBEDDED

TOOL = Path(__file__).parents[2] / "tools" / "make_fashion_mnist_mini.py"


@pytest.mark.parametrize(("split", "each"), [("train", 500), ("test", 100)])
def test_size_and_balance(split, each):
    data = load("fashion_mnist_mini", split=split)
    assert data.images.shape == (10 * each, 1, 28, 28)
    assert data.targets.bincount().tolist() == [each] * 10
    assert data.shape == (3, 32, 32)
    assert data.classes[0] == "T-shirt/top"
    assert len(set(data.classes)) == 10


def test_images_are_not_repeated():
    images = np.concatenate([load("fashion_mnist_mini", split=split).images.numpy() for split in ("train", "test")])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_defaults_can_be_overruled():
    data = load("fashion_mnist_mini", limit=5, image_size=28, channels=1)
    assert data.shape == (1, 28, 28)
    assert data.batch([0])[0].shape == (1, 1, 28, 28)


def test_the_notice_is_beside_the_file():
    notice = EMBEDDED.with_name("NOTICE.txt").read_text()
    for part in ("MIT License", "2017 Zalando SE", "Permission is hereby granted", 'THE SOFTWARE IS PROVIDED "AS IS"'):
        assert part in notice
    assert EMBEDDED.stat().st_size < 3_000_000


def test_the_committed_script_makes_these_arrays():
    spec = importlib.util.spec_from_file_location("make_fashion_mnist_mini", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    if not tool.DEBIAN.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    made = tool.make()
    with np.load(EMBEDDED, allow_pickle=False) as stored:
        assert set(stored) == set(made)
        for key in stored:
            np.testing.assert_array_equal(stored[key], made[key])
            assert stored[key].dtype == made[key].dtype
