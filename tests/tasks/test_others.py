"""`check`, `info`, `plot` and `bands_from_training`, as Python calls them."""

import dataclasses

import pytest

from landscape import TrainConfig, VariantsConfig, load
from landscape.datasets.options import DataOptions
from landscape.errors import LandscapeError, StorageError, UsageError
from landscape.tasks.check import check
from landscape.tasks.data import DataChoice
from landscape.tasks.evaluate import EvaluateOptions, evaluate_checkpoint
from landscape.tasks.info import info
from landscape.tasks.plot import plot
from landscape.tasks.surface import surface_from_checkpoint
from landscape.tasks.variants import bands_from_training
from landscape.training.trainer import Trainer


def tiny(out, **changes):
    data = DataOptions("fashion_mnist_mini", limit=40)
    shared = TrainConfig(epochs=1, data=data, out=out, **changes)
    return VariantsConfig(("vgg_light",), (1e-3,), (0,), shared)


def test_check_returns_numbers_and_words(own, small):
    report = check(own, small())
    assert report.model == "vgg_light_bn"
    assert report.inputs == "20 images of fashion_mnist_mini"
    assert report.notes == ()
    assert report.checks["ok"] is True
    assert report.checks["filter_norm_error"] < 1e-5
    assert report.checks["center_error"] == 0


@pytest.mark.parametrize("options", [{"in_channels": 1}, {"num_classes": 4}])
def test_check_makes_images_that_suit_the_network(make_ckpt, small, options):
    report = check(make_ckpt("vgg_light", **options), dataclasses.replace(small(), data=DataChoice()))
    assert report.checks["ok"]
    assert "random images, not data" in report.inputs


def test_info_is_pairs_of_text(own, small, place):
    surface_from_checkpoint(own, place / "s.h5", small(points=2))
    for path in (own, place / "s.h5"):
        lines = info(path)
        assert lines[0][0] == "kind"
        assert all(isinstance(name, str) and isinstance(text, str) for name, text in lines)
        assert not any("\n" in text for _, text in lines)


def test_plot_knows_its_formats(own, small, place):
    surface_from_checkpoint(own, place / "s.h5", small(points=2))
    with pytest.raises(UsageError, match=r"'svg'.*html, png, pdf, vtk"):
        plot(place / "s.h5", formats=("html", "svg"))
    assert plot(place / "s.h5", formats=("vtk",), out=place / "v") == [place / "v-pair0.vts"]


def test_what_is_written_to_a_folder_lies_in_it(own, small, place):
    folder = place / "results.v2"  # a name that looks like one with an ending
    folder.mkdir()
    surfaces = surface_from_checkpoint(own, folder, small(points=1))
    assert [path.relative_to(folder).name for path in (*surfaces.files, surfaces.page)] == ["net.h5", "net.html"]
    (place / "pictures").mkdir()
    assert plot(surfaces.files[0], formats=("png",), out=place / "pictures") == [place / "pictures" / "net.png"]
    written = evaluate_checkpoint(
        own, place / "pictures", EvaluateOptions(data=DataChoice("fashion_mnist_mini", limit=20))
    )
    assert written.file == place / "pictures" / "net.h5"
    assert sorted(path.name for path in place.iterdir()) == ["net.pth", "pictures", "results.v2"]


def test_bands_need_a_folder():
    with pytest.raises(UsageError, match="--out"):
        bands_from_training(tiny(None))


def test_a_folder_that_cannot_be_written_to_is_found_out_before_training(place, monkeypatch):
    (place / "file").write_text("in the way")
    monkeypatch.setattr(Trainer, "step", None)
    for out in (place / "file", place / "file" / "deeper"):
        with pytest.raises(StorageError, match="Nothing was trained"):
            bands_from_training(tiny(out))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(StorageError, match="not writable"):
        bands_from_training(tiny(place / "new"))
    assert not (place / "new").exists()


def test_a_refused_call_leaves_no_folder_behind(place):
    with pytest.raises(LandscapeError):
        bands_from_training(tiny(place / "new", device="nonsense"))
    assert not (place / "new").exists()


def test_what_bands_return_is_on_disk(place):
    written = bands_from_training(tiny(place / "b"), command="typed")
    assert load(written.file).provenance["command"] == "typed"
    assert [path.name for path in written.checkpoints] == ["vgg_light.pth"]
    assert len(written.runs) == 1
    assert all(path.stat().st_size for path in (written.file, written.page, written.image, *written.checkpoints))
