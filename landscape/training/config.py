"""Settings of one run, and of every variant x learning rate x seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape import models
from landscape.datasets.options import DataOptions
from landscape.errors import UsageError
from landscape.registry import unknown
from landscape.words import FUSE, LEARNING_RATES, OPTIMIZERS, VARIANTS

_NUMBERS = {"learning_rate": float, "seed": int, "epochs": int, "batch_size": int, "weight_decay": float}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run.

    Args:
        model: Registered name, or ``package.module:factory``.
        model_options: Options of the network; ``seed`` is the run's.
        learning_rate: Learning rate, greater than zero.
        seed: Seed of initial weights, batch order and dropout masks.
        epochs: Passes over the training part.
        batch_size: Images per step; the last batch of an epoch may be smaller.
        optimizer: ``adamw``, ``adam``, ``sgd``, or ``momentum`` (SGD with momentum 0.9).
        weight_decay: As the optimiser takes it; the loss that is recorded does not contain it.
        loss: Name of the per-example loss.
        data: Which images.
        validation: Share of the train split set aside, the same images for every run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        precision: ``fp32``, ``tf32`` or ``bf16``.
        out: Folder for ``runs/`` and ``checkpoints/``; None writes nothing.

    Raises:
        UsageError: A number is out of range, or a name unknown.
    """

    model: str = "vgg"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    learning_rate: float = 1e-3
    seed: int = 0
    epochs: int = 20
    batch_size: int = 128
    optimizer: str = "adamw"
    weight_decay: float = 1e-4
    loss: str = "cross_entropy"
    data: DataOptions = DataOptions()
    validation: float = 0.1
    device: str = "auto"
    precision: str = "fp32"
    out: Path | None = None

    def __post_init__(self) -> None:
        """Check the numbers, and make plain ones of NumPy's, which read differently in a seed and in a file."""
        for name, kind in _NUMBERS.items():
            value = getattr(self, name)
            if isinstance(value, np.generic):
                object.__setattr__(self, name, kind(value))
        if not 0 < self.learning_rate < float("inf"):
            raise UsageError(f"a learning rate is a number above zero; got {self.learning_rate}")
        if self.epochs < 1 or self.batch_size < 1:
            raise UsageError(f"epochs and batch size are at least 1; got {self.epochs} and {self.batch_size}")
        if not 0 <= self.weight_decay < float("inf"):
            raise UsageError(f"weight decay is a number, not below zero; got {self.weight_decay}")
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(unknown("optimizer", self.optimizer, list(OPTIMIZERS)))
        own = self.model_options.get("seed", self.seed)
        if own != self.seed and "seed" in models.family(self.model).options:
            raise UsageError(
                f"the network's seed is the run's, {self.seed}; got seed={own} among the network's options"
            )

    @property
    def name(self) -> str:
        """Name of the run: ``<model>-lr<learning rate>-seed<seed>``."""
        return f"{self.model.replace(':', '.')}-lr{self.learning_rate:g}-seed{self.seed}"

    @property
    def run_path(self) -> Path | None:
        """Where the run's record is written."""
        return None if self.out is None else self.out / "runs" / f"{self.name}.h5"

    def checkpoint_path(self, which: str) -> Path | None:
        """Return where a checkpoint is written; ``which`` is ``best`` or ``last``."""
        return None if self.out is None else self.out / "checkpoints" / f"{self.name}-{which}.pth"


@dataclass(frozen=True)
class VariantsConfig:
    """Every variant x learning rate x seed, with settings in common.

    Args:
        variants: Names of the networks.
        learning_rates: Learning rates, the members of a band.
        seeds: Seeds; each gives a band of its own.
        shared: All other settings. Its model, learning rate and seed are replaced. A variant is given those of its
            model options that it takes.
        engine: Where runs are executed: ``serial``, or ``processes:N`` with N at a time.
        fuse: Whether runs of one network are trained in one pass: ``auto`` where that is the quickest (it is tried on
            a CUDA device), ``on`` or ``off``.

    Raises:
        UsageError: A list is empty or names something twice.
    """

    variants: tuple[str, ...] = VARIANTS
    learning_rates: tuple[float, ...] = LEARNING_RATES
    seeds: tuple[int, ...] = (0,)
    shared: TrainConfig = field(default_factory=lambda: TrainConfig(out=Path("results/variants")))
    engine: str = "serial"
    fuse: str = "auto"

    def __post_init__(self) -> None:
        """Check the lists."""
        if self.fuse not in FUSE:
            raise UsageError(unknown("choice of fuse", self.fuse, list(FUSE)))
        for what in ("variants", "learning_rates", "seeds"):
            values = getattr(self, what)
            if not values or len(set(values)) < len(values):
                raise UsageError(f"{what} needs at least one value and none twice; got {values}")
        for variant in self.variants:
            models.family(variant)
        names = [run.name for run in self.runs()]
        if len(set(names)) < len(names):
            raise UsageError(f"learning rates that agree to six digits would share a run: {self.learning_rates}")

    def runs(self) -> list[TrainConfig]:
        """List the runs, variant by variant, then seed by seed.

        Returns:
            One configuration per run.
        """
        ordered = tuple(sorted(self.learning_rates))
        return [
            replace(self.shared, model=variant, model_options=self._options(variant), seed=seed, learning_rate=rate)
            for variant in self.variants
            for seed in self.seeds
            for rate in ordered
        ]

    def _options(self, variant: str) -> dict[str, Any]:
        taken = models.family(variant).options
        return {k: v for k, v in self.shared.model_options.items() if not taken or k in taken}
