"""Every network: an epoch on real images, its checkpoint, and surfaces of that file in every BN mode and evaluator."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import landscape as ls
from landscape import models
from landscape.datasets.options import DataOptions
from landscape.models.base import Family
from landscape.space import batchnorm_layers
from landscape.storage import load_checkpoint
from landscape.surface.evaluators import get
from landscape.tasks.data import DataChoice
from landscape.tasks.surface import SurfaceOptions, surface_from_checkpoint
from landscape.training import TrainConfig

LARGE = {"resnet9", "resnet18"} | {n for n in models.names() if n.startswith("vgg") and "light" not in n}
VECTORS = {"dln", "dln_bn"}  # trained by regression on vectors
NAMES = [*(n for n in models.names() if n != "tiny" and n not in VECTORS), "torchvision:mobilenet_v3_small"]
GRID = ls.Grid((-0.5, 0.0, 0.5), (-0.4, 0.0, 0.3))


def settings(name, out):
    gray = name == "resnet18_gray"
    limit = 6 if gray else 24 if name in LARGE else 128
    size = {"image_size": 224 if gray else 32, "channels": 1 if gray else 3}
    data = DataOptions("fashion_mnist_mini", limit=limit, normalization="half", **size)
    batch = 4 if gray else 32
    return TrainConfig(model=name, epochs=1, batch_size=batch, learning_rate=1e-3, data=data, device="cpu", out=out)


def measured(ckpt, limit):
    """Surfaces of a checkpoint as the command measures them: all that it knows of the images is in the file."""
    images = DataChoice(limit=limit)
    options = SurfaceOptions(pairs=1, points=3, radius=0.5, bn="all", seed=1, device="cpu", data=images)
    options = dataclasses.replace(options, sampling="dense", evaluator="sequential")
    return surface_from_checkpoint(ckpt, ckpt.parent / "surface.h5", options).surfaces


@pytest.mark.parametrize("name", NAMES)
def test_a_network_trains_an_epoch_and_surfaces_are_measured_around_its_checkpoint(name, tmp_path):
    config = settings(name, tmp_path)
    run = ls.train(config)
    assert len(run.epoch) == 1
    assert np.isfinite(run.loss).all()
    assert not run.diverged
    checkpoint = load_checkpoint(config.checkpoint_path("last"))
    assert (checkpoint.model_name, checkpoint.trusted) == (name, True)
    assert not {"seed", "init", "pretrained"} & set(checkpoint.model_options)
    model = checkpoint.build()
    fresh = models.build(name, **checkpoint.model_options, seed=config.seed)
    moved = [not torch.equal(p, q) for p, q in zip(model.parameters(), fresh.parameters(), strict=True)]
    assert all(moved), "every parameter has a gradient"
    limit = {"resnet18_gray": 1}.get(name, 2 if name in LARGE else 6)
    surfaces = measured(config.checkpoint_path("last"), limit)
    data = dataclasses.replace(config.data, limit=limit).load("train")  # as it was trained, whatever the file says
    modes = ("frozen", "batch", "recalibrated") if batchnorm_layers(model) else ("frozen",)
    objectives = [ls.Objective(model, data.inputs, data.targets, bn=mode, device="cpu") for mode in modes]
    for objective, surface in zip(objectives, surfaces, strict=True):
        assert surface.finished
        assert (surface.recipe["bn"], surface.recipe["image_size"]) == (objective.bn, data.shape[1])
        assert surface.loss[0, 1, 1] == objective(objective.center).loss
        assert len(np.unique(surface.loss)) == 9
    if len(modes) == 3:
        np.testing.assert_array_equal(surfaces[1].loss, surfaces[2].loss)  # one batch is its own calibration set
        assert not np.allclose(surfaces[0].loss, surfaces[1].loss)
        pair = ls.random_pair(model, seed=1)
        folded = ls.measure_surface(objectives[0], pair, surfaces[0].grid, evaluator="folded")
        np.testing.assert_allclose(folded.loss, surfaces[0].loss, rtol=1e-4)  # float32, in another order


@pytest.mark.parametrize(
    ("name", "left"),
    [("net_bn", []), ("cnn", []), ("cifar10net_4", []), ("resnet9", []), ("resnet18", []), ("densenet", ["odd"])],
)
def test_the_layers_that_follow_a_convolution_are_folded_and_no_others(name, left):
    """In DenseNet most layers stand before their convolution; there are some that follow one, and they are folded."""
    from landscape.space import borrowed
    from landscape.space.folding import folded

    full = "torchvision:densenet121" if name == "densenet" else name
    model = models.build(full).eval()
    image = torch.zeros(1, 3, 32, 32)
    with borrowed(model), torch.inference_mode(), folded(model, lambda: model(image), []) as fold:
        unfolded = set(batchnorm_layers(model))
    if left:
        assert all(n.endswith(("norm1", "norm5")) or "transition" in n for n in unfolded)
        assert unfolded
        assert fold.layers
    else:
        assert unfolded == set()


class Leaky(torch.nn.Module):
    """Uses a convolution's output beside its normalized one: folding cannot see that, and changes it."""

    def __init__(self, **_):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 5, stride=4), torch.nn.BatchNorm2d(4)
        self.head = torch.nn.Linear(4, 10)
        models.initialize(self, how="default")
        self.norm.running_var *= 9
        self.norm.running_mean += 1

    def forward(self, x):
        y = self.conv(x)
        return self.head((y + self.norm(y)).mean((2, 3)))


def test_folding_that_changes_the_function_is_noticed_and_dropped():
    models.register("leaky", Family(Leaky))
    model = models.build("leaky").eval()
    data = DataOptions("fashion_mnist_mini", limit=20).load("train")
    objective = ls.Objective(model, data.inputs, data.targets, device="cpu")
    pair = ls.random_pair(model, seed=1)
    assert not get("folded").refusal(objective, ls.surface.evaluators.Planes([pair], GRID))
    surface = ls.measure_surface(objective, pair, GRID)
    assert surface.execution["evaluator"] == "sequential"
    assert surface.loss[0, 1, 1] == objective(objective.center).loss


def test_a_run_from_pretrained_weights_leaves_no_path_behind(tmp_path):
    """The recipe knows the file by its content: a moved file continues the run, another file is another run."""
    source = models.build("resnet18", num_classes=3, seed=5)
    paths = [tmp_path / folder / "w.pth" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        torch.save(source.state_dict(), path)
    config = settings("resnet18", tmp_path / "out")
    first = TrainConfig(**{**vars_of(config), "model_options": {"pretrained": str(paths[0])}})
    run = ls.train(first)
    stored = load_checkpoint(first.checkpoint_path("best"))
    assert "pretrained" not in stored.model_options
    assert str(tmp_path) not in repr(stored.meta)
    for path in paths[:1]:
        path.unlink()
    assert stored.build()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    again = ls.train(TrainConfig(**{**vars_of(config), "model_options": {"pretrained": str(paths[1])}}))
    assert again.recipe == run.recipe
    assert run.recipe["model_options"]["pretrained"].startswith("w.pth sha256:")
    torch.save(models.build("resnet18", num_classes=3, seed=6).state_dict(), paths[1])
    with pytest.raises(ls.errors.ResumeError, match="pretrained"):
        ls.train(TrainConfig(**{**vars_of(config), "model_options": {"pretrained": str(paths[1])}}))


def vars_of(config):
    return {field: getattr(config, field) for field in config.__dataclass_fields__}
