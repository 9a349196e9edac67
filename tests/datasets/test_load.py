from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
import pytest
import torch

from landscape import datasets
from landscape.datasets import SOURCES, RawSplit, Source, load
from landscape.errors import DataError, UnknownNameError, UsageError


def test_names():
    assert datasets.names() == ["cifar10", "fashion_mnist", "fashion_mnist_mini", "mnist", "folder:DIR", "npz:FILE"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar", r"no dataset named 'cifar'. Did you mean 'cifar10'\? Known: .*npz"),
        ("foldr:somewhere", r"no dataset named 'foldr'. Did you mean 'folder:DIR'\?.*cannot import 'foldr'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name, message):
    with pytest.raises(UnknownNameError, match=message):
        load(name)


@pytest.mark.parametrize(
    ("name", "form"), [("npz", "npz:FILE"), ("npz:", "npz:FILE"), ("folder", "folder:DIR"), ("mnist:x", "mnist")]
)
def test_a_name_in_the_wrong_form(name, form):
    with pytest.raises(UsageError, match=f"{name!r} names no data set: write {form}$"):
        load(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "valid"}, "no split 'valid': use train or test"),
        ({"limit": 0}, "limit=0 has no meaning"),
        ({"limit": -3}, "limit=-3 has no meaning"),
        ({"image_size": 0}, "image_size=0 has no meaning"),
        ({"channels": -1}, "channels=-1 has no meaning"),
        ({"channels": 2}, "images of 1 channels cannot become 2"),
        ({"limit": 5, "seed": -1}, "seed of a subset is -1"),
        ({"normalization": "imagenet"}, "normalization 'imagenet' is not known"),
    ],
)
def test_options_without_meaning(options, message):
    with pytest.raises(UsageError, match=message):
        load("fashion_mnist_mini", **options)


def test_a_limit_beyond_the_images():
    with pytest.raises(DataError, match="1001 test images of 'fashion_mnist_mini' were asked for, but there are 1000"):
        load("fashion_mnist_mini", split="test", limit=1001)


def test_description_is_plain_and_holds_no_path(arrays, npz, folder, tmp_path):
    for name, public in ((npz(arrays), "npz:some.npz"), (folder(arrays), "folder:pictures")):
        said = load(name, split="test", limit=5, seed=3, image_size=8, normalization="half").describe()
        digest = said.pop("digest")
        assert said == {
            "dataset": public,
            "split": "test",
            "limit": 5,
            "seed": 3,
            "normalization": "half",
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "image_size": 8,
            "channels": 3,
            "examples": 5,
        }
        assert json.loads(json.dumps(said)) == said
        assert str(tmp_path) not in json.dumps(said) + repr(load(name))
        assert len(digest) == 16


def test_the_digest_is_that_of_pixels_and_targets(arrays, npz):
    data = load(npz(arrays))
    text = repr(tuple(data.images.shape)).encode() + data.images.numpy().tobytes() + data.targets.numpy().tobytes()
    assert data.describe()["digest"] == hashlib.sha256(text).hexdigest()[:16]
    assert data.subset([0, 1]).describe()["digest"] != data.subset([1, 0]).describe()["digest"]


def test_images_that_are_not_square_are_described_by_both_sides(arrays, npz):
    assert load(npz(arrays)).describe()["image_size"] == [6, 5]


def test_all_images_keep_their_stored_order(arrays, npz):
    data = load(npz(arrays))
    np.testing.assert_array_equal(data.images.permute(0, 2, 3, 1), arrays["x_train"])
    np.testing.assert_array_equal(data.targets, arrays["y_train"])
    assert (data.images.dtype, data.targets.dtype) == (torch.uint8, torch.int64)
    assert data.classes == ("ant", "bee", "cat")
    assert (len(data), data.shape) == (31, (3, 6, 5))


@pytest.mark.parametrize("bad", [-1, 3])
def test_targets_outside_the_classes(bad, arrays, npz):
    arrays["y_train"][4] = bad
    with pytest.raises(DataError, match=r"run from .* but there are 3 classes: targets must be 0 to 2"):
        load(npz(arrays))


def test_a_split_without_images(arrays, npz):
    arrays["x_test"], arrays["y_test"] = arrays["x_test"][:0], arrays["y_test"][:0]
    with pytest.raises(DataError, match=r"the test split of .* holds no image"):
        load(npz(arrays), split="test", normalization="half")


def test_a_source_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own_images.py").write_text(
        "import torch\n"
        "from landscape.datasets import RawSplit, Source\n"
        "source = Source(lambda request: RawSplit.of(torch.arange(48, dtype=torch.uint8).view(4, 3, 2, 2),"
        " torch.tensor([0, 1, 1, 0]), ('no', 'yes')))\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    data = load("own_images:source")
    assert (data.name, data.shape, data.classes) == ("own_images:source", (3, 2, 2), ("no", "yes"))
    with pytest.raises(UsageError, match=r"'own_images:number' is a int, not a landscape.datasets.Source"):
        load("own_images:number")


def test_a_source_must_give_uint8(monkeypatch):
    floats = RawSplit.of(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), ("a", "b"))
    monkeypatch.setitem(SOURCES._items, "floats", Source(lambda request: floats))
    with pytest.raises(DataError, match=r"'floats' gave torch.float32 images of 4 dimensions, not uint8"):
        load("floats")
