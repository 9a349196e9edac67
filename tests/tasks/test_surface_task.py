"""`surface_from_checkpoint`, as Python calls it."""

import dataclasses

import numpy as np
import pytest

from landscape import load
from landscape.errors import CheckpointError, ResumeError, UsageError
from landscape.space import random_pairs
from landscape.storage import load_checkpoint
from landscape.surface import Objective
from landscape.tasks.data import images_for
from landscape.tasks.surface import surface_from_checkpoint


def test_cells_are_the_objective_at_points_of_the_plane(own, small):
    options = small(points=3, pairs=2, radius=0.5, seed=4)
    written = surface_from_checkpoint(own, None, options)
    (surface,) = written.surfaces
    checkpoint = load_checkpoint(own)
    data, _ = images_for(checkpoint, options.data)
    objective = Objective(checkpoint.build(), data.inputs, data.targets)
    pair = random_pairs(checkpoint.build(), 2, seed=4)[1]
    center = objective.center
    point = {n: w + 0.5 * pair.first[n] - 0.5 * pair.second[n] for n, w in center.items()}
    assert surface.grid.alpha.tolist() == [-0.5, 0.0, 0.5]
    assert surface.loss[1, 2, 0] == pytest.approx(objective(point).loss, rel=1e-5)  # float32, rounded in another order
    assert surface.center.loss == objective(center).loss
    assert surface.loss[0, 1, 1] == pytest.approx(surface.center.loss, rel=1e-6)  # BatchNorm is folded there


@pytest.mark.parametrize(
    ("trained", "asked", "used"),
    [
        ("mse", None, "mse"),
        ("label_smoothing:0.1", None, "label_smoothing:0.1"),
        ("mse", "bce", "bce"),
        ("bce", "cross_entropy", "cross_entropy"),
    ],
)
def test_the_loss_is_that_of_the_training_unless_the_user_says_another(trained_with, small, trained, asked, used):
    told = []
    ckpt, options = trained_with(trained), small(points=1, loss=asked)
    (surface,) = surface_from_checkpoint(ckpt, None, options, say=told.append).surfaces
    checkpoint = load_checkpoint(ckpt)
    data, _ = images_for(checkpoint, options.data)
    objective = Objective(checkpoint.build(), data.inputs, data.targets, loss=used)
    assert surface.recipe["loss"] == used
    assert surface.center.loss == objective(objective.center).loss
    assert told == []


def test_a_loss_that_is_not_known_here_or_not_said_is_assumed_and_told(trained_with, own, small, place):
    told = []
    (surface,) = surface_from_checkpoint(own, place / "a.h5", small(points=1), say=told.append).surfaces
    assert surface.recipe["loss"] == "cross_entropy"
    path = trained_with("my_losses:focal")
    (surface,) = surface_from_checkpoint(path, place / "b.h5", small(points=1), say=told.append).surfaces
    assert surface.recipe["loss"] == "cross_entropy"
    assert [f"Assumed: {text}" for text in surface.provenance["assumed"]] == told[1:]
    assert ["which loss it was trained with" in text for text in told] == [True, False]
    assert ["'my_losses:focal'" in text for text in told] == [False, True]


def test_a_surface_with_cross_entropy_by_name_is_the_same_as_by_training(trained_with, small, place):
    ckpt = trained_with("cross_entropy")
    surface_from_checkpoint(ckpt, place / "s.h5", small(loss="cross_entropy"))
    before = (place / "s.h5").read_bytes()
    surface_from_checkpoint(ckpt, place / "s.h5", small())
    assert (place / "s.h5").read_bytes() == before, "continued: nothing was left to measure"


def test_what_is_returned_is_what_is_on_disk(own, small, place):
    written = surface_from_checkpoint(own, place / "deep" / "s.h5", small(), command="typed")
    assert written.files == (place / "deep" / "s.h5",)
    assert (written.page, written.image) == (place / "deep" / "s.html", place / "deep" / "s.png")
    stored = load(written.files[0])
    np.testing.assert_array_equal(stored.loss, written.surfaces[0].loss)
    assert stored.provenance["command"] == "typed"
    assert all(path.stat().st_size for path in (written.page, written.image))


def test_all_modes_share_their_planes(own, small):
    written = surface_from_checkpoint(own, None, small(points=1, bn="all"))
    assert [s.recipe["bn"] for s in written.surfaces] == ["frozen", "batch", "recalibrated"]
    assert [path.name for path in written.files] == [f"net.{s.recipe['bn']}.h5" for s in written.surfaces]
    assert len({s.recipe["directions"][0] for s in written.surfaces}) == 1


def test_progress_starts_with_an_estimate_and_ends_with_all_cells(own, small):
    told = []
    surface_from_checkpoint(own, None, small(), progress=told.append)
    assert [p.done for p in told][0 :: len(told) - 1] == [0, 9]
    assert {p.total for p in told} == {9}
    assert [p.estimate for p in told] == [True] + [False] * (len(told) - 1)
    assert all(p.seconds_left >= 0 for p in told)


def test_the_network_may_be_given_by_name(bare, small):
    options = small(points=1, model="vgg_light_bn", model_options={"num_classes": 10})
    (surface,) = surface_from_checkpoint(bare, None, options).surfaces
    assert surface.recipe["model"] == "vgg_light_bn"
    with pytest.raises(CheckpointError, match="do not fit vgg_light"):
        surface_from_checkpoint(bare, None, dataclasses.replace(options, model="vgg_light"))


@pytest.mark.parametrize("name", ["s.html", "s.png"])
def test_a_file_that_page_or_picture_would_overwrite(own, small, place, name):
    with pytest.raises(UsageError, match=r"s\.h5"):
        surface_from_checkpoint(own, place / name, small())
    assert not (place / name).exists()


def test_another_subset_is_another_recipe(own, small, place):
    surface_from_checkpoint(own, place / "s.h5", small(points=1))
    before = (place / "s.h5").read_bytes()
    with pytest.raises(ResumeError, match="made with"):
        surface_from_checkpoint(own, place / "s.h5", small(points=1, limit=21))
    assert (place / "s.h5").read_bytes() == before


@pytest.mark.parametrize(
    "change", [{"loss": "nonsense"}, {"engine": "nonsense"}, {"sampling": "nonsense"}, {"bn": "x"}, {"normalize": "x"}]
)
def test_a_word_without_meaning_writes_nothing(own, small, place, change):
    with pytest.raises(UsageError):
        surface_from_checkpoint(own, place / "s.h5", small(**change))
    assert [path.name for path in place.iterdir()] == ["net.pth"]
