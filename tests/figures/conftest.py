"""Records with known numbers, on grids that are not square."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.records import Evaluation, Grid, Measurement, SmoothnessTrace, Surface, VariantBands

RECIPE = {
    "model": "vgg_bn",
    "model_hash": "9f31c2ab77e01d42",
    "dataset": "cifar10",
    "split": "train",
    "limit": 128,
    "examples": 128,
    "normalization": "dataset",
    "loss": "cross_entropy",
    "bn": "frozen",
    "has_batchnorm": True,
    "precision": "fp32",
    "seed": 7,
    "normalize": "filter",
    "orthogonal": True,
    "directions": ["ab12", "cd34"],
}


def bowl(pairs=2, n_alpha=5, n_beta=7, **changes) -> Surface:
    """loss = 1 + pair + alpha^2 + 3 beta^2 on [-1, 1] x [-0.5, 0.5]; accuracy 0.75; errors 0.25."""
    beta = np.linspace(-0.5, 0.5, n_beta) if n_beta > 1 else np.zeros(1)
    grid = changes.pop("grid", Grid(np.linspace(-1, 1, n_alpha), beta))
    a, b = np.meshgrid(grid.alpha, grid.beta, indexing="ij")
    loss = np.stack([1.0 + pair + a**2 + 3 * b**2 for pair in range(pairs)])
    values = {
        "loss": loss,
        "loss_sem": np.full(loss.shape, 0.25),
        "delta_sem": np.full(loss.shape, 0.125),
        "accuracy": np.full(loss.shape, 0.75),
        "done": np.ones(loss.shape, bool),
        "measured": np.ones(loss.shape, bool),
        "center": Measurement(1.0, 0.25, 0.75, 128),
        "recipe": RECIPE,
        "checks": {"cosine": 1.5e-9, "restored": True},
        "environment": {"torch": "2.13.0"},
        "execution": {"evaluator": "sequential"},
        "provenance": {"command": "landscape surface --ckpt vgg_bn.pth", "checkpoint": "vgg_bn.pth"},
    }
    return Surface(grid, **(values | changes))


def levels(variants=("vgg", "vgg_bn"), seeds=1, steps=60, epochs=3, **changes) -> VariantBands:
    """Loss of variant v at rate r and step t: (r + 1) * (v + 1) + t / 64, the same for every seed but the last."""
    v, r, t = np.arange(len(variants)), np.arange(3), np.arange(steps)
    one = (r[None, :, None] + 1.0) * (v[:, None, None] + 1.0) + t / 64
    loss = np.repeat(one[:, None], seeds, axis=1)
    shape = (len(variants), seeds, 3, epochs)
    accuracy = np.broadcast_to(np.array([0.25, 0.5, 0.75])[:, None], shape)
    flags = np.zeros(shape[:3], bool)
    values = {
        "loss": loss,
        "val_loss": np.full(shape, 2.0),
        "val_accuracy": accuracy,
        "collapsed": flags,
        "diverged": flags,
    }
    values |= {
        "recipe": {"dataset": "cifar10", "batch_size": 128},
        "provenance": {"command": "landscape train-variants"},
    }
    return VariantBands(
        np.array(variants), np.arange(seeds), [1e-4, 1e-3, 3e-3], t, np.arange(1, epochs + 1), **(values | changes)
    )


def cats_and_dogs(**changes) -> Evaluation:
    """Sixteen cats (8 right, 6 dogs, 2 birds), four dogs (all right), no bird; a fourth output that nobody trained."""
    values = {
        "confusion": [[8, 6, 2, 0], [0, 4, 0, 0], [0, 0, 0, 0]],
        "unpredicted": [0, 0, 0],
        "class_loss": [1.0, 0.5, np.nan],
        "class_loss_sem": [0.25, 0.125, np.nan],
        "rank_count": [12, 6, 2, 0],
        "overall": Measurement(0.9, 0.2, 0.6, 20),
        "mistake_index": [17, 3],
        "mistake_true": [0, 0],
        "mistake_predicted": [1, 2],
        "mistake_confidence": [0.992, 0.75],
        "mistake_image": np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3),
        "recipe": {
            "model": "vgg_bn", "dataset": "cifar10", "split": "test", "examples": 20, "loss": "cross_entropy",
            "precision": "fp32", "confidence": "softmax", "has_batchnorm": True,
        },
        "provenance": {"command": "landscape evaluate --ckpt vgg_bn.pth", "checkpoint": "vgg_bn.pth"},
    } | changes  # fmt: skip
    classes = changes.get("true_class", np.array(["cat", "dog", "bird"]))
    outputs = changes.get("predicted_class", np.array([*classes, "output 3"]))
    return Evaluation(**({"true_class": classes, "predicted_class": outputs} | values))


@pytest.fixture
def make_evaluation():
    return cats_and_dogs


MULTIPLES = np.array([0.5, 1.0, 2.0, 4.0])
TRACE_DATA = {"dataset": "cifar10", "split": "train", "limit": None, "examples": 45000}


def probed(model="vgg", seed=0, *, steps=150, every=100, rate=0.1, layers=(5, 10), factor=1.0, **changes):
    """Probe i has the losses factor * (1, 2, 3, 5) + seed / 8 and the distances (1, 2, 4, 8) * (i + 1).

    Gradients have norm 20 * (i + 1), so that beta_smoothness is 1 for every probe at step sizes 0.05 to 0.4; it is
    1 / eta_min = 20 at every probe after the hundredth.
    """
    i = np.arange(steps, dtype=np.float64)
    norm = 20 * (i + 1)
    distance = np.array([1.0, 2.0, 4.0, 8.0]) * (i + 1)[:, None]
    distance[100:] = norm[100:, None]
    k = len(layers)
    recipe = {
        "model": model,
        "model_options": {"init": "xavier"},
        "seed": seed,
        "learning_rate": rate,
        "optimizer": "sgd",
        "batch_size": 128,
        "weight_decay": 0.0,
        "epochs": 43,
        "steps_per_epoch": 352,
        "loss": "cross_entropy",
        "precision": "fp32",
        "probe": {
            "every": every,
            "step_sizes": list(rate * MULTIPLES),
            "layers": list(layers),
            "bn": "batch",
            "dropout": "off",
        },
        "data": TRACE_DATA | changes.pop("data", {}),
    } | changes.pop("recipe", {})
    values = {
        "loss": factor * np.tile([1.0, 2.0, 3.0, 5.0], (steps, 1)) + seed / 8,
        "gradient_distance": distance,
        "cosine": np.full((steps, 4), 0.5),
        "start_loss": np.full(steps, 2.5),
        "gradient_norm": norm,
        "accuracy": np.linspace(0.1, 0.9, steps),
        "covariate_shift": np.tile(np.arange(1.0, k + 1), (steps, 1)) * (1 + seed),
        "covariate_cosine": np.tile(0.5 / np.arange(1.0, k + 1), (steps, 1)),
    } | changes.pop("values", {})
    provenance = {"command": "landscape smoothness --models vgg,vgg_bn"}
    made = {"environment": {"torch": "2.13.0"}, "provenance": provenance} | changes
    names = np.array([f"features.{layer}" for layer in layers], dtype=np.str_)
    return SmoothnessTrace(every * np.arange(steps), rate * MULTIPLES, names, **values, recipe=recipe, **made)


def probed_pair(*, seeds=(0,), **changes):
    """Traces of vgg and vgg_bn, whose band of losses is half as wide."""
    return [
        probed(model, seed, factor=factor, **changes)
        for model, factor in (("vgg", 1.0), ("vgg_bn", 0.5))
        for seed in seeds
    ]


@pytest.fixture
def make_surface():
    return bowl


@pytest.fixture
def make_bands():
    return levels


@pytest.fixture
def trace():
    return probed


@pytest.fixture
def pair():
    return probed_pair
