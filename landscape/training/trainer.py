"""One training run: seeded, recorded at every step, continued at an epoch.

Batch order and dropout masks depend on seed and epoch alone, so a run that was stopped and continued equals one that
was not, and runs that differ in learning rate see the same batches. Images stay on the device as bytes, step losses
are collected there, and the host waits once per epoch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landscape import devices, losses, models
from landscape.environment import environment
from landscape.progress import Progress, Report, silent
from landscape.records import Run
from landscape.storage import load_checkpoint, save, save_checkpoint, stored_record
from landscape.surface.session import correct
from landscape.training.config import TrainConfig
from landscape.training.data import TrainingData
from landscape.training.evaluate import evaluate
from landscape.training.history import History
from landscape.training.lockstep import Step, Steps, lockstep
from landscape.training.small_maps import dense_small_maps

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "momentum": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, **options),
}


def train(config: TrainConfig, *, progress: Report | None = None, data: TrainingData | None = None) -> Run:
    """Train a network, or continue or return the run that ``config.out`` holds already.

    Args:
        config: All settings.
        progress: Called with a ``Progress`` at steps.
        data: The loaded images, where several runs share them.

    Returns:
        The finished run. A run whose weights are no longer finite is ended early, flagged ``diverged``.

    Raises:
        ResumeError: ``config.out`` holds this run with other settings.
    """
    data = data or TrainingData.of(config)
    trainer = Trainer(config, data, progress or silent)
    stored = trainer.stored()
    if stored is not None and trainer.is_finished(stored):
        return stored
    trainer.resume()
    with trainer.prepared():
        return trainer.run()


@dataclass
class Trainer:
    """The state of a run.

    Args:
        config: All settings.
        data: The images.
        report: Called with progress.
        history: Values of the finished epochs.
        threads: CPU threads; a continued run keeps those that it was begun with.
        method: How steps are made, as ``landscape.training.fused`` names it; a continued run keeps that too.
        company: Names of the runs that are trained together with it, its own among them.
    """

    config: TrainConfig
    data: TrainingData
    report: Report
    history: History = field(default_factory=History)
    threads: int = field(default_factory=torch.get_num_threads)
    method: str = "separate"
    company: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Build network and optimiser."""
        self.device = devices.resolve(self.config.device)
        with self._seeded("init", 0):
            model = models.build(self.config.model, **self._options())
        self.model = model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.steps_per_epoch = self.data.steps(self.config, self.model)
        self._loss_name, self.per_example = losses.resolve(self.config.loss)
        build, c = _OPTIMIZERS[self.config.optimizer], self.config
        fused = {"fused": True} if self.device.type == "cuda" else {}  # on a CPU torch's default is as quick
        self.optimizer = build(self.model.parameters(), lr=c.learning_rate, weight_decay=c.weight_decay, **fused)

    def _options(self) -> dict[str, Any]:
        """Options of the network: those asked for, and what the data and the seed say."""
        data = self.data.train
        known = {"num_classes": len(data.classes), "in_channels": data.shape[0], "seed": self.config.seed}
        family = models.family(self.config.model)
        known = {k: v for k, v in known.items() if k in family.options}
        return dict(family.defaults) | known | dict(self.config.model_options)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """What the values depend on."""
        c = self.config
        train, validation = self.data.train.describe(), self.data.validation.describe()
        return {
            "model": c.model,
            "model_options": {k: v for k, v in self._options().items() if k != "seed"},
            "learning_rate": c.learning_rate,
            "seed": c.seed,
            "epochs": c.epochs,
            "batch_size": c.batch_size,
            "optimizer": c.optimizer,
            "weight_decay": c.weight_decay,
            "loss": self._loss_name,
            "precision": c.precision,
            "validation": c.validation,
            "validation_examples": validation["examples"],
            "steps_per_epoch": self.steps_per_epoch,
            "classes": len(self.data.train.classes),
            "data": train,
        }

    def stored(self) -> Run | None:
        """Return the run's record on disk, if it was made with these settings; None where there is none."""
        return stored_record(self.config.run_path, Run, self.recipe)

    def is_finished(self, run: Run) -> bool:
        """Say whether a stored run needs no more epochs."""
        return len(run.epoch) >= self.config.epochs or bool(run.provenance.get("ended_early"))

    def resume(self) -> None:
        """Take up the last checkpoint, if it is of this run."""
        path = self.config.checkpoint_path("last")
        if path is None or not path.exists():
            return
        checkpoint = load_checkpoint(path, self.config.model)
        state = checkpoint.training
        if not state or checkpoint.meta.get("recipe") != self.recipe:
            return
        self.model.load_state_dict(dict(checkpoint.state_dict))
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
        self.history = History.of(state["history"])
        self.threads = int(state["threads"])
        self.method, self.company = state.get("method", self.method), tuple(state.get("company", ()))

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train."""
        return self.history.ended or self.history.epochs >= self.config.epochs

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Make the process and the network ready for quick steps; all is put back."""
        quick = devices.kept_memory(self.device), dense_small_maps(self.model)
        with devices.threads(self.threads), quick[0], quick[1]:
            yield

    def run(self) -> Run:
        """Train the epochs that are left.

        Returns:
            The record.
        """
        return lockstep([self], lambda asked: [self.step(rows) for rows in asked if rows is not None])[0]

    def stepping(self) -> Steps:
        """Train the epochs that are left; the caller makes the steps, see ``landscape.training.lockstep``."""
        tell = self._teller()
        while not self.finished:
            step_losses, accuracy = yield from self._epoch(self.history.epochs, tell)
            value = evaluate(self.model, self.data.validation, loss=self.config.loss, precision=self.config.precision)
            train = self.data.train
            self.history.add(step_losses, accuracy, value, classes=len(train.classes), examples=len(train))
            self.history.ended = not all(bool(p.isfinite().all()) for p in self.model.parameters())
            self._write_checkpoints()
            self._write_record()
        self._write_record()  # a run killed between its last checkpoint and its record has nothing left to train
        return self._record()

    def _teller(self) -> Callable[[int], None]:
        """Return what reports a step, given its number within the epoch."""
        started, first = time.perf_counter(), self.history.epochs * self.steps_per_epoch
        total = self.config.epochs * self.steps_per_epoch

        def tell(step: int) -> None:
            done = self.history.epochs * self.steps_per_epoch + step
            rate = (time.perf_counter() - started) / (done - first)
            detail = self.config.name + (f", loss {self.history.loss[-1]:.3f}" if self.history.loss else "")
            self.report(Progress(done, total, "step", (total - done) * rate, detail))

        return tell

    def _epoch(self, epoch: int, tell: Callable[[int], None]) -> Generator[Tensor, Step, tuple[Tensor, float]]:
        """Train an epoch; return its step losses, and its accuracy on the images as they were trained on."""
        step_losses = torch.empty(self.steps_per_epoch, device=self.device)
        hits = torch.zeros((), dtype=torch.int64, device=self.device)
        seen = 0
        order = _permutation(len(self.data.train), self.config.seed, epoch).to(self.device)
        self.model.train()
        with self._seeded("dropout", epoch):
            for step, rows in enumerate(torch.split(order, self.config.batch_size)[: self.steps_per_epoch]):
                step_losses[step], right = yield rows
                hits += right
                seen += len(rows)
                tell(step + 1)
        return step_losses, float(hits) / seen

    def step(self, rows: Tensor) -> Step:
        """Make one update.

        Args:
            rows: Positions of the mini-batch in the training part.

        Returns:
            Loss before the update and number of images classified right, both on the device.
        """
        return self.learn(*self.batch(rows))

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Prepare a mini-batch: inputs, channels last, and targets."""
        inputs, targets = self.data.train.batch(rows)
        return inputs.contiguous(memory_format=torch.channels_last), targets

    def learn(self, inputs: Tensor, targets: Tensor) -> Step:
        """Make one update on a mini-batch that ``batch`` prepared."""
        self.optimizer.zero_grad(set_to_none=True)
        with devices.exact_products(self.config.precision):
            loss, right = self.judge(self.model, inputs, targets)
            loss.backward()  # type: ignore[no-untyped-call]
        self.update()
        return loss.detach(), right

    def judge(self, model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Step:
        """Run a network, or what stands for it, in this run's precision; the loss is differentiable."""
        with devices.autocast(self.device, self.config.precision):
            outputs = model(inputs)
        outputs = outputs if outputs.dtype == torch.float64 else outputs.float()
        right = correct(outputs.detach(), targets)
        loss = self.per_example(outputs, targets).mean()
        return loss, right.sum() if right is not None else torch.zeros((), dtype=torch.int64, device=self.device)

    def update(self) -> None:
        """Move the parameters by their gradients."""
        self.optimizer.step()

    @contextmanager
    def _seeded(self, what: str, epoch: int) -> Iterator[None]:
        """Seed torch's global generator by the run's seed and the epoch; put it back afterwards."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(_key(self.config.seed, what, epoch))
            yield

    def _record(self) -> Run:
        h = self.history
        provenance = {"name": self.config.name, "ended_early": h.ended, "best_epoch": h.best_epoch}
        provenance |= {"method": self.method, "together": list(self.company)}
        made = environment(devices.describe(self.device))
        return h.run(recipe=self.recipe, environment=made, provenance=provenance)

    def _write_record(self) -> None:
        if self.config.run_path is not None:
            save(self._record(), self.config.run_path)

    def _write_checkpoints(self) -> None:
        """The best first, then the last, which a run is continued from: an epoch counts once that is on disk."""
        best, last = (self.config.checkpoint_path(which) for which in ("best", "last"))
        if best is None or last is None:
            return
        if self.history.best_epoch == self.history.epochs:
            self._save(best)
        state: dict[str, Any] = {"history": self.history.state(), "threads": self.threads}
        state |= {"method": self.method, "company": list(self.company)}
        if not self.finished:
            state["optimizer"] = self.optimizer.state_dict()
        self._save(last, state)

    def _save(self, path: Path, training: dict[str, Any] | None = None) -> None:
        h, c = self.history, self.config
        meta = {
            "data": self.data.train.describe(),
            "epoch": h.epochs,
            "val_loss": h.val_loss[-1],
            "val_accuracy": h.val_accuracy[-1],
            "run": c.name,
            "recipe": self.recipe,
        }
        options = {k: v for k, v in self._options().items() if k not in {"init", "seed"}}  # weights replace them
        save_checkpoint(path, self.model, model_name=c.model, model_options=options, meta=meta, training=training)


def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator("cpu").manual_seed(_key(seed, "order", epoch)))


def _key(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1
