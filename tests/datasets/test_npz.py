from __future__ import annotations

import os

import numpy as np
import pytest

from landscape.datasets import load
from landscape.errors import DataError


def test_grey_arrays_and_columns_of_labels(arrays, npz):
    grey = {key: x[..., 0] if key.startswith("x") else x for key, x in arrays.items()}
    columns = {key: y[:, None].astype(np.uint8) if key.startswith("y") else y for key, y in grey.items()}
    last = {key: x[..., None] if key.startswith("x") else x for key, x in grey.items()}
    data = load(npz(grey))
    np.testing.assert_array_equal(data.images[:, 0], arrays["x_train"][..., 0])
    for other in (load(npz(columns, "columns.npz")), load(npz(last, "last.npz"))):
        assert other.describe() | {"dataset": ""} == data.describe() | {"dataset": ""}


def test_without_names_classes_are_numbers_of_both_splits(arrays, npz):
    del arrays["classes"]
    arrays["y_test"][0] = 4
    name = npz(arrays)
    assert load(name).classes == load(name, split="test").classes == ("0", "1", "2", "3", "4")


def test_names_stored_as_bytes(arrays, npz):
    arrays["classes"] = arrays["classes"].astype("S")
    assert load(npz(arrays)).classes == ("ant", "bee", "cat")


def changed(key, change):
    def apply(arrays):
        arrays[key] = change(arrays[key])

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("y_train"), r"some.npz lacks y_train; it holds x_train, .* It needs x_train, y_train"),
        (
            changed("x_train", lambda x: x / 255),
            r"x_train of some.npz holds float64 values from 0 to 1: store .* uint8",
        ),
        (changed("x_train", lambda x: x.astype(np.int32)), r"holds int32 values from 0 to 255: store pixels as uint8"),
        (changed("x_train", lambda x: x.astype("U")), r"holds <U\d+ values: store pixels as uint8"),
        (
            changed("x_train", lambda x: x.transpose(0, 3, 1, 2)),
            r"shape \(31, 3, 6, 5\).*Channels come last: x.transpose",
        ),
        (changed("x_train", lambda x: x[:, 0, 0]), r"shape \(31, 3\); it must be \(n, h, w\) or \(n, h, w, c\)"),
        (changed("x_train", lambda x: x[..., :2]), r"shape \(31, 6, 5, 2\); .* with 1 or 3 channels"),
        (changed("y_train", lambda y: np.eye(3)[y]), r"y_train of some.npz has shape \(31, 3\) and type float64"),
        (changed("y_train", lambda y: y * 1.0), r"type float64; it must hold integers, \(n,\) or \(n, 1\)"),
        (changed("y_train", lambda y: y[:30]), r"holds 31 images in x_train, but 30 labels in y_train"),
        (changed("classes", lambda c: np.arange(3)), r"classes of some.npz has shape \(3,\) and type int64"),
    ],
)
def test_arrays_of_another_form(change, message, arrays, npz):
    change(arrays)
    with pytest.raises(DataError, match=message):
        load(npz(arrays))


def test_a_missing_file_lists_the_ways(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*none.npz.*npz:FILE.*folder:DIR.*fashion_mnist_mini"):
        load(f"npz:{tmp_path / 'none.npz'}")


def test_a_damaged_file(tmp_path, arrays, npz):
    npz(arrays)
    whole = (tmp_path / "some.npz").read_bytes()
    for content in (b"", b"no archive", whole[:400], whole[:-30]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"cannot read .*bad.npz as a file of arrays"):
            load(f"npz:{tmp_path / 'bad.npz'}")


def test_a_single_array(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"one.npy holds a single array. Store several with numpy.savez"):
        load(f"npz:{tmp_path / 'one.npy'}")


class Touch:
    """An object whose unpickling would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_file_is_refused_and_not_executed(tmp_path, arrays, npz):
    arrays["x_train"] = np.array([Touch(str(tmp_path / "executed"))], dtype=object)
    with pytest.raises(DataError, match="allow_pickle=False"):
        load(npz(arrays))
    assert not (tmp_path / "executed").exists()
