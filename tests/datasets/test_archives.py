from __future__ import annotations

import struct
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torchvision

from landscape.datasets import load
from landscape.errors import DataError

FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
LAYOUTS = {"cifar10": "cifar-10-batches-py", "mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"}


def write_idx(path, array):
    """An IDX file: 0x0000 08 (unsigned byte), number of dimensions, big-endian lengths, values."""
    path.write_bytes(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.fixture
def archive(tmp_path):
    """Write the four files of MNIST or Fashion-MNIST with few images."""
    rng = np.random.default_rng(2)

    def write(name):
        raw = tmp_path / FOLDERS[name] / "raw"
        raw.mkdir(parents=True)
        images = {}
        for split, prefix, count in (("train", "train", 30), ("test", "t10k", 20)):
            x, y = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10
            write_idx(raw / f"{prefix}-images-idx3-ubyte", x)
            write_idx(raw / f"{prefix}-labels-idx1-ubyte", y)
            images[split] = x, y
        return images

    return write


@pytest.mark.parametrize(("name", "statistics"), [("mnist", (0.1307, 0.3081)), ("fashion_mnist", (0.2860, 0.3530))])
@pytest.mark.parametrize("split", ["train", "test"])
def test_idx_archives(name, statistics, split, archive, tmp_path):
    mean, std = statistics
    x, y = archive(name)[split]
    data = load(name, root=tmp_path, split=split)
    np.testing.assert_array_equal(data.images[:, 0], x)
    np.testing.assert_array_equal(data.targets, y)
    assert (data.transform.mean, data.transform.std, data.shape) == ((mean,), (std,), (1, 28, 28))
    assert len(data.classes) == 10
    assert load(name, root=tmp_path, channels=3).transform.std == (std,) * 3


def test_the_root_is_the_argument_else_the_environment_else_data(archive, tmp_path, monkeypatch):
    archive("mnist")
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    assert len(load("mnist")) == 30
    with pytest.raises(DataError):
        load("mnist", root=tmp_path / "elsewhere")
    monkeypatch.delenv("LANDSCAPE_DATA")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "data").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(tmp_path / "work")
    assert len(load("mnist")) == 30


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_missing_archive_lists_the_ways(name, tmp_path):
    with pytest.raises(DataError) as caught:
        load(name, root=tmp_path)
    message = str(caught.value)
    for part in (name, f"{tmp_path / LAYOUTS[name]} is not there", "--download", "--data-root DIR where DIR/"):
        assert part in message
    for way in ("npz:FILE", "folder:DIR", "fashion_mnist_mini"):
        assert f"--dataset {way}" in message
    assert list(tmp_path.iterdir()) == []


def test_a_cut_archive(archive, tmp_path):
    archive("mnist")
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="mnist"):
        load("mnist", root=tmp_path)


@pytest.fixture
def fake_cifar10(monkeypatch):
    """Stand in for torchvision's class, which accepts only the archive of the published checksum."""
    rng = np.random.default_rng(3)
    asked = []

    def open_fake(root, train, download):
        asked.append((train, download))
        count = 40 if train else 20
        data = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        return SimpleNamespace(data=data, targets=[i % 10 for i in range(count)], classes=[f"c{i}" for i in range(10)])

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", open_fake)
    return asked


def test_cifar10(fake_cifar10, tmp_path):
    data = load("cifar10", root=tmp_path, split="test", limit=10)
    assert fake_cifar10 == [(False, False)]  # its statistics are known: the train split is not read
    assert data.shape == (3, 32, 32)
    assert data.targets.sort().values.tolist() == list(range(10))
    np.testing.assert_allclose(np.multiply(data.transform.mean, 255), [125.3, 123.0, 113.9], rtol=1e-12)
    np.testing.assert_allclose(np.multiply(data.transform.std, 255), [63.0, 62.1, 66.7], rtol=1e-12)


def test_cifar10_images_have_channels_first(monkeypatch, tmp_path):
    x = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    x[0, 3, 4] = (10, 20, 30)
    fake = SimpleNamespace(data=x, targets=[0, 1], classes=["a", "b"])
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", lambda *args, **options: fake)
    assert load("cifar10", root=tmp_path).images[0, :, 3, 4].tolist() == [10, 20, 30]


def test_grey_cifar10_computes_its_statistics(fake_cifar10, tmp_path):
    """The deviation of the luminance does not follow from those of the channels."""
    transform = load("cifar10", root=tmp_path, split="test", channels=1).transform
    assert fake_cifar10 == [(False, False), (True, False)]
    assert abs(transform.mean[0] - 0.5) < 0.02


def test_the_network_is_used_only_when_asked(fake_cifar10, tmp_path):
    load("cifar10", root=tmp_path, download=True)
    load("cifar10", root=tmp_path)
    assert fake_cifar10 == [(True, True), (True, False)]


def test_a_download_that_fails(monkeypatch, tmp_path):
    def fail(*args, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", fail)
    with pytest.raises(DataError, match=r"cannot download 'cifar10' into .*no route to host"):
        load("cifar10", root=tmp_path, download=True)
