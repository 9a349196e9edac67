"""Four pairs of 41 x 41 on a GPU: seconds, and the share of the matrix units' peak that they are used at.

Every cell is measured (``sampling="dense"``). The time is that of the whole public call. The first call of a process,
which also starts the device and finds its kernels, is told apart from those that follow. It runs on the CPU too, so
that its logic can be tried.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import torch
from common import Target, number
from contenders import Ours
from limit import matrix_rates, synchronize
from workloads import IMAGES, Problem, problem

from landscape import devices

# Dense matrix units [TFLOP/s] as the maker states them, by a part of the device's name; the first that fits counts.
PEAKS = {
    "H200": {"bf16": 989.0, "tf32": 495.0, "fp32": 67.0},
    "H100 PCIe": {"bf16": 756.0, "tf32": 378.0, "fp32": 51.0},
    "H100": {"bf16": 989.0, "tf32": 495.0, "fp32": 67.0},
    "A100": {"bf16": 312.0, "tf32": 156.0, "fp32": 19.5},
}
WANTED = {"W1": 2.0, "W3": 60.0}  # seconds for all cells, on an H200 in bf16
COLUMNS = ("cells", "cold s", "s", "min", "max", "ms/cell", "TFLOP/s", "of peak %", "of product %", "least s", "MiB")


def peak(name: str, precision: str) -> float | None:
    """What a device's matrix units do at most [operations per second], or None where it is not known here."""
    found = next((rates for part, rates in PEAKS.items() if part in name), None)
    return None if found is None else found[precision] * 1e12


