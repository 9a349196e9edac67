"""One training run: seeded, recorded at every step, continued at an epoch.

Batch order and dropout masks depend on seed and epoch alone, so a run that was stopped and continued equals one that
was not, and runs that differ in learning rate see the same batches. Images stay on the device as bytes, step losses
are collected there, and the host waits once per epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from landscape import devices, losses, models
from landscape.datasets import ArrayDataset, Augmentation, Augmented
from landscape.progress import Report, silent
from landscape.records import Measurement, Run
from landscape.storage import load_checkpoint, stored_record
from landscape.surface.session import correct
from landscape.training.clipping import clip_from
from landscape.training.config import TrainConfig
from landscape.training.data import TrainingData
from landscape.training.evaluate import evaluate
from landscape.training.fit import check_batch, check_fit
from landscape.training.history import History
from landscape.training.keeping import record_of, write_checkpoint, write_checkpoints, write_record
from landscape.training.lockstep import Step, Steps, lockstep
from landscape.training.observing import Moment, Observer, shown
from landscape.training.optimizers import build_optimizer
from landscape.training.recipe import network_options, recipe_of
from landscape.training.schedules import Scheduler
from landscape.training.seeding import key, permutation, seeded
from landscape.training.small_maps import dense_small_maps
from landscape.training.stopping import epochs_waited
from landscape.training.telling import step_teller
from landscape.training.tensorboard import Board, log_finished


def train(
    config: TrainConfig,
    *,
    progress: Report | None = None,
    data: TrainingData | None = None,
    observers: Sequence[Observer] = (),
) -> Run:
    """Train a network, or continue or return the run that ``config.out`` holds already.

    Args:
        config: All settings.
        progress: Called with a ``Progress`` at steps.
        data: The loaded images, where several runs share them.
        observers: Shown the steps that they want to see.

    Returns:
        The finished run. A run whose weights are no longer finite is ended early, flagged ``diverged``; one whose
        validation loss fell no more (``early_stop``) is finished too, which its provenance says.

    Raises:
        ResumeError: ``config.out`` holds this run with other settings.
    """
    data = data or TrainingData.of(config)
    trainer = Trainer(config, data, progress or silent, observers=observers)
    stored = trainer.stored()
    if stored is not None and trainer.is_finished(stored):
        trainer.begin(len(stored.step))
        log_finished(config, stored)
        return stored
    check_fit(trainer.model, data.train, trainer.per_example)
    check_batch(trainer.model, data.train, config.batch_size)
    trainer.resume()
    trainer.begin(len(trainer.history.loss))
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
        observers: Shown the steps that they want to see.
        updates: Optimiser updates made so far.
        method: How steps are made, as ``landscape.training.fused`` names it; a continued run keeps that too.
        company: Names of the runs that are trained together with it, its own among them.
    """

    config: TrainConfig
    data: TrainingData
    report: Report
    history: History = field(default_factory=History)
    threads: int = field(default_factory=torch.get_num_threads)
    observers: Sequence[Observer] = ()
    updates: int = 0
    method: str = "separate"
    company: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Build network and optimiser."""
        self.device = devices.resolve(self.config.device)
        with seeded(self.device, self.config.seed, "init", 0):
            model = models.build(self.config.model, **self.options)
        self.model = model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.steps_per_epoch = self.data.steps(self.config, self.model)
        self._loss_name, self.per_example = losses.resolve(self.config.loss)
        c, parameters = self.config, self.model.parameters()
        self.optimizer = build_optimizer(
            c.optimizer, parameters, learning_rate=c.learning_rate, weight_decay=c.weight_decay
        )
        schedule = (c.scheduler, c.scheduler_options, self.optimizer)
        self.scheduler = Scheduler(*schedule, steps=self.steps_per_epoch, epochs=c.epochs)
        self._clip = clip_from(c.grad_clip)
        self._augmentation = Augmentation.parse(c.augment)
        self.images = self._images(0)

    def _images(self, epoch: int) -> ArrayDataset | Augmented:
        """The training images as they are in an epoch."""
        if not self._augmentation:
            return self.data.train
        return Augmented(self.data.train, self._augmentation, key(self.config.seed, "augment", epoch))

    @property
    def options(self) -> dict[str, Any]:
        """Options of the network."""
        return network_options(self.config, self.data)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """What the values depend on."""
        return recipe_of(self.config, self.data, loss=self._loss_name, steps_per_epoch=self.steps_per_epoch)

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
        if "scheduler" in state:
            self.scheduler.load(state["scheduler"])
        self.history = History.of(state["history"])
        self.threads = int(state["threads"])
        self.method, self.company = state.get("method", self.method), tuple(state.get("company", ()))

    def begin(self, updates: int) -> None:
        """Tell the observers, and count the steps, from where the run stands."""
        self.updates = updates
        for observer in self.observers:
            observer.begin(self.recipe, updates)

    @property
    def stopped(self) -> bool:
        """Whether the validation loss has not fallen for as many epochs as early stopping waits."""
        patience = self.config.early_stop
        return patience is not None and epochs_waited(self.history.val_loss) >= patience

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train."""
        return self.history.ended or self.stopped or self.history.epochs >= self.config.epochs

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
        tell, board = self._teller(), self._board()
        while not self.finished:
            step_losses, accuracy = yield from self._epoch(self.history.epochs, tell)
            value = self._validated()
            best = value.accuracy > self.history.best_accuracy
            self._take_in(step_losses, accuracy, value)
            self.scheduler.epoch_done(value.loss)
            if board is not None:
                board.epoch_done()
            for observer in self.observers:
                observer.epoch_ended()
            write_checkpoints(self, best=best)
            write_record(self)
        if board is not None:
            board.close()
        write_record(self)  # a run killed between its last checkpoint and its record has nothing left to train
        return record_of(self)

    def seed_masks(self, epoch: int) -> None:
        """Seed torch's global generators, which dropout draws from, for an epoch; ``lockstep`` puts them back."""
        torch.manual_seed(key(self.config.seed, "dropout", epoch))

    def _take_in(self, step_losses: Tensor, accuracy: float, value: Measurement) -> None:
        train, h = self.data.train, self.history
        classes, examples = len(train.classes), len(train)
        h.add(step_losses, accuracy, value, classes=classes, examples=examples, learning_rates=self._rates)
        if self.config.val_every and len(h.loss) % self.config.val_every == 0:
            h.add_at_step(len(h.loss), value)
        h.ended = not all(bool(p.isfinite().all()) for p in self.model.parameters())

    def _validated(self) -> Measurement:
        return evaluate(self.model, self.data.validation, loss=self.config.loss, precision=self.config.precision)

    def _validate_at(self, step: int) -> None:
        """Validate within an epoch, and keep the network if it is the best so far."""
        value = self._validated()
        if value.accuracy > self.history.best_accuracy:
            write_checkpoint(self, "best", step, value)
        self.history.add_at_step(step, value)

    def _board(self) -> Board | None:
        folder = self.config.tensorboard
        return None if folder is None else Board(folder, self.config.name, self.recipe, self.history)

    def _teller(self) -> Callable[[int], None]:
        """Return what reports a step, given its number within the epoch."""
        c = self.config
        return step_teller(self.report, self.history, name=c.name, steps=self.steps_per_epoch, epochs=c.epochs)

    def _epoch(self, epoch: int, tell: Callable[[int], None]) -> Generator[Tensor, Step, tuple[Tensor, float]]:
        """Train an epoch; return its step losses, and its accuracy on the images as they were trained on."""
        step_losses = torch.empty(self.steps_per_epoch, device=self.device)
        hits = torch.zeros((), dtype=torch.int64, device=self.device)
        seen = 0
        order = permutation(len(self.data.train), self.config.seed, epoch).to(self.device)
        self.images, self._rates = self._images(epoch), []
        before, every = epoch * self.steps_per_epoch, self.config.val_every
        self.model.train()
        for step, rows in enumerate(torch.split(order, self.config.batch_size)[: self.steps_per_epoch]):
            self._rates.append(self.scheduler.rate)
            step_losses[step], right = yield rows
            self.scheduler.step_done()
            hits += right
            seen += len(rows)
            tell(step + 1)
            if every and (before + step + 1) % every == 0 and step + 1 < self.steps_per_epoch:
                self._validate_at(before + step + 1)  # the epoch's last step is validated after the epoch
        return step_losses, float(hits) / seen

    def step(self, rows: Tensor) -> Step:
        """Make one update.

        Args:
            rows: Positions of the mini-batch in the training part.

        Returns:
            Loss before the update and number of images classified right, both on the device.
        """
        inputs, targets = self.batch(rows)
        with shown(self.observers, Moment(self.updates, self.model, inputs, targets)):
            made = self.learn(inputs, targets)
        self.updates += 1
        return made

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

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Prepare a mini-batch as this epoch has it: inputs, channels last, and targets."""
        inputs, targets = self.images.batch(rows)
        return inputs.contiguous(memory_format=torch.channels_last), targets

    def update(self) -> None:
        """Move the parameters by their gradients, which are clipped first where that was asked for."""
        if self._clip is not None:
            self._clip(self.model.parameters())
        self.optimizer.step()
