"""The peers from the package index, each called as its documentation tells a user.

A peer's function gets a network in evaluation mode and runs its own grid. What deviates from its documentation is said
in ``notes``, which the results carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from contenders import Loop, Task
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention
from torch.utils.data import DataLoader, TensorDataset


@dataclass(frozen=True)
class Peer:
    """A package that measures loss landscapes.

    Args:
        distribution: Its name on the package index.
        module: What it is imported as.
        loop: Runs a grid with it.
        batched: Whether it takes batches; else it gets all images as one tensor.
        notes: How it is called, and what is known of its results.
    """

    distribution: str
    module: str
    loop: Loop
    batched: bool
    notes: str

    @property
    def available(self) -> bool:
        """Whether it is installed."""
        return find_spec(self.module) is not None


def loss_landscapes(model: nn.Module, task: Task) -> Any:
    package, metrics = import_module("loss_landscapes"), import_module("loss_landscapes.metrics")
    metric = metrics.Loss(F.cross_entropy, task.inputs, task.targets)
    return package.random_plane(model, metric, steps=task.steps, normalization="filter")


def landscaper(model: nn.Module, task: Task) -> Any:
    package, utils = import_module("landscaper"), import_module("landscaper.utils")

    def mean_loss(network: nn.Module, data: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
        total = sum(F.cross_entropy(network(sample), label) for sample, label in data)
        return float(total) / len(data)

    directions = utils.generate_random_orthogonal_directions(model, n=2)
    found = package.LossLandscape.compute(
        model, task.batches, directions, mean_loss, steps=task.steps, distance=1.0, dim=2, device="cpu"
    )
    return found.loss


def losscape(model: nn.Module, task: Task) -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    *_, losses = import_module("losscape.create_landscape").create_3D_losscape(
        model,
        _loader(task),
        num_batches=len(task.batches),
        save_only=True,
        output_path=str(task.folder),
        num_points=task.steps,
    )
    return losses


def loss_landscape_3d(model: nn.Module, task: Task) -> Any:
    package = import_module("loss_landscape_3d")
    dir_x, dir_y = package.generate_random_directions(model, normalize=True)
    calculator = package.LossLandscapeCalculator(model, _loader(task), nn.CrossEntropyLoss())
    axis = np.linspace(-1, 1, task.steps)
    center = {name: t.clone() for name, t in model.state_dict().items()}
    return calculator.calculate(axis, axis, dir_x, dir_y, center_state=center)


def _loader(task: Task) -> DataLoader[tuple[torch.Tensor, ...]]:
    return DataLoader(TensorDataset(task.inputs, task.targets), batch_size=task.batch, shuffle=False)


PEERS: Mapping[str, Peer] = {
    peer.distribution: peer
    for peer in (
        Peer(
            "loss-landscapes",
            "loss_landscapes",
            loss_landscapes,
            batched=False,
            notes="README: random_plane with the metric Loss on all images as one tensor. It does not put the network "
            "into evaluation mode and leaves it displaced: the benchmark does both around it.",
        ),
        Peer(
            "Landscaper",
            "landscaper",
            landscaper,
            batched=True,
            notes="Quick start: LossLandscape.compute with a scalar function that loops over batches; random "
            "directions in place of Hessian eigenvectors. It walks to each cell step by step, so a cell of a large "
            "grid costs more than one of the small grid timed here: its time is a lower bound.",
        ),
        Peer(
            "losscape",
            "losscape",
            losscape,
            batched=True,
            notes="create_3D_losscape with a DataLoader. It does not put the network into evaluation mode: the "
            "benchmark does.",
        ),
        Peer(
            "loss-landscape-3d",
            "loss_landscape_3d",
            loss_landscape_3d,
            batched=True,
            notes="README quick start with a DataLoader; the center is a copy of the state dict, because the README's "
            "own is changed while the grid is run. It adds noise to running variances, so that cells of a network "
            "with BatchNorm can be NaN; they are timed as they are.",
        ),
    )
}