def surfaces(work: Problem, precision: str, device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """Measure all pairs several times.

    Args:
        work: Network and images.
        precision: ``bf16``, ``tf32`` or ``fp32``.
        device: Where.
        options: Of the command line.

    Returns:
        Plain values.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    ours = Ours(work, precision, pairs=options.pairs, points=options.points, device=str(device), batch=options.batch)
    times: list[float] = []
    for repeat in range(options.repeats + 1):  # the first is the cold one
        if repeat > 1 and sum(times) > options.budget:
            break
        synchronize(device)
        begun = time.perf_counter()
        surface = ours.measure(ours.planes, ours.grid, evaluator=options.evaluator)
        synchronize(device)
        times.append(time.perf_counter() - begun)
        common.say(f"  {work.name} {precision}, call {repeat + 1}: {times[-1]:.2f} s")
    cells, memory = surface.done.size, common.peak_mib()
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device) / 2**20
    warm = common.spread(times[1:])
    return {
        "cells": cells,
        "cold_seconds": times[0],
        "seconds": warm,
        "rounds": times[1:],
        "flops": work.flops * cells,
        "rate_tflops": work.flops * cells / warm["median"] / 1e12,
        "peak_memory_mib": memory,
        "center_loss": surface.center.loss,
        "execution": dict(surface.execution),
        "checks": dict(surface.checks),
    }


def measure(
    work: Problem, precision: str, device: torch.device, product: float, options: argparse.Namespace
) -> dict[str, Any]:
    """One workload in one precision; where it fails, the others go on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else common.processor()
    try:
        result = surfaces(work, precision, device, options)
    except Exception as error:  # whatever it is, the results of others are not lost to it
        common.say(f"  {work.name} {precision} failed: {error}")
        return {"status": f"failed: {type(error).__name__}: {error}"}
    rate, top = result["rate_tflops"] * 1e12, peak(name, precision)
    return result | {
        "status": "measured",
        "least_seconds": None if top is None else result["flops"] / top,
        "share_of_peak": None if top is None else rate / top,
        "share_of_matrix_product": rate / product,
    }


def shown(workloads: dict[str, dict[str, Any]], precisions: Sequence[str]) -> None:
    """Print the table."""
    rows = []
    for name, work in workloads.items():
        for precision in precisions:
            r = work[precision]
            label = f"{name} {precision}"
            if r["status"] != "measured":
                rows.append((f"{label}: {r['status']}", *["-"] * len(COLUMNS)))
                continue
            share = r["share_of_peak"]
            rows.append(
                (
                    label,
                    str(r["cells"]),
                    number(r["cold_seconds"]),
                    *(number(r["seconds"][key]) for key in ("median", "min", "max")),
                    number(1e3 * r["seconds"]["median"] / r["cells"]),
                    number(r["rate_tflops"]),
                    "unknown" if share is None else number(100 * share, ".1f"),
                    number(100 * r["share_of_matrix_product"], ".1f"),
                    "unknown" if share is None else number(r["least_seconds"]),
                    number(r["peak_memory_mib"], ".0f"),
                )
            )
    common.show("Surfaces, all cells measured", ("workload", *COLUMNS), rows)


def targets_of(workloads: dict[str, dict[str, Any]], device: torch.device, *, full: bool) -> list[Target]:
    """Judge: on an H200, in bf16, all 6,724 cells."""
    judged = full and device.type == "cuda" and "H200" in torch.cuda.get_device_name(device)
    found = []
    for name, wanted in WANTED.items():
        seconds = workloads.get(name, {}).get("bf16", {}).get("seconds", {}).get("median")
        label = f"{name} bf16 on an H200: seconds for 6,724 cells"
        found.append(Target(label, wanted, seconds if judged else None, at_least=False))
    return found


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workloads", default="W1,W3", help="W1: 128 images, W3: 10,000")
    parser.add_argument("--precisions", default="bf16,tf32", help="those to measure")
    parser.add_argument("--network", default="vgg_bn", help="registered name; seeded weights")
    parser.add_argument("--ckpt", type=Path, help="a trained network instead")
    parser.add_argument("--dataset", help="its images, where the checkpoint does not say")
    parser.add_argument("--pairs", type=int, help="by default 4")
    parser.add_argument("--points", type=int, help="by default 41")
    parser.add_argument("--repeats", type=int, help="timed calls after the cold one, by default 3")
    parser.add_argument("--budget", type=float, default=180.0, help="seconds after which a precision is not repeated")
    parser.add_argument("--batch", type=int, help="most images of one forward pass; by default the package's own")
    parser.add_argument("--evaluator", default="auto", help="as of measure_surface")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:i, cpu")
    parser.add_argument("--seed", type=int, default=0, help="of weights and images")
    parser.add_argument("--quick", action="store_true", help="a smoke run: one pair of 5 x 5, at most 256 images")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args(argv)
    options.pairs = options.pairs or (1 if options.quick else 4)
    options.points = options.points or (5 if options.quick else 41)
    options.repeats = options.repeats or (1 if options.quick else 3)
    return options


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parse(argv)
    device = devices.resolve(options.device)
    result = common.header("surface_gpu", argv, device)
    products = matrix_rates(device, size=8_192 if device.type == "cuda" else 512)
    result |= {"matrix_product_tflops": {k: v / 1e12 for k, v in products.items()}, "seed": options.seed}
    result |= {"pairs": options.pairs, "points": options.points, "quick": options.quick, "workloads": {}}
    full = (options.pairs, options.points, options.quick) == (4, 41, False)
    for name in options.workloads.split(","):
        images = min(256, IMAGES[name]) if options.quick else IMAGES[name]
        work = problem(
            name, network=options.network, ckpt=options.ckpt, dataset=options.dataset, seed=options.seed, images=images
        )
        found = result["workloads"][name] = work.describe()
        for precision in options.precisions.split(","):
            found[precision] = measure(work, precision, device, products[precision], options)
            result["targets"] = targets_of(result["workloads"], device, full=full)
            common.write(options.out, result)  # what a run has found so far survives its end
    shown(result["workloads"], options.precisions.split(","))
    common.show_targets(result["targets"])
    return result


if __name__ == "__main__":
    main()
