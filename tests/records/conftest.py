"""Records with every kind of value that a measurement can leave behind."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.records import (
    Evaluation,
    Grid,
    Measurement,
    Run,
    Surface,
    Sweep,
    VariantBands,
)

NAN, INF = np.nan, np.inf


@pytest.fixture
def measurement():
    return Measurement(loss=1.5, loss_sem=NAN, accuracy=0.25, examples=128)


@pytest.fixture
def surface(measurement):
    """Two pairs on a grid of 3 x 4: axes that are swapped cannot pass."""
    loss = np.random.default_rng(0).standard_normal((2, 3, 4))
    loss[0, 0, :3] = NAN, INF, -INF
    done = loss > -0.5
    return Surface(
        grid=Grid((-1.0, 0.0, 0.5), (-2.0, -1.0, 0.1, 1 / 3)),
        loss=loss,
        loss_sem=loss / 3,
        delta_sem=loss / 7,
        accuracy=np.clip(loss, 0, 1),
        done=done,
        measured=~done,
        center=measurement,
        error_estimate=0.1,
        recipe={"bn": "frozen", "seed": 3, "limit": None, "list": [1, 2.5, "ü"], "nested": {"a": True}},
        execution={"batch": 64},
        checks={"cosine": 1e-17},
        environment={"torch": "2.0"},
        provenance={"command": "landscape surface --ckpt 'a b.pth'"},
    )


@pytest.fixture
def run():
    return Run(
        step=np.arange(5),
        loss=np.array([2.3, NAN, INF, -INF, 1e-300]),
        epoch=[1, 2],
        val_loss=[2.0, NAN],
        val_accuracy=[0.1, 0.2],
        collapsed=True,
        diverged=False,
        recipe={"model": "vgg"},
    )


@pytest.fixture
def bands():
    rng = np.random.default_rng(1)
    loss = rng.standard_normal((2, 1, 3, 4))
    loss[1, 0, 2, 2:] = NAN
    return VariantBands(
        variant=np.array(["vgg", "vgg_bn"]),
        seed=[7],
        learning_rate=[1e-4, 1e-3, 3e-3],
        step=np.arange(4),
        epoch=[1, 2],
        loss=loss,
        val_loss=rng.standard_normal((2, 1, 3, 2)),
        val_accuracy=rng.standard_normal((2, 1, 3, 2)),
        collapsed=rng.random((2, 1, 3)) > 0.5,
        diverged=rng.random((2, 1, 3)) > 0.5,
        recipe={"epochs": 2},
    )


@pytest.fixture
def evaluation(measurement):
    """Three classes, of which the last has no image, and four outputs."""
    return Evaluation(
        true_class=np.array(["cat", "dog", "überlang"]),
        predicted_class=np.array(["cat", "dog", "überlang", "output 3"]),
        confusion=[[3, 1, 0, 0], [0, 2, 3, 3], [0, 0, 0, 0]],
        unpredicted=[0, 0, 0],
        class_loss=[0.5, INF, NAN],
        class_loss_sem=[0.1, NAN, NAN],
        rank_count=[5, 4, 3, 0],
        overall=measurement,
        mistake_index=[7, 2],
        mistake_true=[0, 1],
        mistake_predicted=[1, 3],
        mistake_confidence=[1 / 3, NAN],
        mistake_image=np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3),
        recipe={"model": "vgg", "confidence": "softmax"},
    )


@pytest.fixture
def sweep():
    """Two settings, three seeds: a finished, a failed, a diverged run and one that is not done."""
    table = np.random.default_rng(4).standard_normal((5, 2, 3))
    table[:, 0, 1], table[2, 1, 1] = NAN, INF
    flags = np.arange(24).reshape(4, 2, 3) % 5 == 0
    return Sweep(
        np.array(["lr=0.1", "ü"]), [0, 5, 7], *table, np.arange(6).reshape(2, 3), *flags,
        settings={"lr=0.1": {"learning_rate": 0.1}}, reasons={"ü seed 5": "out of memory"}, recipe={"baseline": "ü"},
    )  # fmt: skip


@pytest.fixture(
    params=[
        "surface",
        "run",
        "bands",
        "measurement",
        "line_search",
        "smoothness",
        "smoothness_without_layers",
        "empty_smoothness",
        "evaluation",
        "sweep",
    ]
)
def record(request):
    return request.getfixturevalue(request.param)
