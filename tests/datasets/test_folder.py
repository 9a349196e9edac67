from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from landscape.datasets import load
from landscape.errors import DataError


def test_the_same_images_as_from_arrays(arrays, folder):
    for split in ("train", "test"):
        data = load(folder(arrays, root=split), split=split)
        by_class = np.argsort(arrays[f"y_{split}"], kind="stable")  # files are read class by class
        np.testing.assert_array_equal(data.images.permute(0, 2, 3, 1), arrays[f"x_{split}"][by_class])
        np.testing.assert_array_equal(data.targets, arrays[f"y_{split}"][by_class])
        assert data.classes == ("ant", "bee", "cat")


def test_normalization_of_the_test_split_is_that_of_train(arrays, folder, npz):
    assert load(folder(arrays), split="test").transform == load(npz(arrays)).transform


def test_grey_files_stay_grey_and_mixed_ones_become_colour(arrays, folder, tmp_path):
    grey = {key: x[..., 0] if key.startswith("x") else x for key, x in arrays.items()}
    name = folder(grey)
    assert load(name).shape == (1, 6, 5)
    Image.fromarray(arrays["x_train"][0]).save(tmp_path / "pictures" / "train" / "ant" / "zzz.png")
    data = load(name)
    assert data.shape == (3, 6, 5)
    assert torch.equal(data.images[0, 0], data.images[0, 2])


def test_a_palette_is_read(arrays, folder, tmp_path):
    name = folder(arrays)
    path = sorted((tmp_path / "pictures" / "train" / "ant").iterdir())[0]
    Image.fromarray(arrays["x_train"][0]).convert("P").save(path)
    assert load(name).shape == (3, 6, 5)


def test_other_files_are_left_alone(arrays, folder, tmp_path):
    name = folder(arrays)
    (tmp_path / "pictures" / "train" / "ant" / "notes.txt").write_text("no image")
    (tmp_path / "pictures" / "train" / "readme.md").write_text("no class")
    assert len(load(name)) == 31


def test_different_sizes_need_an_image_size(arrays, folder, tmp_path):
    name = folder(arrays)
    large = Image.fromarray(np.full((20, 30, 3), 77, dtype=np.uint8))
    large.save(tmp_path / "pictures" / "train" / "bee" / "zzz.png")
    with pytest.raises(DataError, match=r"\(train\) differ in size, from 5 x 6 to 30 x 20: pass an image size"):
        load(name)
    data = load(name, image_size=8)
    assert data.images.shape == (32, 3, 8, 8)
    assert (data.images[data.targets == 1][-1] == 77).all()
    assert torch.equal(load(name, image_size=8, limit=4).images, load(name, image_size=8, limit=9).images[:4])


def test_sixteen_bits_are_refused(arrays, folder, tmp_path):
    name = folder(arrays)
    deep = tmp_path / "pictures" / "train" / "cat" / "deep.png"
    Image.fromarray(np.full((6, 5), 3000, dtype=np.uint16)).save(deep)
    with pytest.raises(DataError, match=r"deep.png has more than 8 bits per channel"):
        load(name)


def test_a_damaged_image_is_named(arrays, folder, tmp_path):
    name = folder(arrays)
    path = sorted((tmp_path / "pictures" / "train" / "ant").iterdir())[0]
    whole = path.read_bytes()
    for content in (b"no image", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"cannot read {path} as an image"):
            load(name)


def test_a_small_limit_reads_few_files(arrays, folder, tmp_path):
    """A damaged body outside the subset is not met: only headers of the others are read."""
    name = folder(arrays)
    wanted = load(name, limit=6, normalization="half")
    paths = sorted((tmp_path / "pictures" / "train").rglob("*.png"))
    kept = {image.numpy().tobytes() for image in wanted.images.permute(0, 2, 3, 1)}
    for path in paths:
        if np.asarray(Image.open(path)).tobytes() not in kept:
            path.write_bytes(path.read_bytes()[:60])
    assert torch.equal(load(name, limit=6, normalization="half").images, wanted.images)


def test_missing_folders_and_files(arrays, folder, tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*nowhere.train with one folder for each class.*npz:FILE"):
        load(f"folder:{tmp_path / 'nowhere'}")
    (tmp_path / "empty" / "train" / "ant").mkdir(parents=True)
    with pytest.raises(DataError, match="hold no image file"):
        load(f"folder:{tmp_path / 'empty'}")
    name = folder(arrays)
    shutil.rmtree(tmp_path / "pictures" / "test")
    with pytest.raises(DataError, match=r"test images of .* are missing"):
        load(name, split="test")


def test_a_class_that_train_lacks(arrays, folder, tmp_path):
    name = folder(arrays)
    (tmp_path / "pictures" / "test" / "dog").mkdir()
    with pytest.raises(DataError, match=r"test has classes that .*train lacks: dog"):
        load(name, split="test")
