"""The true error of adaptive surfaces: each is compared with the same surface measured densely.

Dense surfaces are measured once and kept in a work folder; a stopped run continues there. The adaptive ones are made by
the public function with ``sampling="adaptive"``, nothing else. A plane of a checkpoint is one surface.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from common import Target, number
from numpy.typing import NDArray
from workloads import Problem, from_checkpoint

import landscape as ls
from landscape import devices
from landscape.datasets.options import DataOptions
from landscape.progress import Progress, Report

LIMITS = {"share": 0.12, "rms": 0.01, "p95": 0.03, "largest": 0.06}
SURFACES, SHARE_GOOD, SHARE_COVERED = 12, 10 / 12, 0.9
COLUMNS = ("cells", "share %", "RMS %", "RMS of values %", "p95 %", "largest %", "stated p95 %", "covers", "good")


@dataclass(frozen=True)
class Item:
    """A checkpoint to be compared.

    Args:
        name: Names its files in the work folder.
        ckpt: The checkpoint.
        dataset: Its images, where the file does not say.
        radii: Of its surfaces.
    """

    name: str
    ckpt: Path
    dataset: str | None
    radii: tuple[float, ...]


@dataclass(frozen=True)
class PlaneError:
    """How far an adaptive plane is from the dense one.

    Errors are relative, ``|adaptive - dense| / |dense|``, over interpolated cells; measured ones have none.

    Args:
        measured: Cells that were measured.
        share: Their share of all.
        rms: Root mean square of the relative errors.
        rms_of_values: Root mean square error, divided by the root mean square loss.
        p95: 95th percentile of the relative errors.
        p95_all: The same over all cells, the measured ones included.
        largest: Largest relative error.
        stated: What the adaptive surface itself states as its 95th percentile.
        gaps: Cells that are finite on one of the two only; no error is known there.
    """

    measured: int
    share: float
    rms: float
    rms_of_values: float
    p95: float
    p95_all: float
    largest: float
    stated: float
    gaps: int

    @property
    def covers(self) -> bool:
        """Whether the stated error is at least the true one."""
        return self.stated >= self.p95

    @property
    def good(self) -> bool:
        """Whether every limit is kept; both ways to take a root mean square are."""
        kept = all(getattr(self, name) <= limit for name, limit in LIMITS.items())
        return kept and self.rms_of_values <= LIMITS["rms"] and not self.gaps


def plane_error(
    dense: NDArray[np.float64], adaptive: NDArray[np.float64], measured: NDArray[np.bool_], stated: float
) -> PlaneError:
    """Compare two planes of one shape.

    Args:
        dense: Losses, all measured.
        adaptive: Losses, some interpolated.
        measured: Which of these were measured.
        stated: The error that the adaptive surface states.

    Returns:
        The errors.
    """
    both = np.isfinite(dense) & np.isfinite(adaptive)
    difference = np.abs(np.where(both, adaptive, 0.0) - np.where(both, dense, 0.0))
    relative = difference / np.where(both & (dense != 0), np.abs(dense), 1.0)
    where = both & ~measured
    found = relative[where] if where.any() else np.zeros(1)
    values = np.sqrt(np.mean(np.square(dense[both]))) if both.any() else np.nan
    return PlaneError(
        measured=int(measured.sum()),
        share=float(measured.mean()),
        rms=float(np.sqrt(np.mean(np.square(found)))),
        rms_of_values=float(np.sqrt(np.mean(np.square(difference[where]))) / values) if where.any() else 0.0,
        p95=float(np.quantile(found, 0.95)),
        p95_all=float(np.quantile(np.where(measured, 0.0, relative)[both], 0.95)) if both.any() else np.nan,
        largest=float(found.max()),
        stated=stated,
        gaps=int((np.isfinite(dense) != np.isfinite(adaptive)).sum()),
    )


def surface_of(item: Item, work: Problem, radius: float, sampling: str, options: argparse.Namespace) -> ls.Surface:
    """Measure a surface with the public function, or continue it; its recipe is that of ``landscape surface``."""
    model = work.fresh()
    objective = ls.Objective(
        model, work.inputs, work.targets, bn=options.bn, device=options.device, precision=options.precision
    )
    label = f"{item.name}-r{radius:g}" + ("" if sampling == "dense" else f".{sampling}")
    return ls.measure_surface(
        objective,
        ls.random_pairs(model, options.pairs, seed=options.seed),
        ls.Grid.square(radius, options.points),
        path=options.work / f"{label}.h5",
        sampling=sampling,
        rtol=options.rtol,
        progress=teller(label),
        recipe={**work.facts, "radius": radius},
        provenance={"checkpoint": item.ckpt.name},
    )


def teller(label: str) -> Report:
    """Say how far a surface is, every tenth of it."""
    told = -1

    def tell(p: Progress) -> None:
        nonlocal told
        tenth = 10 * p.done // max(p.total, 1)
        if tenth > told:
            told = tenth
            common.say(f"  {label}: {p.done} of {p.total} cells, {p.seconds_left:.0f} s left")

    return tell


def compare(item: Item, options: argparse.Namespace) -> Iterator[tuple[str, PlaneError]]:
    """Measure an item's surfaces both ways, and compare them plane by plane."""
    work = from_checkpoint(item.name, item.ckpt, dataset=item.dataset, images=options.limit)
    for radius in item.radii:
        dense = surface_of(item, work, radius, "dense", options)
        adaptive = surface_of(item, work, radius, "adaptive", options)
        for pair in range(dense.pairs):
            planes = dense.loss[pair], adaptive.loss[pair], adaptive.measured[pair]
            yield f"{item.name}, radius {radius:g}, pair {pair}", plane_error(*planes, float(adaptive.error_estimate))


