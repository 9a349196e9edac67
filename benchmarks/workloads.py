"""The workloads: a network and images, the same for every contender, and what a cell costs in arithmetic."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape import models
from landscape.space import batchnorm_layers
from landscape.storage import load_checkpoint
from landscape.tasks.data import DataChoice, images_for, subset_facts

IMAGES = {"W1": 128, "W2": 1_024, "W3": 10_000}
SURFACE_CELLS = 4 * 41 * 41  # four pairs of 41 x 41


@dataclass(frozen=True)
class Convolution:
    """The shape of a convolution for one image.

    Args:
        channels: Of the input.
        out: Channels of the output.
        size: Height and width of the input.
        result: Height and width of the output.
        kernel: Height and width.
        stride: Along both.
        padding: Along both.
        groups: Of channels.
    """

    channels: int
    out: int
    size: tuple[int, int]
    result: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int

    @property
    def flops(self) -> float:
        """Operations for one image: two for a multiplication with its addition."""
        inner = self.channels // self.groups * self.kernel[0] * self.kernel[1]
        return 2.0 * inner * self.out * self.result[0] * self.result[1]

    def __str__(self) -> str:
        return f"{self.channels}->{self.out}, {self.size[0]} x {self.size[1]}"


@dataclass(frozen=True, eq=False)
class Problem:
    """A network with images.

    Args:
        name: ``W1``, ``W2`` or ``W3``.
        network: Registered name of the network.
        model: The network in evaluation mode. It is only ever copied.
        inputs: Images, float32.
        targets: Their classes.
        source: Where the weights and images come from, in words.
        trained: Whether the weights are those of a checkpoint.
        facts: What a recipe says of network and images.
    """

    name: str
    network: str
    model: nn.Module
    inputs: Tensor
    targets: Tensor
    source: str
    trained: bool
    facts: Mapping[str, Any]

    def fresh(self) -> nn.Module:
        """A copy of the network."""
        return copy.deepcopy(self.model)

    @cached_property
    def convolutions(self) -> Counter[Convolution]:
        """The convolutions of one forward pass, with how often each shape occurs."""
        found: Counter[Convolution] = Counter()

        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            assert isinstance(module, nn.Conv2d)
            height, width = module.padding if isinstance(module.padding, tuple) else (0, 0)
            found[
                Convolution(
                    module.in_channels,
                    module.out_channels,
                    (inputs[0].shape[2], inputs[0].shape[3]),
                    (output.shape[2], output.shape[3]),
                    (module.kernel_size[0], module.kernel_size[1]),
                    (module.stride[0], module.stride[1]),
                    (height, width),
                    module.groups,
                )
            ] += 1

        model = self.fresh()
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(note)
        with torch.no_grad():
            model(self.inputs[:1])
        return found

    @property
    def convolution_flops(self) -> float:
        """Operations of the convolutions for all images: those of one cell."""
        return len(self.inputs) * sum(shape.flops * count for shape, count in self.convolutions.items())

    @property
    def flops(self) -> float:
        """Operations of one cell, linear layers included."""
        linear = sum(2.0 * m.weight.numel() for m in self.model.modules() if isinstance(m, nn.Linear))
        return self.convolution_flops + len(self.inputs) * linear

    def describe(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "network": self.network,
            "images": len(self.inputs),
            "source": self.source,
            "gflop_per_cell": self.flops / 1e9,
            "convolution_gflop_per_cell": self.convolution_flops / 1e9,
        }


def synthetic(name: str, *, network: str, images: int, seed: int = 0) -> Problem:
    """A seeded network with random running statistics, and random images: as fast as a trained one on real ones."""
    model = models.build(network, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in batchnorm_layers(model).values():
            for tensor, low, high in ((layer.running_mean, -0.2, 0.2), (layer.running_var, 0.5, 1.5)):
                if tensor is not None:
                    tensor.uniform_(low, high, generator=generator)
        for key, vector in model.named_parameters():
            if vector.ndim == 1:  # biases of zero, as initialised, would stop a peer with a division by zero
                low, high = (-0.2, 0.2) if key.endswith("bias") else (0.5, 1.5)
                vector.uniform_(low, high, generator=generator)
    inputs = torch.randn(images, 3, 32, 32, generator=generator)
    targets = torch.randint(10, (images,), generator=generator)
    source = f"{network} with seed {seed} and random running statistics; random images"
    return Problem(name, network, model, inputs, targets, source, trained=False, facts={"seed": seed})


def from_checkpoint(name: str, ckpt: Path, *, dataset: str | None, images: int) -> Problem:
    """A trained network on a class-balanced part of its training images."""
    checkpoint = load_checkpoint(ckpt)
    data, _ = images_for(checkpoint, DataChoice(dataset=dataset, limit=images))
    facts = {
        "model": checkpoint.model_name,
        "model_options": dict(checkpoint.model_options),
        **subset_facts(data),
    }
    source = f"checkpoint {ckpt.name}, {images} training images of {data.name}"
    model = checkpoint.build()
    return Problem(name, checkpoint.model_name, model, data.inputs, data.targets, source, trained=True, facts=facts)


def problem(
    name: str, *, network: str, ckpt: Path | None, dataset: str | None, seed: int = 0, images: int | None = None
) -> Problem:
    """A workload by its name; ``images`` makes it smaller."""
    images = images or IMAGES[name]
    if ckpt is not None:
        return from_checkpoint(name, ckpt, dataset=dataset, images=images)
    return synthetic(name, network=network, images=images, seed=seed)
