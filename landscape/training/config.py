"""Settings of one run, and of every variant x learning rate x seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape import losses, models
from landscape.datasets import Augmentation
from landscape.datasets.options import DataOptions
from landscape.errors import UsageError
from landscape.registry import unknown
from landscape.training.clipping import clip_from
from landscape.training.schedules import settled
from landscape.words import FUSE, LEARNING_RATES, OPTIMIZERS, VARIANTS

_NUMBERS = {"learning_rate": float, "seed": int, "epochs": int, "batch_size": int, "weight_decay": float}
_LATER = {"scheduler": "none", "grad_clip": None, "early_stop": None, "augment": (), "val_every": None}
_COUNTED = {"early_stop": "epochs", "val_every": "steps"}


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
        loss: Name of the per-example loss; ``label_smoothing:0.1`` with its share.
        scheduler: How the learning rate moves, by torch's own schedulers: ``none``; ``onecycle`` (up to
            ``learning_rate`` and down, after every step); ``plateau`` (on the validation loss), ``step`` or ``cosine``
            (after every epoch).
        scheduler_options: Settings of the scheduler under torch's names, where they are not the defaults: ``onecycle``
            pct_start 0.3, div_factor 25, final_div_factor 1e4; ``plateau`` factor 0.1, patience 5, threshold 1e-4,
            cooldown 0, min_lr 0; ``step`` step_size 10, gamma 0.1; ``cosine`` eta_min 0.
        grad_clip: ``value:0.1`` cuts every element of the gradient, ``norm:1`` the norm of all; None cuts nothing.
        early_stop: End after so many epochs in a row without a lower validation loss; None trains them all.
        augment: What is done to training images anew in every epoch: any of ``flip``, ``crop``, ``autoaugment``,
            ``noise:0.05``; see ``landscape.datasets.Augmentation``. A text is split at its commas.
        val_every: Validate after so many steps too, and keep the best network found so; None validates after epochs.
        data: Which images.
        validation: Share of the train split set aside, the same images for every run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        precision: ``fp32``, ``tf32`` or ``bf16``.
        out: Folder for ``runs/`` and ``checkpoints/``; None writes nothing.
        tensorboard: Folder for logs that TensorBoard shows; None writes none. Nothing measured depends on it.

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
    scheduler: str = "none"
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    grad_clip: str | None = None
    early_stop: int | None = None
    augment: tuple[str, ...] | str = ()
    val_every: int | None = None
    data: DataOptions = DataOptions()
    validation: float = 0.1
    device: str = "auto"
    precision: str = "fp32"
    out: Path | None = None
    tensorboard: Path | None = None

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
        self._check_later()
        own = self.model_options.get("seed", self.seed)
        if own != self.seed and "seed" in models.family(self.model).options:
            raise UsageError(
                f"the network's seed is the run's, {self.seed}; got seed={own} among the network's options"
            )

    def _check_later(self) -> None:
        losses.resolve(self.loss)
        settled(self.scheduler, self.scheduler_options)
        clip_from(self.grad_clip)
        words = self.augment.split(",") if isinstance(self.augment, str) else self.augment
        object.__setattr__(self, "augment", tuple(word.strip() for word in words if word.strip()))
        Augmentation.parse(self.augment)
        for name, what in (("early_stop", "the patience of early stopping"), ("val_every", "validation")):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{what} is counted in whole {_COUNTED[name]} from 1; got {value}")

    def chosen(self) -> dict[str, Any]:
        """Return what a recipe says of the settings that came later than the first runs: those that are in use.

        A run without them has the recipe that it had before they existed, so it is still continued.
        """
        chosen = {name: getattr(self, name) for name, unused in _LATER.items() if getattr(self, name) != unused}
        if "scheduler" in chosen:
            chosen["scheduler_options"] = settled(self.scheduler, self.scheduler_options)
        if "augment" in chosen:
            chosen["augment"] = str(Augmentation.parse(self.augment))
        return chosen

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
        UsageError: A list is empty or names something twice, or no variant takes one of the model options.
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
        self._check_options()
        names = [run.name for run in self.runs()]
        if len(set(names)) < len(names):
            raise UsageError(f"learning rates that agree to six digits would share a run: {self.learning_rates}")

    def _check_options(self) -> None:
        taken = [models.family(variant).options for variant in self.variants]
        known = list(dict.fromkeys(option for options in taken for option in options))
        for option in self.shared.model_options:
            if all(taken) and option not in known:  # a network that names no options may take any
                raise UsageError(f"{', '.join(self.variants)}: {unknown('option', option, known)}")

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
