"""Several runs of one network trained at once, in the way that is the quickest here.

``separate`` makes one step after the other as a run alone does. ``stacked`` makes the steps of all members in one pass
(``torch.func``). ``recorded`` replays each run's step as a CUDA graph. On a CUDA device the ways are timed for a few
steps and the quickest is taken; on a CPU stacking costs more than it saves. The choice is kept with the runs, so a
continued one gets the same bits. It is no part of their recipe: within rounding all ways agree.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from landscape.progress import Report, silent
from landscape.records import Run
from landscape.training.config import TrainConfig
from landscape.training.data import TrainingData
from landscape.training.lockstep import Step, lockstep
from landscape.training.recorded import RecordedStep
from landscape.training.stack import Stack
from landscape.training.tensorboard import log_finished
from landscape.training.trainer import Trainer

METHODS = ("separate", "stacked", "recorded")
_TIMED, _UNTIMED = 8, 5  # steps; a recording is made after the first few


def train_together(
    configs: Sequence[TrainConfig],
    *,
    data: TrainingData,
    fuse: str = "auto",
    reports: Sequence[Report] | None = None,
) -> list[Run]:
    """Train runs that differ in learning rate, and perhaps in seed, or continue or return what is stored of them.

    Args:
        configs: Runs of one network on the same images; see ``groups``.
        data: The loaded images.
        fuse: ``auto`` times the ways to make steps on a CUDA device, ``on`` stacks the runs, ``off`` trains one
            after the other.
        reports: Called with each run's progress.

    Returns:
        One record per run, in their order. One that diverges is ended early, and the others go on without it.

    Raises:
        ResumeError: A stored run was made with other settings.
    """
    trainers = [Trainer(c, data, r) for c, r in zip(configs, reports or [silent] * len(configs), strict=True)]
    found = {trainer.config.name: trainer.stored() for trainer in trainers}
    records = {t.config.name: r for t in trainers if (r := found[t.config.name]) is not None and t.is_finished(r)}
    for trainer in trainers:
        if trainer.config.name in records:
            log_finished(trainer.config, records[trainer.config.name])
        trainer.resume()
    left = [t for t in trainers if t.config.name not in records]
    while left:
        company = _company(trainers, left)
        runs = [t for t in company if t in left]
        method = runs[0].method if any(t.history.epochs for t in company) else choose(runs, data, fuse)
        for run in runs:
            run.method, run.company = method, tuple(t.config.name for t in company)
        with ExitStack() as ready:
            for trainer in company:
                ready.enter_context(trainer.prepared())
            made = _stacked(company, runs) if method == "stacked" else [_alone(run) for run in runs]
        records |= {run.config.name: record for run, record in zip(runs, made, strict=True)}
        left = [t for t in left if t not in runs]
    return [records[c.name] for c in configs]


def _company(trainers: Sequence[Trainer], left: Sequence[Trainer]) -> list[Trainer]:
    """Those that the next unfinished runs were begun with; else all that have not begun."""
    known = next((t.company for t in trainers if t.company and any(u.config.name in t.company for u in left)), None)
    if known is None:
        return list(left)
    company = [t for t in trainers if t.config.name in known]
    for trainer in company:
        trainer.method = next(t.method for t in company if t.company)
    return company


def _alone(run: Trainer) -> Run:
    step = RecordedStep(run) if run.method == "recorded" else run.step
    return lockstep([run], lambda asked: [step(rows) for rows in asked if rows is not None])[0]


def _stacked(company: Sequence[Trainer], runs: Sequence[Trainer]) -> list[Run]:
    """Train the unfinished runs of a company.

    A kill may leave checkpoints of two epochs behind. A run that is ahead, finished or not, rides along in the epoch
    that the others repeat: how many take part may show in the last bits.

    Args:
        company: All that were begun together.
        runs: Those of them that are not finished.

    Returns:
        Records of ``runs``.
    """
    stack: Stack | None = None

    def make(asked: Sequence[Tensor | None]) -> list[Step]:
        nonlocal stack
        rows = {run.config.name: own for run, own in zip(runs, asked, strict=True) if own is not None}
        epoch = min(run.history.epochs for run in runs if run.config.name in rows)
        live = [t for t in company if t.history.epochs > epoch or t.config.name in rows]
        if stack is None or stack.members != live:
            if stack is not None:
                stack.release()
            stack = Stack(live)
        for member in live:
            member.model.train()
        return stack.step([rows.get(member.config.name) for member in live])

    try:
        return lockstep(runs, make)
    finally:
        if stack is not None:
            stack.release()


def choose(runs: Sequence[Trainer], data: TrainingData, fuse: str) -> str:
    """Choose how steps are made.

    Args:
        runs: Those that are to be trained.
        data: The loaded images.
        fuse: ``auto``, ``on`` or ``off``.

    Returns:
        One of ``METHODS``.
    """
    if fuse == "off" or (fuse == "auto" and runs[0].device.type != "cuda"):
        return "separate"
    if fuse == "on":
        return "stacked"
    moving = any(run.config.scheduler == "onecycle" for run in runs)  # a recording holds one learning rate
    methods = [method for method in METHODS if method != "recorded" or not moving]
    times = {method: seconds(method, [run.config for run in runs], data) for method in methods}
    return min(times, key=lambda method: times[method])


def seconds(method: str, configs: Sequence[TrainConfig], data: TrainingData, *, steps: int = _TIMED) -> float:
    """Time a step of every run, on throw-away networks.

    Args:
        method: One of ``METHODS``.
        configs: The runs.
        data: The loaded images.
        steps: How many steps are timed.

    Returns:
        Seconds; infinite where this network or device cannot be trained so.
    """
    trainers = [Trainer(replace(c, out=None), data, silent) for c in configs]
    device = trainers[0].device
    rows = torch.arange(min(configs[0].batch_size, len(data.train)), device=device)
    for trainer in trainers:
        trainer.model.train()
    with _forked(device):
        try:
            if method == "stacked":
                make = functools.partial(Stack(trainers).step, [rows] * len(trainers))
            else:
                each = [RecordedStep(t) if method == "recorded" else t.step for t in trainers]
                make = functools.partial(lambda: [step(rows) for step in each])
            return _timed(make, device, steps)
        except (RuntimeError, NotImplementedError):  # an operation that cannot be batched or recorded
            return float("inf")


def _timed(make: functools.partial[list[Step]], device: torch.device, steps: int) -> float:
    started = 0.0
    for number in range(_UNTIMED + steps):
        if number == _UNTIMED:
            _wait(device)
            started = time.perf_counter()
        make()
    _wait(device)
    return (time.perf_counter() - started) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _forked(device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def groups(configs: Sequence[TrainConfig], data: TrainingData) -> list[list[int]]:
    """Find the runs that can be trained together: one network, and one seed where it draws random numbers.

    Args:
        configs: Runs.
        data: The loaded images.

    Returns:
        Positions in ``configs``, group by group.
    """
    draws = {c.model: _draws(c, data) for c in configs}
    found: dict[tuple[str, int | None], list[int]] = {}
    for n, c in enumerate(configs):
        found.setdefault((c.model, c.seed if draws[c.model] else None), []).append(n)
    return list(found.values())


def _draws(config: TrainConfig, data: TrainingData) -> bool:
    """Whether a forward pass in training mode draws from the generator of the CPU or of the device."""
    trainer = Trainer(replace(config, out=None), data, silent)
    trainer.model.train()
    with _forked(trainer.device), torch.no_grad():
        before = _states(trainer.device)
        trainer.judge(trainer.model, *trainer.batch(torch.arange(2, device=trainer.device)))
        return any(not torch.equal(a, b) for a, b in zip(before, _states(trainer.device), strict=True))


def _states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states
