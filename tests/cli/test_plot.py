"""`landscape plot`: pictures of stored records."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from landscape import load, save


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return tmp_path_factory.mktemp("stored")


@pytest.fixture
def surface(landscape, trained, stored, place):
    """A stored surface of two pairs, without its page and picture."""
    if not (stored / "s.h5").exists():
        words = ("--points", 3, "--pairs", 2, "--limit", 20)
        landscape("surface", "--ckpt", trained / "vgg_light.pth", *words, "--out", stored / "s.h5")
    (place / "res").mkdir()
    return shutil.copy(stored / "s.h5", "res/s.h5")


@pytest.fixture
def bands(trained, place):
    return shutil.copy(trained / "bands.h5", place / "b.h5").relative_to(place)


BEGINS = {"html": b"<!doctype html", "png": b"\x89PNG", "pdf": b"%PDF", "vts": b"<?xml"}


def check_written(printed, names):
    assert printed.split() == names
    for name in names:
        content = Path(name).read_bytes()[:200]
        assert content.lower().startswith(BEGINS[name.rpartition(".")[2]].lower()), name


def test_a_surface_in_every_format(landscape, surface, place, counted_cells):
    before = (place / surface).read_bytes()
    printed = landscape("plot", surface, "--format", "html,png,pdf,vtk").stdout
    check_written(printed, [f"res/s{end}" for end in (".html", ".png", ".pdf", "-pair0.vts", "-pair1.vts")])
    assert (place / "res" / "plotly.min.js").exists()
    assert (place / surface).read_bytes() == before
    assert counted_cells == []


def test_the_default_is_a_page_and_a_picture(landscape, surface):
    check_written(landscape("plot", surface).stdout, ["res/s.html", "res/s.png"])


def test_bands(landscape, bands):
    check_written(landscape("plot", bands, "--format", "html,png,pdf").stdout, ["b.html", "b.png", "b.pdf"])


def test_another_place(landscape, surface, place):
    printed = landscape("plot", surface, "--format", "pdf,vtk", "--out", "deep/er/fig-lr0.5").stdout
    check_written(printed, [f"deep/er/fig-lr0.5{end}" for end in (".pdf", "-pair0.vts", "-pair1.vts")])
    assert not (place / "res" / "s.pdf").exists()


@pytest.mark.parametrize("name", ["fig.png", "fig.pdf", "fig"])
def test_an_ending_that_the_format_gives_is_not_doubled(landscape, surface, place, name):
    check_written(landscape("plot", surface, "--format", "png", "--out", name).stdout, ["fig.png"])


def test_an_unfinished_surface_can_be_looked_at(landscape, surface):
    whole = load(surface)
    done = np.zeros_like(whole.done)
    done[0, :2] = True
    nan = np.where(done, whole.loss, np.nan)
    save(dataclasses.replace(whole, done=done, measured=done, loss=nan), "half.h5")
    check_written(landscape("plot", "half.h5").stdout, ["half.html", "half.png"])
    assert "6 of 18 done" in landscape("info", "half.h5").stdout
    assert "12 cells of 18 are gaps" in landscape("info", "half.h5").stdout


def test_a_page_that_stands_alone(landscape, surface, place):
    landscape("plot", surface, "--format", "html", "--standalone", "--out", "alone/s")
    assert [path.name for path in (place / "alone").iterdir()] == ["s.html"]
    assert (place / "alone" / "s.html").stat().st_size > 3_000_000


def test_a_drawn_page_equals_the_one_written_when_measured(landscape, surface, stored, place):
    landscape("plot", surface, "--format", "html")
    assert (place / "res/s.html").read_bytes() == (stored / "s.html").read_bytes()
    assert load(surface).provenance["command"] in (place / "res/s.html").read_text().replace("&#x27;", "'")


def test_a_run_has_no_picture(refused, trained, place):
    shutil.copy(trained / "runs" / "vgg_light-lr0.001-seed0.h5", place / "run.h5")
    refused(2, "plot", "run.h5", says=["run.h5", "'run'", "no picture"])


@pytest.mark.parametrize("formats", ["svg", "html,gif", "", "png,,pdf"])
def test_a_format_that_there_is_not(refused, surface, place, formats):
    refused(2, "plot", surface, "--format", formats, says=["--format"])
    assert [path.name for path in (place / "res").iterdir()] == ["s.h5"]


def test_vtk_of_bands_is_refused_before_anything_is_drawn(refused, bands, place):
    refused(2, "plot", bands, "--format", "html,vtk", says=["VTK", "b.h5 holds bands", "html, png or pdf"])
    assert not (place / "b.html").exists()


def test_what_cannot_be_drawn(refused, surface, ckpt, place):
    refused(1, "plot", "nope.h5", says=["there is no file nope.h5"])
    refused(1, "plot", ckpt, says=["net.pth", "not a result file"])
    (place / "file").write_text("in the way")
    refused(1, "plot", surface, "--out", "file/pic", says=["cannot write file/"])
