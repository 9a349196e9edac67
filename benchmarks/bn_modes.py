"""Seconds of a cell by BN mode: what recalibrated statistics cost beside frozen ones.

The calibration set is as large as the evaluation's and another one, so it cannot be shared; it goes in one batch. All
modes are timed in one process, in turns, with the evaluator that each would be given, and ratios are taken within a
round.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import torch
from common import Clock, Target
from workloads import IMAGES, Problem, problem

import landscape as ls
from landscape import devices
from landscape.surface import evaluators
from landscape.surface.evaluators import Block, Planes

MODES = ("frozen", "batch", "recalibrated")
LIMIT = 2.2  # of a recalibrated cell over a frozen one
_CELLS: Block = ((0, 0, 0), (0, 2, 1), (0, 4, 3))


def objective_of(work: Problem, mode: str) -> ls.Objective:
    """The workload in a mode; half of its images are evaluated, the other half calibrate."""
    half = len(work.inputs) // 2
    calibration = work.inputs[half:] if mode == "recalibrated" else None
    inputs, targets = work.inputs[:half], work.targets[:half]
    return ls.Objective(work.fresh(), inputs, targets, bn=mode, batch_size=half, calibration=calibration)


def turn(work: Problem, mode: str) -> tuple[str, float]:
    """Open the evaluator that a mode is given, and time a cell of a few; return its name and the seconds."""
    objective = objective_of(work, mode)
    planes = Planes(ls.random_pairs(objective.model, 1), ls.Grid.square(0.5, 5))
    name = next(n for n in ("folded", "sequential") if not evaluators.get(n).refusal(objective, planes))
    with evaluators.get(name).open(objective, planes) as measure:
        measure(_CELLS)
        start = Clock.now()
        measure(_CELLS).cpu()
        return name, (Clock.now() - start) / len(_CELLS)


def compare(work: Problem, rounds: int) -> dict[str, Any]:
    """Time the modes of a workload in turns."""
    times: dict[str, list[float]] = {mode: [] for mode in MODES}
    chosen: dict[str, str] = {}
    for _ in range(rounds):
        for mode in MODES:
            chosen[mode], seconds = turn(work, mode)
            times[mode].append(seconds)
    ratios = {mode: common.spread(a / b for a, b in zip(times[mode], times["frozen"], strict=True)) for mode in MODES}
    spreads = {mode: common.spread(values) for mode, values in times.items()}
    return {**work.describe(), "evaluator": chosen, "seconds_per_cell": spreads, "over_frozen": ratios}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", default="vgg_bn,vgg_light_bn", help="registered names, seeded weights")
    parser.add_argument("--images", type=int, default=IMAGES["W1"], help="evaluated, and as many that calibrate")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each mode")
    parser.add_argument("--threads", type=int, help="CPU threads; by default torch's own number")
    Clock.option(parser)
    parser.add_argument("--quick", action="store_true", help="a smoke run: two rounds, few images")
    parser.add_argument("--out", type=Path, help="JSON file")
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parser.parse_args(argv)
    Clock.choose(parser, options)
    rounds, images = (2, 16) if options.quick else (options.rounds, options.images)
    result = common.header("bn_modes", argv, torch.device("cpu")) | {"workloads": {}, "targets": []}
    rows = []
    with devices.threads(options.threads):
        for network in options.networks.split(","):
            work = problem("W1", network=network, ckpt=None, dataset=None, images=2 * images)
            found = result["workloads"][network] = compare(work, rounds)
            for mode in MODES:
                s, r = found["seconds_per_cell"][mode], found["over_frozen"][mode]
                numbers = (*(common.number(s[k]) for k in ("median", "min", "max")), common.number(r["median"], ".2f"))
                rows.append((f"{network}, {mode} ({found['evaluator'][mode]})", *numbers))
            ratio = found["over_frozen"]["recalibrated"]["median"]
            label = f"{network}: a recalibrated cell over a frozen one, own calibration set of {images} images"
            result["targets"].append(Target(label, LIMIT, ratio, at_least=False))
    common.show("Seconds of a cell by BN mode", ("mode", "s/cell", "min", "max", "over frozen"), rows)
    common.show_targets(result["targets"])
    common.write(options.out, result)
    return result


if __name__ == "__main__":
    main()
