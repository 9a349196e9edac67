"""Rounds of short turns in one process, so that a machine that slows down slows all contenders down alike."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import common
import numpy as np
import torch
from contenders import Instant, Ours, Turn, Walker, naive
from limit import Floor, Limit
from peers import PEERS
from workloads import Problem

PRECISIONS = ("fp32", "bf16")
OURS = tuple(f"landscape {precision}" for precision in PRECISIONS)
CONTENDERS = (*OURS, "naive", *PEERS)
UNDISTURBED = 0.9  # of the processor time that a turn's threads could have had
_TRIES = 4  # at a turn, for as long as it is disturbed
_TRIAL = 4  # cells of the untimed turn that comes first
T = TypeVar("T")


@dataclass(eq=False)
class Entry:
    """A contender in a campaign.

    Args:
        name: Its name.
        runner: What is timed; None where it cannot be.
        reason: Why it cannot be.
        batch: Images of one forward pass; for this package, the most that it may take.
        turns: What was measured, by round.
        trials: Seconds of a cell by batch, from the untimed turns.
        repeats: Turns that were dropped because others had the processor meanwhile.
    """

    name: str
    runner: Ours | Walker | None
    reason: str = ""
    batch: int = 0
    turns: dict[int, Turn] = field(default_factory=dict)
    trials: dict[int, float] = field(default_factory=dict)
    repeats: int = 0

    @property
    def median(self) -> float:
        """Seconds of a cell."""
        return common.spread(turn.seconds for turn in self.turns.values())["median"]

    def turns_as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {str(number): turn.as_json() for number, turn in self.turns.items()}


@dataclass(eq=False)
class Campaign:
    """All contenders on one workload.

    Args:
        problem: The workload.
        names: Contenders.
        threads: CPU threads, the same for all.
        seed: Of the order of turns and of the peers' directions.
        turn: Wanted seconds of a turn.
        points: Points on an axis of this package's surface.
        batch: Images of one forward pass of a loop; None tries 128 and all of them.
    """

    problem: Problem
    names: Sequence[str]
    threads: int
    seed: int = 0
    turn: float = 2.0
    points: int = 41
    batch: int | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    limits: dict[str, Limit] = field(default_factory=dict)
    floors: dict[str, dict[int, Floor]] = field(default_factory=dict)
    loads: list[float] = field(default_factory=list)  # of the machine, after every round
    limit_repeats: int = 0

    def prepare(self) -> None:
        """Make contenders and limits."""
        self.prepare_contenders()
        for precision in PRECISIONS:
            limit, self.floors[precision] = Limit(self.problem, precision), {}
            if not self.guarded(limit.prepare):
                self.limits[precision] = limit

    def prepare_contenders(self) -> None:
        """Make every contender, and run it once untimed; of several batches the quickest is kept."""
        for name in self.names:
            entry = self.entries[name] = Entry(name, None)
            missing = name in PEERS and not PEERS[name].available
            entry.reason = "not installed" if missing else self.guarded(partial(self._make, entry))
            common.say(f"  {name}: {entry.reason or f'{min(entry.trials.values()):.3g} s a cell in an untimed turn'}")

    def _make(self, entry: Entry) -> None:
        if entry.name in OURS:
            runner = Ours(self.problem, entry.name.split()[1], points=self.points)
            entry.runner, entry.batch = runner, runner.objective.batch_size
            entry.trials = {entry.batch: runner.turn(1).seconds}
            return
        peer, images = PEERS.get(entry.name), len(self.problem.inputs)
        sizes = [self.batch] if self.batch else [min(128, images), images]
        walkers = {}
        for batch in sorted({*sizes} if peer is None or peer.batched else {images}):
            walkers[batch] = Walker(self.problem, naive if peer is None else peer.loop, batch)
            entry.trials[batch] = walkers[batch].turn(_TRIAL).seconds
        entry.batch = min(entry.trials, key=lambda b: entry.trials[b])
        entry.runner = walkers[entry.batch]

    def play(self, rounds: int) -> None:
        """Time all contenders and the machine's limit, in an order drawn anew for every round."""
        order = random.Random(self.seed)
        for number in range(rounds):
            begun = time.perf_counter()
            turns = {name: partial(self._time, e, number) for name, e in self.entries.items() if not e.reason}
            turns |= {f"limit {p}": partial(self._limit, p, number) for p in self.limits}
            for name in order.sample(sorted(turns), len(turns)):
                reason = self.guarded(turns[name])
                if reason and name in self.entries:
                    self.entries[name].reason = f"{reason} (in round {number + 1})"
            self.loads.append(os.getloadavg()[0])
            common.say(f"  round {number + 1} of {rounds}: {time.perf_counter() - begun:.0f} s")

    def _time(self, entry: Entry, number: int) -> None:
        assert entry.runner is not None
        before = entry.trials.values() if not entry.turns else [entry.turns[max(entry.turns)].seconds]
        cells = max(2, round(self.turn / max(min(before), 1e-6)))
        turn = partial(entry.runner.turn, cells)
        entry.turns[number], repeats = self.undisturbed(turn, lambda turn: turn.processor)
        entry.repeats += repeats

    def _limit(self, precision: str, number: int) -> None:
        def turn() -> tuple[Floor, float]:
            begun = Instant.now()
            return self.limits[precision].turn(), begun.share_until(Instant.now())

        (self.floors[precision][number], _), repeats = self.undisturbed(turn, lambda found: found[1])
        self.limit_repeats += repeats

    def undisturbed(self, turn: Callable[[], T], processor: Callable[[T], float]) -> tuple[T, int]:
        """Take a turn again where others had the processor: a starved one says nothing about its contender.

        A contender that leaves threads idle by itself looks the same; it gets all tries, and the best is kept.

        Args:
            turn: Takes one.
            processor: Its processor seconds for a second of the wall's clock.

        Returns:
            The turn that had most of the processor, and how many were dropped.
        """
        tried: list[T] = []
        while len(tried) < _TRIES and (not tried or processor(tried[-1]) < UNDISTURBED * self.threads):
            tried.append(turn())
        return max(tried, key=processor), len(tried) - 1

    def guarded(self, turn: Callable[[], None]) -> str:
        """Run a turn in the common state of the process; what a contender raises becomes the reason it is left out."""
        torch.set_num_threads(self.threads)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        torch.manual_seed(self.seed)
        np.random.seed(self.seed)  # noqa: NPY002 - a peer draws from it
        try:
            turn()
        except Exception as error:  # a peer may fail in any way, and must not end the others' run
            return f"failed: {type(error).__name__}: {str(error).strip() or 'no message'}"[:400]
        return ""


def ratios(above: Mapping[int, float], below: Mapping[int, float]) -> dict[str, float]:
    """Spread of ``above / below`` over the rounds that have both: what the machine did in a round cancels."""
    return common.spread(above[n] / below[n] for n in above if n in below)
