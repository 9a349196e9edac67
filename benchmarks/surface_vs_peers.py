"""Seconds of a cell: this package, the naive loop, and the packages of the index, on the CPU.

All contenders are timed in one process, in short turns in an order drawn anew for every round, together with the
machine's limit (``limit.py``). Ratios are taken within a round, and the median over rounds is reported. Peak memory is
that of a process of its own for every contender. With ``--ckpt`` four adaptive surfaces are measured in full.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import common
import torch
from common import Clock
from contenders import Ours, Walker
from peers import PEERS
from report import Outcome, memory_target, shown, shown_surfaces, surface_targets, workload_targets
from rounds import CONTENDERS, OURS, PRECISIONS, Campaign, Entry
from whole import estimate, four_surfaces
from workloads import Problem, problem

_MEMORY_SECONDS = 1_800


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workloads", default="W1,W2", help="W1: 128 images, W2: 1,024")
    parser.add_argument("--network", default="vgg_bn", help="registered name; seeded weights")
    parser.add_argument("--ckpt", type=Path, help="a trained network instead; also measures four adaptive surfaces")
    parser.add_argument("--dataset", help="its images, where the checkpoint does not say; as of the command line")
    parser.add_argument("--only", help="contenders, with commas; by default all")
    parser.add_argument("--rounds", type=int, help="by default 9")
    parser.add_argument("--turn", type=float, help="wanted seconds of a turn, by default 2")
    parser.add_argument("--batch", type=int, help="images of a loop's forward pass; by default 128 or all, the quicker")
    parser.add_argument("--threads", type=int, help="CPU threads; by default torch's own number")
    Clock.option(parser)
    parser.add_argument("--seed", type=int, default=0, help="of weights, directions and the order of turns")
    parser.add_argument("--no-memory", action="store_true", help="no processes for peak memory")
    parser.add_argument("--no-surfaces", action="store_true", help="no four adaptive surfaces")
    parser.add_argument("--quick", action="store_true", help="a smoke run: two short rounds, small surfaces, estimates")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (2 if options.quick else 9)
    options.turn = options.turn or (0.1 if options.quick else 2.0)
    options.threads = options.threads or torch.get_num_threads()
    Clock.choose(parser, options)
    options.names = options.only.split(",") if options.only else list(CONTENDERS)
    unknown = set(options.names) - set(CONTENDERS)
    if unknown:
        parser.error(f"no contender is called {sorted(unknown)[0]!r}; known: {', '.join(CONTENDERS)}")
    return options


def campaign(work: Problem, options: argparse.Namespace, names: Sequence[str]) -> Campaign:
    points = 5 if options.quick else 41
    return Campaign(work, names, options.threads, options.seed, options.turn, points, options.batch)


def work_on(name: str, options: argparse.Namespace) -> Problem:
    return problem(name, network=options.network, ckpt=options.ckpt, dataset=options.dataset, seed=options.seed)


def memory(entry: Entry, name: str, argv: Sequence[str]) -> float | None:
    """Peak memory of a process that runs one contender for a turn, above what network and images took [MiB]."""
    command = [sys.executable, __file__, *argv, "--workloads", name, "--memory-of", entry.name]
    if entry.name not in OURS:
        command += ["--batch", str(entry.batch)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_MEMORY_SECONDS)
    except subprocess.SubprocessError as error:
        reason = getattr(error, "stderr", "") or error
        common.say(f"  no memory of {entry.name}: {str(reason).strip()[-300:]}")
        return None
    return float(json.loads(done.stdout.splitlines()[-1])["above_mib"])


def tell_memory(options: argparse.Namespace) -> None:
    """The process whose peak memory is wanted: build the workload, run one contender, say how much more that took."""
    alone = campaign(work_on(options.workloads, options), options, [options.memory_of])
    held = common.forget_peak()
    alone.prepare_contenders()
    if reason := alone.entries[options.memory_of].reason:
        sys.exit(reason)
    print(json.dumps({"above_mib": common.peak_mib() - held}))


def measure(name: str, options: argparse.Namespace) -> Outcome:
    """The rounds of one workload."""
    work = work_on(name, options)
    common.say(f"{name}: {len(work.inputs)} images; {work.source}")
    found = campaign(work, options, options.names)
    found.prepare()
    found.play(options.rounds)
    outcome = Outcome(found)
    for entry in found.entries.values():
        if isinstance(entry.runner, Ours) and not entry.reason:
            entry.reason = found.guarded(partial(outcome.compare, entry.name, entry.runner))
    return outcome


def measure_memory(outcome: Outcome, name: str, argv: Sequence[str]) -> None:
    """Peak memory of every contender that was timed."""
    for entry in outcome.campaign.entries.values():
        if not entry.reason:
            outcome.peaks[entry.name] = memory(entry, name, argv)


def surfaces(outcome: Outcome, options: argparse.Namespace) -> dict[str, Any]:
    """Four adaptive surfaces by precision: measured around a trained network, else or with --quick estimated."""
    found: dict[str, Any] = {}
    for precision, name in zip(PRECISIONS, OURS, strict=True):
        entry, fastest = outcome.campaign.entries.get(name), outcome.nearest(precision)
        if fastest is None or entry is None or not isinstance(entry.runner, Ours) or not entry.turns:
            continue
        work, cold = outcome.campaign.problem, entry.runner.cold or 0.0
        if options.quick or not work.trained:
            found[precision] = estimate(entry.median, cold, fastest.median)
        else:
            assert isinstance(fastest.runner, Walker)
            common.say(f"four surfaces, {precision}")
            cells = max(2, round(options.turn / fastest.median))
            try:
                found[precision] = four_surfaces(work, precision, fastest.runner, cells=cells)
            except Exception as error:  # the rounds before are not lost to it
                found[precision] = {"status": f"failed: {type(error).__name__}: {error}"}
        found[precision]["peer"] = fastest.name
    return found


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parse(argv)
    torch.set_num_threads(options.threads)
    if options.memory_of:
        tell_memory(options)
        return {}
    result = common.header("surface_vs_peers", argv, torch.device("cpu"), list(PEERS))
    result |= {"threads": options.threads, "rounds": options.rounds, "seed": options.seed, "quick": options.quick}
    result |= {"peers": {p.distribution: p.notes for p in PEERS.values()}, "workloads": {}, "targets": []}
    for name in options.workloads.split(","):
        outcome = measure(name, options)
        result["workloads"][name] = outcome.as_json()
        common.write(options.out, result)  # what a run has found so far survives its end
        if not options.no_memory:
            measure_memory(outcome, name, argv)
        result["workloads"][name] = outcome.as_json()
        shown(outcome)
        result["targets"] += workload_targets(outcome) + memory_target(outcome)
        common.write(options.out, result)
        if name == "W1" and not options.no_surfaces:
            result["four_surfaces"] = surfaces(outcome, options)
            shown_surfaces(result["four_surfaces"])
            result["targets"] += surface_targets(result["four_surfaces"])
            common.write(options.out, result)
    common.show_targets(result["targets"])
    return result


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # peers would move to a GPU of their own accord
    main()
