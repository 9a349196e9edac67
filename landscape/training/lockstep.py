"""Several runs that advance together, one step of each at a time.

A run asks for a step by yielding the positions of its mini-batch, and is sent what the step gave. So all that belongs
to a run alone (batch order, validation, checkpoints, progress) is written once, whoever makes the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from typing import Protocol

import torch
from torch import Tensor

from landscape.records import Run
from landscape.training.history import History

Step = tuple[Tensor, Tensor]
"""What a step gives: the loss before the update and the number of images classified right, both on the device."""

Steps = Generator[Tensor, Step, Run]
"""Yields positions of a mini-batch, is sent what the step on it gave, and returns the record."""

Maker = Callable[[Sequence[Tensor | None]], Sequence[Step]]
"""Makes a step of every run that asks for one; returns what those that asked are sent, in their order."""


class Stepping(Protocol):
    """A run that can be driven."""

    history: History
    device: torch.device

    def stepping(self) -> Steps:
        """Ask for steps until the run is finished."""
        ...

    def seed_masks(self, epoch: int) -> None:
        """Seed torch's global generators with what the masks of an epoch are drawn from."""
        ...


def lockstep(runs: Sequence[Stepping], make: Maker) -> list[Run]:
    """Drive runs to their ends.

    Runs advance epoch by epoch. One that is an epoch ahead, because the process was killed while checkpoints were
    written, waits for the others; one that is finished asks no more. Nobody but this function seeds the global
    generators while runs advance, once an epoch: what one run put back at its end would be drawn from by the others.

    Args:
        runs: The runs.
        make: Makes the steps. It is handed one entry per run, None for those that wait or are finished.

    Returns:
        Their records, in their order.
    """
    steps = [run.stepping() for run in runs]
    asked: list[Tensor | None] = [None] * len(runs)
    records: dict[int, Run] = {}
    seeded = -1  # the epoch whose masks are drawn
    cuda = {run.device for run in runs if run.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(cuda)), ExitStack() as open_runs:
        for each in steps:
            open_runs.enter_context(closing(each))

        def advance(number: int, answer: Step | None) -> None:
            try:
                asked[number] = next(steps[number]) if answer is None else steps[number].send(answer)
            except StopIteration as end:
                asked[number], records[number] = None, end.value

        while len(records) < len(runs):
            first = min(run.history.epochs for n, run in enumerate(runs) if n not in records)
            for n, run in enumerate(runs):
                if n not in records and asked[n] is None and run.history.epochs == first:
                    advance(n, None)
            current = [
                rows if n not in records and runs[n].history.epochs == first else None for n, rows in enumerate(asked)
            ]
            active = [n for n, rows in enumerate(current) if rows is not None]
            if active:
                if seeded != first:
                    runs[active[0]].seed_masks(first)
                    seeded = first
                for n, answer in zip(active, make(current), strict=True):
                    advance(n, answer)
    return [records[n] for n in range(len(runs))]
