"""What is saved comes back bit for bit, opens in xarray with labels, and damage is told from data."""

from __future__ import annotations

import dataclasses
import json

import h5py
import numpy as np
import pytest
import torch

from landscape.errors import CheckpointError, StorageError
from landscape.records import Grid, Measurement
from landscape.storage import load, load_checkpoint, save, save_checkpoint


def test_every_record_comes_back_bit_for_bit(tmp_path, record, assert_same):
    path = tmp_path / "deep" / "er" / "a.h5"
    save(record, path)
    assert_same(load(path), record)
    assert [p.name for p in path.parent.iterdir()] == ["a.h5"]
    save(load(str(path)), tmp_path / "b.h5")
    assert_same(load(tmp_path / "b.h5"), record)


def test_mappings_come_back_with_infinity_and_without_a_limit_of_length(tmp_path, surface):
    save(surface, tmp_path / "a.h5")
    found = load(tmp_path / "a.h5")
    assert found.recipe == surface.recipe
    assert found.checks == {"cosine": 1e-17, "nan": np.inf}
    assert found.environment == {}


def test_a_long_record_is_compressed_without_loss(tmp_path, long_run):
    """Losses of a smooth run take less room; bits are the same (see above)."""
    save(dataclasses.replace(long_run, loss=np.ones(len(long_run.step))), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["loss"].compression == "gzip"
    assert (tmp_path / "a.h5").stat().st_size < 8 * len(long_run.step)


def test_root_attributes_say_what_it_is(tmp_path, surface):
    save(surface, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["kind"] == "surface"
        assert file.attrs["format_version"] == 1
        assert json.loads(file.attrs["recipe"]) == surface.recipe
        assert file["loss"].attrs["units"] == "nats"
        assert file["loss"].shape == (2, 3, 5)


def test_xarray_shows_a_labelled_surface(tmp_path, surface):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    save(surface, tmp_path / "a.h5")
    with xarray.open_dataset(tmp_path / "a.h5", engine="h5netcdf") as data:
        for name in ("loss", "loss_sem", "delta_sem", "accuracy", "done", "measured"):
            assert data[name].dims == ("pair", "alpha", "beta")
            np.testing.assert_array_equal(data[name].values, getattr(surface, name))
        assert data["done"].dtype == data["measured"].dtype == bool
        assert data["loss"].attrs["units"] == "nats"
        np.testing.assert_array_equal(data["alpha"].values, surface.grid.alpha)
        picked = data["loss"].sel(pair=1, alpha=1 / 3, beta=3.0)
        np.testing.assert_array_equal(picked.values, surface.loss[1, 2, 4])
        assert int(data["center_examples"]) == 128
        assert json.loads(data.attrs["recipe"]) == surface.recipe


def test_xarray_shows_a_labelled_run(tmp_path, run):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    save(run, tmp_path / "a.h5")
    with xarray.open_dataset(tmp_path / "a.h5", engine="h5netcdf") as data:
        assert data["loss"].dims == ("step",)
        assert data["val_loss"].dims == data["val_accuracy"].dims == ("epoch",)
        np.testing.assert_array_equal(data["loss"].sel(step=6).values, run.loss[6])
        np.testing.assert_array_equal(data["epoch"].values, [1, 2])
        assert data["collapsed"].dtype == bool
        assert bool(data["collapsed"])
        assert not bool(data["diverged"])


def test_xarray_shows_labelled_bands(tmp_path, bands):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    save(bands, tmp_path / "a.h5")
    with xarray.open_dataset(tmp_path / "a.h5", engine="h5netcdf") as data:
        assert data["loss"].dims == ("variant", "seed", "learning_rate", "step")
        assert data["val_loss"].dims == ("variant", "seed", "learning_rate", "epoch")
        picked = data["loss"].sel(variant="vgg_bn_überlang", seed=7, learning_rate=3e-3)
        np.testing.assert_array_equal(picked.values, bands.loss[1, 0, 2])
        assert data["collapsed"].dtype == bool
        np.testing.assert_array_equal(data["collapsed"].values, bands.collapsed)


@pytest.mark.parametrize("part", [Grid((0.0,), (0.0,)), Measurement(0, 0, 0, 1)], ids=["grid", "measurement"])
def test_a_part_has_no_file_of_its_own(tmp_path, part):
    with pytest.raises(StorageError, match=f"{type(part).__name__} is a part of other records"):
        save(part, tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"there is no file .*none\.h5"):
        load(tmp_path / "none.h5")


@pytest.mark.parametrize(
    "content", [b"", b"not hdf5 at all\n", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(500)]
)
def test_a_file_that_is_not_hdf5_is_refused(tmp_path, content):
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"a\.h5 is not a result file of this package, or is damaged"):
        load(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(StorageError, match="is not a result file of this package but a folder; give a file in it"):
        load(tmp_path)
    (tmp_path / "bands.h5").touch()
    with pytest.raises(StorageError, match=r"in it: bands\.h5$"):
        load(tmp_path)


def test_a_checkpoint_is_no_result_and_a_result_no_checkpoint(tmp_path, bands):
    save_checkpoint(tmp_path / "net", {"weight": torch.zeros(2, 2)})
    with pytest.raises(StorageError, match=r"net is not a result .* but a checkpoint: 'landscape info'"):
        load(tmp_path / "net")
    save(bands, tmp_path / "b.h5")
    with pytest.raises(CheckpointError, match=r"b\.h5 is a result of kind 'bands', not a checkpoint"):
        load_checkpoint(tmp_path / "b.h5")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(tmp_path, bands, share):
    save(bands, tmp_path / "a.h5")
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content[: int(share * len(content))])
    with pytest.raises(StorageError, match="or is damaged"):
        load(tmp_path / "a.h5")


def group_for_array(file):
    del file["loss"]
    file.create_group("loss")


def text_for_numbers(file):
    del file["loss"]
    file["loss"] = "seven"


def broken_json(file):
    file.attrs["recipe"] = '{"half": '


def flags_for_losses(file):
    del file["collapsed"]
    file["collapsed"] = np.zeros(3)


@pytest.mark.parametrize("damage", [group_for_array, text_for_numbers, broken_json, flags_for_losses])
def test_damage_inside_is_one_kind_of_error(tmp_path, run, damage):
    save(run, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        damage(file)
    with pytest.raises(StorageError, match=r"a\.h5 is not a result file of this package, or is damaged"):
        load(tmp_path / "a.h5")


def foreign(path, **attributes):
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
        file.create_group("group")["inner"] = 1.0
        file.attrs.update(attributes)
    return path


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, r"holds no record of this package \(kind None; known: bands, .*surface"),
        ({"kind": "weather"}, "kind 'weather'"),
        ({"kind": np.array([1, 2])}, "is not a result file|holds no record"),
        ({"kind": "run"}, "format version None"),
        ({"kind": "run", "format_version": "two"}, "is not a result file"),
        ({"kind": "run", "format_version": 1}, "is not a result file"),
    ],
)
def test_another_hdf5_file_is_refused(tmp_path, attributes, message):
    with pytest.raises(StorageError, match=message):
        load(foreign(tmp_path / "a.h5", **attributes))


def test_a_record_that_lost_a_variable_or_fits_no_more_is_refused(tmp_path, run):
    save(run, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["val_loss"]
    with pytest.raises(StorageError, match=r"is damaged.*val_loss"):
        load(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["val_loss"] = np.zeros(9)
    with pytest.raises(StorageError, match=r"9 values along 'epoch'|has 2 values along 'epoch'"):
        load(tmp_path / "a.h5")


def test_a_file_of_a_later_release_asks_for_an_update(tmp_path, run):
    save(run, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(StorageError, match=r"format version 2 of kind 'run'; this release reads up to 1\. Update"):
        load(tmp_path / "a.h5")


def test_variables_and_attributes_of_others_are_left_alone(tmp_path, run, assert_same):
    save(run, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["notes"] = np.arange(4)
        file.attrs["history"] = "{not json of ours"[1:]
    assert_same(load(tmp_path / "a.h5"), run)
