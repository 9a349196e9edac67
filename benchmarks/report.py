"""What rounds say: medians, ratios within rounds, fractions of the floor, targets, the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import common
from common import Target, number
from contenders import Ours, agreement
from peers import PEERS
from rounds import OURS, PRECISIONS, UNDISTURBED, Campaign, Entry, ratios

AGAINST_PEER = {"W1": {"fp32": 1.3, "bf16": 2.2}, "W2": {"fp32": 1.5, "bf16": 2.7}}
OF_FLOOR = {"fp32": 0.85, "bf16": 0.70}
ADAPTIVE = {"fp32": 10.0, "bf16": 18.0}
COLUMNS = ("s/cell", "min", "max", "over fp32", "over bf16", "of floor", "of layer floor", "start-up s", "MiB")
FLOORS = {"seconds": "floor", "layer_seconds": "layer floor"}


@dataclass(eq=False)
class Outcome:
    """What was found on one workload.

    Args:
        campaign: The finished rounds.
        agreement: Largest relative difference from the naive loop, by contender.
        peaks: Peak memory by contender, above that of a process that holds network and images [MiB].
    """

    campaign: Campaign
    agreement: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, float | None] = field(default_factory=dict)

    def compare(self, name: str, ours: Ours) -> None:
        """Compare this package with the naive loop."""
        self.agreement[name] = agreement(self.campaign.problem, ours)

    @property
    def fastest(self) -> Entry | None:
        """The peer to be compared with, by the first of this package's precisions that was timed."""
        return next((peer for peer in map(self.nearest, PRECISIONS) if peer), None)

    def nearest(self, precision: str) -> Entry | None:
        """The peer that comes nearest to this package, by the median of ratios within rounds; the naive loop is none.

        Medians over rounds would compare one peer's good rounds with another's bad ones.
        """
        ours = self.campaign.entries.get(f"landscape {precision}")
        if ours is None or not ours.turns:
            return None
        timed = [e for e in self.campaign.entries.values() if e.name in PEERS and e.turns and not e.reason]
        return min(timed, key=lambda entry: self.over(entry.name, precision)["median"], default=None)

    @property
    def busy(self) -> float | None:
        """The share of its threads' processor time that a turn got in the middle, where it is far from all."""
        shares = [turn.processor for entry in self.campaign.entries.values() for turn in entry.turns.values()]
        middle = common.spread(shares)["median"] / self.campaign.threads
        return middle if middle < UNDISTURBED else None

    def seconds(self, name: str) -> dict[int, float]:
        """Of a cell, by round."""
        entry = self.campaign.entries.get(name)
        return {n: turn.seconds for n, turn in entry.turns.items()} if entry else {}

    def over(self, name: str, precision: str) -> dict[str, float]:
        """How many times as long as this package a contender takes."""
        return ratios(self.seconds(name), self.seconds(f"landscape {precision}"))

    def of_floor(self, name: str, *, layers: bool = False) -> dict[str, float]:
        """The floor of its own precision, divided by what a contender takes."""
        floors = self.campaign.floors.get(name.split()[1] if name in OURS else "fp32", {})
        seconds = {n: floor.layer_seconds if layers else floor.seconds for n, floor in floors.items()}
        return ratios(seconds, self.seconds(name))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        fastest = self.fastest
        return {
            **self.campaign.problem.describe(),
            "fastest_peer": fastest.name if fastest else None,
            "nearest_peers": {p: peer.name for p in PRECISIONS if (peer := self.nearest(p))},
            "largest_relative_difference_from_naive": self.agreement,
            "contenders": {name: self._entry(entry) for name, entry in self.campaign.entries.items()},
            "load_average": self.campaign.loads,
            "repeated_turns_of_the_limit": self.campaign.limit_repeats,
            "floors": {
                precision: {
                    "rounds": {n: asdict(floor) for n, floor in floors.items()},
                    **{k: common.spread(getattr(floor, k) for floor in floors.values()) for k in ("rate", *FLOORS)},
                    "quickest_call": max((floor.quickest for floor in floors.values()), default=None),
                }
                for precision, floors in self.campaign.floors.items()
            },
        }

    def _entry(self, entry: Entry) -> dict[str, Any]:
        found: dict[str, Any] = {"status": entry.reason or "measured", "rounds": entry.turns_as_json()}
        if not entry.turns:
            return found
        found |= {
            "seconds_per_cell": common.spread(turn.seconds for turn in entry.turns.values()),
            "over_landscape": {p: self.over(entry.name, p) for p in PRECISIONS},
            "of_floor": self.of_floor(entry.name),
            "of_layer_floor": self.of_floor(entry.name, layers=True),
            "startup_seconds": common.spread(turn.setup for turn in entry.turns.values()),
            "finite_losses": common.spread(turn.finite for turn in entry.turns.values()),
            "repeated_turns": entry.repeats,
            "batch": entry.batch,
            "untimed_seconds_per_cell_by_batch": entry.trials,
            "memory_above_baseline_mib": self.peaks.get(entry.name),
        }
        if isinstance(entry.runner, Ours):
            found |= {"execution": entry.runner.execution, "first_startup_seconds": entry.runner.cold}
        return found


