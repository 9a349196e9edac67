"""The machine's limit: how fast direct convolution is here, and how long a cell takes at that speed.

On the CPU: ``torch.nn.functional.conv2d`` (oneDNN, channels last) on every convolution shape of the network, at the
workload's batch and at smaller ones. The *floor* of a cell is its convolutions' operations at the best rate of all
shapes and batches; the *layer-wise floor* gives every layer the best rate that its own shape reaches, and is the more
informative one, because narrow and small layers cannot reach the rate of the best. On CUDA: the rate of a large
matrix product. Two operations are counted for a multiplication with its addition.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import common
import torch
from common import Clock
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own convention
from workloads import IMAGES, Convolution, Problem, problem

from landscape import devices

BATCHES = (8, 16, 32, 64, 128, 256, 512, 1_024)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_BEST, _BATCHES = 6, 2  # timed in every round: the best combinations of all, and the best batches of every shape
_TRIAL, _ROUND = 0.02, 0.08  # seconds that a combination is timed for, at first and in a round; three calls at least

Combination = tuple[Convolution, int]


@dataclass(frozen=True)
class Floor:
    """What the machine allowed in one round.

    Args:
        rate: Best sustained rate of all shapes and batches [operations per second].
        seconds: Of a cell at that rate.
        layer_seconds: Of a cell with every layer at its own best rate.
        quickest: Rate of the quickest single call.
    """

    rate: float
    seconds: float
    layer_seconds: float
    quickest: float


class Rate(NamedTuple):
    """Operations per second of one combination, over all calls and of the quickest one."""

    sustained: float
    quickest: float


@dataclass(eq=False)
class Limit:
    """Times convolutions of a workload in one precision.

    Args:
        problem: The workload.
        precision: ``fp32`` or ``bf16``.
        rates: What the first, complete timing found.
    """

    problem: Problem
    precision: str
    rates: dict[Combination, Rate] = field(default_factory=dict)
    _kept: list[Combination] = field(default_factory=list)

    def prepare(self, seconds: float = _TRIAL) -> None:
        """Time every shape at every batch, and keep those that may be the best."""
        images = len(self.problem.inputs)
        batches = sorted({b for b in BATCHES if b < images} | {images})
        self.rates = {(s, b): self._rate(s, b, seconds) for s in self.problem.convolutions for b in batches}
        ordered = sorted(self.rates, key=lambda c: -self.rates[c].quickest)
        own = [[c for c in ordered if c[0] == shape][:_BATCHES] for shape in self.problem.convolutions]
        self._kept = list(dict.fromkeys([*ordered[:_BEST], *chain(*own)]))

    def turn(self) -> Floor:
        """Time the kept combinations again."""
        return self.floor({combination: self._rate(*combination, _ROUND) for combination in self._kept})

    def floor(self, rates: Mapping[Combination, Rate]) -> Floor:
        """What rates mean for a cell."""
        images, layers = len(self.problem.inputs), 0.0
        for shape, count in self.problem.convolutions.items():
            layers += count * images * shape.flops / max(r.sustained for (s, _), r in rates.items() if s == shape)
        best = max(r.sustained for r in rates.values())
        quickest = max(r.quickest for r in rates.values())
        return Floor(best, self.problem.convolution_flops / best, layers, quickest)

    def _rate(self, shape: Convolution, batch: int, seconds: float) -> Rate:
        dtype = DTYPES[self.precision]
        inputs = _last(torch.randn(batch, shape.channels, *shape.size), dtype)
        weight = _last(torch.randn(shape.out, shape.channels // shape.groups, *shape.kernel), dtype)
        times: list[float] = []
        with torch.inference_mode(), devices.exact_products("fp32"):
            while len(times) < 4 or sum(times[1:]) < seconds:  # the first call finds its kernel
                start = Clock.now()
                F.conv2d(inputs, weight, stride=shape.stride, padding=shape.padding, groups=shape.groups)
                times.append(max(Clock.now() - start, 1e-7))
        flops = batch * shape.flops
        return Rate(flops * len(times[1:]) / sum(times[1:]), flops / min(times[1:]))


def _last(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype).contiguous(memory_format=torch.channels_last)


def matrix_rates(device: torch.device, *, size: int = 8_192, shots: int = 20) -> dict[str, float]:
    """Rates of a square matrix product by precision [operations per second]; fp32 is with TF32 switched off."""
    return {name: _matrix_rate(device, name, size, shots) for name in ("bf16", "tf32", "fp32")}


def _matrix_rate(device: torch.device, precision: str, size: int, shots: int) -> float:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    with torch.inference_mode(), devices.exact_products(precision):
        times = list(_timed(lambda: torch.mm(a, b, out=out), device, shots))
    return 2.0 * size**3 / min(times)


def _timed(call: Callable[[], object], device: torch.device, shots: int) -> Iterator[float]:
    for shot in range(shots + 1):
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        if shot:
            yield time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _convolutions(options: argparse.Namespace) -> dict[str, object]:
    found: dict[str, object] = {}
    work = problem(options.workload, network=options.network, ckpt=None, dataset=None)
    for precision in ("fp32", "bf16"):
        limit = Limit(work, precision)
        limit.prepare(seconds=0.0 if options.quick else 0.2)
        floor, batches = limit.floor(limit.rates), sorted({batch for _, batch in limit.rates})
        rows = [
            (f"{count} x {shape}", *(common.number(limit.rates[shape, b].sustained / 1e9) for b in batches))
            for shape, count in work.convolutions.items()
        ]
        title = f"{options.workload}, {precision}: GFLOP/s of direct convolution, by batch"
        common.show(title, ("layers", *map(str, batches)), rows)
        best = f"best {floor.rate / 1e9:.4g} GFLOP/s (quickest call {floor.quickest / 1e9:.4g})"
        print(f"{best}: floor {floor.seconds:.4g} s a cell; layer-wise {floor.layer_seconds:.4g} s\n")
        found[precision] = {
            "rates_gflops": {f"{s}, batch {b}": r.sustained / 1e9 for (s, b), r in limit.rates.items()},
            "best_gflops": floor.rate / 1e9,
            "quickest_call_gflops": floor.quickest / 1e9,
            "floor_seconds_per_cell": floor.seconds,
            "layer_floor_seconds_per_cell": floor.layer_seconds,
        }
    return {"workload": options.workload} | work.describe() | {"convolution": found}


def _products(device: torch.device, *, quick: bool) -> dict[str, object]:
    size = 8_192 if device.type == "cuda" else 1_024
    rates = matrix_rates(device, size=size // 4 if quick else size)
    common.show("Matrix product", ("precision", "TFLOP/s"), [(k, common.number(v / 1e12)) for k, v in rates.items()])
    return {"matrix_product_tflops": {k: v / 1e12 for k, v in rates.items()}}


def main(argv: Sequence[str] | None = None) -> dict[str, object]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--workload", choices=list(IMAGES), default="W1", help="how many images a cell has")
    parser.add_argument("--network", default="vgg_bn", help="registered name")
    parser.add_argument("--device", default="cpu", help="cpu: convolutions; cuda: matrix products")
    parser.add_argument("--threads", type=int, help="CPU threads; by default torch's own number")
    Clock.option(parser)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--out", type=Path, help="JSON file")
    argv = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(argv)
    Clock.choose(parser, options)
    device = devices.resolve(options.device)
    with devices.threads(options.threads):
        result = common.header("limit", argv, device)
        result |= _convolutions(options) if device.type == "cpu" else _products(device, quick=options.quick)
    common.write(options.out, result)
    return result


if __name__ == "__main__":
    main()
