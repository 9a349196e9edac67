"""The XML is parsed back by hand, and by VTK itself where it is installed."""

import base64
import dataclasses
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.errors import StorageError, UsageError
from landscape.records import Grid, Measurement, Surface
from landscape.storage.vtk import write_vts

ALPHA, BETA = (-1.0, 0.25, 1.0), (-2.0, -0.5, 0.0, 0.5, 2.0)  # 3 x 5 cells: swapped axes cannot pass
DTYPES = {"Float64": "<f8", "UInt8": "<u1"}


def make_surface() -> Surface:
    shape = (2, len(ALPHA), len(BETA))
    loss = np.random.default_rng(0).uniform(0.1, 40.0, shape)
    loss[1, 0, 1], loss[1, 2, 0], loss[1, 1, 4] = np.nan, np.inf, 0.0  # measured values, all three
    done, measured = np.ones(shape, bool), np.ones(shape, bool)
    done[1, 2, 3] = measured[1, 2, 3] = False
    measured[1, 0, 3] = False  # interpolated
    return Surface(
        grid=Grid(np.array(ALPHA), np.array(BETA)),
        loss=loss,
        loss_sem=loss / 10,
        delta_sem=loss / 20,
        accuracy=np.linspace(0, 1, loss.size).reshape(shape),
        done=done,
        measured=measured,
        center=Measurement(loss=1.0, loss_sem=0.1, accuracy=0.5, examples=7),
        recipe={"bn": "frozen", "name": "<über & co>"},
    )


def parse(path: Path) -> tuple[ET.Element, dict[str, np.ndarray[Any, Any]]]:
    """Root element and arrays by name, decoded by the rules of the format: a length of 8 bytes, then the numbers."""
    root = ET.parse(path).getroot()
    arrays = {}
    for element in root.iter("DataArray"):
        raw = base64.b64decode(element.text or "", validate=True)
        assert int.from_bytes(raw[:8], "little") == len(raw) - 8
        values = np.frombuffer(raw[8:], DTYPES[element.attrib["type"]])
        arrays[element.attrib["Name"]] = values.reshape(-1, int(element.attrib["NumberOfComponents"]))
    return root, arrays


@pytest.mark.parametrize("height", ["loss", "log10"])
@pytest.mark.parametrize("pair", [0, 1])
def test_every_number_comes_back_at_its_place(tmp_path: Path, pair: int, height: Any) -> None:
    surface = make_surface()
    path = write_vts(tmp_path / "s.vts", surface, pair=pair, height=height)
    root, arrays = parse(path)
    extent = f"0 {len(ALPHA) - 1} 0 {len(BETA) - 1} 0 0"
    assert [e.attrib[k] for e, k in ((root[0], "WholeExtent"), (root[0][1], "Extent"))] == [extent, extent]
    for i, alpha in enumerate(ALPHA):
        for j, beta in enumerate(BETA):
            row = i + len(ALPHA) * j  # VTK: the first axis runs fastest
            cell = (pair, i, j)
            loss = surface.loss[cell] if surface.done[cell] else np.nan
            z = loss if height == "loss" else np.log10(loss) if loss > 0 else np.nan
            np.testing.assert_array_equal(arrays["Points"][row], [alpha, beta, z if np.isfinite(z) else 0.0])
            assert arrays["valid"][row] == np.isfinite(z)
            np.testing.assert_array_equal(arrays["loss"][row], [loss])
            for name in ("loss_sem", "accuracy"):
                expected = getattr(surface, name)[cell] if surface.done[cell] else np.nan
                np.testing.assert_array_equal(arrays[name][row], [expected])
            assert arrays["done"][row] == surface.done[cell]
            assert arrays["measured"][row] == surface.measured[cell]
    assert {name: len(values) for name, values in arrays.items()} == dict.fromkeys(arrays, 15)


def test_a_loss_of_zero_is_valid_on_the_linear_scale_only(tmp_path: Path) -> None:
    row = 1 + 3 * 4  # the cell (1, 4) of pair 1, whose loss is 0
    valid = {}
    for height in ("loss", "log10"):
        _, arrays = parse(write_vts(tmp_path / "s.vts", make_surface(), pair=1, height=height))
        valid[height] = int(arrays["valid"][row, 0])
    assert valid == {"loss": 1, "log10": 0}


def test_the_recipe_travels_with_the_file(tmp_path: Path) -> None:
    surface = make_surface()
    root, _ = parse(write_vts(tmp_path / "s.vts", surface, pair=1))
    notes = {
        e.attrib["Name"]: bytes(int(code) for code in (e.text or "").split()).rstrip(b"\0").decode()
        for e in root.iter("Array")
    }
    assert json.loads(notes["recipe"]) == surface.recipe
    assert (notes["height"], notes["pair"]) == ("log10", "1")


def test_a_line_is_a_grid_of_one_row(tmp_path: Path) -> None:
    whole = make_surface()
    names = ("loss", "loss_sem", "delta_sem", "accuracy", "done", "measured")
    first = {name: getattr(whole, name)[:, :, :1] for name in names}
    line = dataclasses.replace(whole, grid=Grid(np.array(ALPHA), np.array([0.0])), **first)
    root, arrays = parse(write_vts(tmp_path / "s.vts", line))
    assert root[0].attrib["WholeExtent"] == "0 2 0 0 0 0"
    np.testing.assert_array_equal(arrays["loss"][:, 0], whole.loss[0, :, 0])


@pytest.mark.parametrize("pair", [-1, 2])
def test_a_pair_that_is_not_there_is_refused_by_number(tmp_path: Path, pair: int) -> None:
    with pytest.raises(UsageError, match=rf"pair {pair} was asked for; the surface has 2"):
        write_vts(tmp_path / "s.vts", make_surface(), pair=pair)


def test_an_unknown_height_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'sqrt'"):
        write_vts(tmp_path / "s.vts", make_surface(), height="sqrt")  # type: ignore[arg-type]


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_vts(tmp_path / "s.vts", make_surface())
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_vts(path, make_surface(), pair=1)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"file/s\.vts"):
        write_vts(tmp_path / "file" / "s.vts", make_surface())


def test_vtk_itself_reads_the_same_numbers(tmp_path: Path) -> None:
    reader_module = pytest.importorskip("vtkmodules.vtkIOXML")
    to_numpy = pytest.importorskip("vtkmodules.util.numpy_support").vtk_to_numpy
    surface = make_surface()
    reader = reader_module.vtkXMLStructuredGridReader()
    reader.SetFileName(str(write_vts(tmp_path / "s.vts", surface, pair=1, height="loss")))
    reader.Update()
    grid = reader.GetOutput()
    assert grid.GetExtent() == (0, 2, 0, 4, 0, 0)
    np.testing.assert_array_equal(to_numpy(grid.GetPoints().GetData())[:, 0], np.tile(ALPHA, 5))
    expected = np.where(surface.done[1], surface.loss[1], np.nan).T.ravel()
    np.testing.assert_array_equal(to_numpy(grid.GetPointData().GetArray("loss")), expected)
    recipe = grid.GetFieldData().GetAbstractArray("recipe").GetValue(0)
    assert json.loads(recipe) == surface.recipe
