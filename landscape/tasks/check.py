"""``landscape check``: the geometry checks on one network, on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from landscape import models
from landscape.space import random_pairs
from landscape.storage import Checkpoint, load_checkpoint
from landscape.surface import Objective, check_geometry
from landscape.tasks.data import check_fit, images_for
from landscape.tasks.surface import SurfaceOptions


@dataclass(frozen=True)
class CheckReport:
    """The outcome.

    Args:
        checks: Numbers by name, as ``landscape.surface.check_geometry`` returns them.
        inputs: What the network was evaluated on, in words.
        model: The network.
        notes: What was assumed, as sentences.
    """

    checks: dict[str, Any]
    inputs: str
    model: str
    notes: tuple[str, ...]


def check(ckpt: Path, options: SurfaceOptions) -> CheckReport:
    """Check the planes that a surface with these options would use.

    Args:
        ckpt: The checkpoint.
        options: Settings of the surface. Without a data set, seeded random images are used.

    Returns:
        The outcome.
    """
    checkpoint = load_checkpoint(ckpt, options.model, model_options=options.model_options)
    model = checkpoint.build()
    if options.data.dataset is None:
        inputs, targets = _random_images(checkpoint)
        words, assumed = "64 seeded random images, not data", list[str]()
    else:
        data, assumed = images_for(checkpoint, options.data)
        check_fit(model, data)
        inputs, targets, words = data.inputs, data.targets, f"{len(data)} images of {data.name}"
    objective = Objective(
        model,
        inputs,
        targets,
        bn=options.bn,
        batch_size=options.batch_size or len(targets),
        device=options.device,
        precision=options.precision,
    )
    pairs = random_pairs(
        model, options.pairs, seed=options.seed, normalize=options.normalize, orthogonal=options.orthogonal
    )
    found = check_geometry(objective, pairs)
    return CheckReport(found, words, checkpoint.model_name, (*checkpoint.notes, *assumed))


def _random_images(checkpoint: Checkpoint) -> tuple[torch.Tensor, torch.Tensor]:
    family = models.family(checkpoint.model_name)
    size = family.image_size or 32
    generator = torch.Generator("cpu").manual_seed(0)
    channels = int(checkpoint.model_options.get("in_channels", 3))
    classes = int(checkpoint.model_options.get("num_classes", 10))
    images = torch.randn(64, channels, size, size, generator=generator)
    return images, torch.randint(0, classes, (64,), generator=generator)