def shown(outcome: Outcome) -> None:
    """Print the table of a workload, and what does not fit into it."""
    entries = outcome.campaign.entries
    rows = [(name, *_cells(outcome, entry)) for name, entry in entries.items()]
    for precision, floors in outcome.campaign.floors.items():
        for key, label in FLOORS.items():
            found = common.spread(getattr(floor, key) for floor in floors.values())
            numbers = [number(found[k]) for k in ("median", "min", "max")]
            rows.append((f"{label} {precision}", *numbers, *[""] * (len(COLUMNS) - 3)))
    work, fastest = outcome.campaign.problem, outcome.fastest
    common.show(f"{work.name}: {work.source}", ("contender", *COLUMNS), rows)
    for name, entry in entries.items():
        if entry.reason:
            print(f"{name}: {entry.reason}")
    for name, difference in outcome.agreement.items():
        runner = entries[name].runner
        chosen = runner.execution.items() if isinstance(runner, Ours) else ()
        ran = ", ".join(f"{k} {v}" for k, v in chosen if not isinstance(v, dict))
        print(f"{name}: {ran}; largest relative difference from the naive loop {difference:.2g}")
    for precision, floors in outcome.campaign.floors.items():
        if floors:
            quickest = max(floor.quickest for floor in floors.values())
            least = work.convolution_flops / quickest
            print(f"quickest call of a convolution, {precision}: {quickest / 1e9:.4g} GFLOP/s, {least:.4g} s a cell")
    repeats = {n: e.repeats for n, e in entries.items() if e.repeats}
    repeats |= {"limit": outcome.campaign.limit_repeats} if outcome.campaign.limit_repeats else {}
    if repeats:
        told = ", ".join(f"{name} {count}" for name, count in repeats.items())
        print(f"turns taken again because others had the processor: {told}")
    if outcome.busy is not None:
        print(f"The machine was busy: turns got {outcome.busy:.0%} of the processor time that they asked for.")
    print(f"fastest peer: {fastest.name if fastest else 'none was measured'}\n")


def _cells(outcome: Outcome, entry: Entry) -> list[str]:
    """The columns of a contender; its start-up is that of the first call for this package, else the median."""
    if not entry.turns:
        return ["-"] * len(COLUMNS)
    seconds = common.spread(turn.seconds for turn in entry.turns.values())
    startup = common.spread(turn.setup for turn in entry.turns.values())["median"]
    if isinstance(entry.runner, Ours) and entry.runner.cold is not None:
        startup = entry.runner.cold
    return [
        *(number(seconds[k]) for k in ("median", "min", "max")),
        *(number(outcome.over(entry.name, p)["median"], ".2f") for p in PRECISIONS),
        number(outcome.of_floor(entry.name)["median"], ".2f"),
        number(outcome.of_floor(entry.name, layers=True)["median"], ".2f"),
        number(startup, ".2f"),
        number(outcome.peaks.get(entry.name), ".0f"),
    ]


def shown_surfaces(surfaces: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what was found of four whole surfaces."""
    columns = ("four surfaces", "seconds", "cells", "stated p95 %", "peer's dense s", "ratio")
    rows = []
    for precision, r in surfaces.items():
        error = 100 * r["stated_error_p95"] if "stated_error_p95" in r else None
        numbers = (number(r.get("peer_dense_seconds"), ".0f"), number(r.get("ratio"), ".1f"))
        ours = (number(r.get("seconds"), ".0f"), str(r.get("cells_measured", "-")), number(error, ".2f"))
        rows.append((f"{precision}: {r['status']}", *ours, *numbers))
    if rows:
        common.show("Four surfaces of 41 x 41, adaptive", columns, rows)


def workload_targets(outcome: Outcome) -> list[Target]:
    """Speed against the fastest peer and the floor."""
    name = outcome.campaign.problem.name
    found = []
    for precision, wanted in AGAINST_PEER.get(name, {}).items():
        peer = outcome.nearest(precision)
        ratio = outcome.over(peer.name, precision)["median"] if peer else None
        found.append(Target(f"{name} {precision}: speed against the fastest peer", wanted, ratio))
    if name == "W1":
        for precision, wanted in OF_FLOOR.items():
            fraction = outcome.of_floor(f"landscape {precision}")["median"]
            found.append(Target(f"{name} {precision}: fraction of the direct-convolution floor", wanted, fraction))
    return found


def memory_target(outcome: Outcome) -> list[Target]:
    """Peak memory against that of the naive loop."""
    naive, name = outcome.peaks.get("naive"), outcome.campaign.problem.name
    if naive is None:
        return []
    found = []
    for precision in PRECISIONS:
        label = f"{name} {precision}: peak memory, MiB above the baseline; the naive loop's is the bound"
        found.append(Target(label, round(naive, 1), outcome.peaks.get(f"landscape {precision}"), at_least=False))
    return found


def surface_targets(surfaces: Mapping[str, Mapping[str, Any]]) -> list[Target]:
    """Four adaptive surfaces against the fastest peer's dense time: its seconds of a cell times 6,724."""
    found = []
    for precision, wanted in ADAPTIVE.items():
        result = surfaces.get(precision, {})
        status = str(result.get("status", "not measured")).split(":")[0]
        label = f"four 41 x 41 surfaces {precision}: adaptive against the fastest peer's dense time ({status})"
        found.append(Target(label, wanted, result.get("ratio")))
    return found