def trained(options: argparse.Namespace) -> list[Item]:
    """Train the networks that are not given, with the package's own training; finished runs are taken up."""
    items = []
    for dataset in ("fashion_mnist_mini", *options.data):
        label = dataset.split(":")[0] if ":" not in dataset else Path(dataset.split(":", 1)[1]).stem
        for network in options.networks.split(","):
            data = DataOptions(dataset, limit=options.train_limit)
            config = ls.TrainConfig(
                network, epochs=options.epochs, data=data, device=options.device, out=options.work / "training" / label
            )
            common.say(f"training {network} on {label}")
            ls.train(config)
            best = config.checkpoint_path("best")
            assert best is not None
            items.append(Item(f"{label}-{network}", best, dataset, options.radii))
    return items


def items_of(options: argparse.Namespace) -> list[Item]:
    """The checkpoints of the command line, of a list, and those that are trained."""
    items = []
    for pair in options.ckpt:
        name, _, file = pair.rpartition("=")
        items.append(Item(name or Path(file).stem, Path(file), options.dataset, options.radii))
    if options.list:
        for entry in tomllib.loads(options.list.read_text(encoding="utf-8"))["surface"]:
            radii = tuple(entry.get("radii", options.radii))
            items.append(Item(entry["name"], Path(entry["ckpt"]), entry.get("dataset"), radii))
    return items + (trained(options) if options.train else [])


def targets_of(errors: Sequence[PlaneError]) -> list[Target]:
    """Judge all surfaces together."""
    if not errors:
        return []
    good, covered = (sum(flags) / len(errors) for flags in ([e.good for e in errors], [e.covers for e in errors]))
    limits = "cells <= 12 %, RMS <= 1 %, p95 <= 3 %, largest <= 6 %"
    return [
        Target("surfaces compared", SURFACES, len(errors)),
        Target(f"share of surfaces with {limits}", round(SHARE_GOOD, 3), good),
        Target(
            "share of surfaces whose stated error covers the true p95",
            SHARE_COVERED,
            covered,
        ),
    ]


def row(name: str, e: PlaneError) -> tuple[str, ...]:
    """A surface in the table."""
    parts = (e.share, e.rms, e.rms_of_values, e.p95, e.largest, e.stated)
    flags = ("yes" if e.covers else "no", "yes" if e.good else "no")
    return (name, str(e.measured), *(number(100 * value, ".2f") for value in parts), *flags)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ckpt", action="append", default=[], metavar="NAME=FILE", help="a checkpoint; repeatable")
    parser.add_argument("--dataset", help="images of the checkpoints, where they do not say; as of the command line")
    parser.add_argument("--list", type=Path, help="TOML: [[surface]] with name, ckpt, and optionally dataset, radii")
    parser.add_argument("--train", action="store_true", help="train networks on fashion_mnist_mini and on --data")
    parser.add_argument("--data", action="append", default=[], help="a further data set to train on: npz:FILE, cifar10")
    parser.add_argument("--networks", default="vgg_light,vgg_light_bn", help="those to train")
    parser.add_argument("--epochs", type=int, default=10, help="of training")
    parser.add_argument("--train-limit", type=int, default=5_000, help="images to train on")
    parser.add_argument("--radii", default="1,0.25", help="of the surfaces")
    parser.add_argument("--points", type=int, help="on each axis, by default 41")
    parser.add_argument("--pairs", type=int, default=1, help="planes of each checkpoint and radius")
    parser.add_argument("--limit", type=int, default=128, help="images that the loss is taken over")
    parser.add_argument("--bn", default="frozen", help="BatchNorm mode")
    parser.add_argument("--rtol", type=float, default=0.03, help="wanted p95 of the relative error")
    parser.add_argument("--seed", type=int, default=0, help="of the directions")
    parser.add_argument("--device", default="auto", help="as of the command line")
    parser.add_argument("--precision", default="fp32", help="as of the command line")
    parser.add_argument("--work", type=Path, default=Path("results/surfaces/adaptive_error"), help="keeps the surfaces")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 13 points, light training")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args(argv)
    options.radii = tuple(float(radius) for radius in options.radii.split(","))
    options.points = options.points or (13 if options.quick else 41)
    if options.quick:
        options.epochs, options.train_limit = 1, 500
    if not (options.ckpt or options.list or options.train):
        parser.error("give checkpoints with --ckpt or --list, or say --train")
    return options


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parse(argv)
    options.work.mkdir(parents=True, exist_ok=True)
    result = common.header("adaptive_error", argv, torch.device(devices.resolve(options.device)))
    result |= {"limits": LIMITS, "rtol": options.rtol, "images": options.limit, "points": options.points}
    result |= {"pairs": options.pairs, "seed": options.seed, "bn": options.bn, "surfaces": {}}
    errors: dict[str, PlaneError] = {}
    for item in items_of(options):
        errors |= dict(compare(item, options))
        result["surfaces"] = {k: asdict(e) | {"covers": e.covers, "good": e.good} for k, e in errors.items()}
        result["targets"] = targets_of(list(errors.values()))
        common.write(options.out, result)  # what a run has found so far survives its end
    common.show("Adaptive against dense", ("surface", *COLUMNS), [row(name, e) for name, e in errors.items()])
    common.show_targets(result["targets"])
    return result


if __name__ == "__main__":
    main()
