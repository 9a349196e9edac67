"""What the benchmarks share: medians and targets, tables, and the JSON file with its environment."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from landscape.devices import describe
from landscape.environment import environment

_ABSOLUTE = re.compile(r"(^|[=:,])(?:/|~)[^=:,]*/")  # the folders of a path: they say where somebody works


class Clock:
    """What times are read from: ``wall``, or the ``processor`` time of this process.

    Processor time leaves out what other processes took, so it is the steadier one on a shared machine. It adds up
    over threads, so it means something for one thread only.
    """

    name = "wall"

    @classmethod
    def now(cls) -> float:
        """Seconds since some moment."""
        return time.perf_counter() if cls.name == "wall" else time.process_time()

    @classmethod
    def option(cls, parser: argparse.ArgumentParser) -> None:
        """Give a command line the choice."""
        parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="processor: for one thread")

    @classmethod
    def choose(cls, parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
        """Take the choice, if it means something."""
        if options.clock == "processor" and (options.threads or torch.get_num_threads()) != 1:
            parser.error("processor time adds up over threads: --clock processor needs --threads 1")
        cls.name = options.clock


@dataclass(frozen=True)
class Target:
    """A number that was promised, and what was found.

    Args:
        name: What is judged.
        wanted: The bound.
        found: The measured number; None where it was not measured.
        at_least: Whether the bound is a lower one.
    """

    name: str
    wanted: float
    found: float | None
    at_least: bool = True

    @property
    def verdict(self) -> str:
        """``pass``, ``fail`` or ``not measured``."""
        if self.found is None or math.isnan(self.found):
            return "not measured"
        kept = self.found >= self.wanted if self.at_least else self.found <= self.wanted
        return "pass" if kept else "fail"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"verdict": self.verdict}


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, smallest and largest of what was measured, and how often it was."""
    found = [v for v in values if not math.isnan(v)]
    if not found:
        return {"median": math.nan, "min": math.nan, "max": math.nan, "count": 0}
    return {"median": statistics.median(found), "min": min(found), "max": max(found), "count": len(found)}


def number(value: float | None, form: str = ".4g") -> str:
    """A number for a table."""
    return "-" if value is None or math.isnan(value) else format(value, form)


def show(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    grid = Table(title=title, title_justify="left")
    for position, header in enumerate(headers):
        grid.add_column(header, justify="right" if position else "left")
    for row in rows:
        grid.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 170).print(grid)


def show_targets(targets: Sequence[Target]) -> None:
    if targets:
        rows = [(t.name, f"{'>=' if t.at_least else '<='} {t.wanted:g}", number(t.found), t.verdict) for t in targets]
        show("Targets", ("target", "wanted", "found", "verdict"), rows)


def say(text: str) -> None:
    """Tell how far a long run is, where it does not get into the tables."""
    print(text, file=sys.stderr, flush=True)


def header(benchmark: str, argv: Sequence[str], device: torch.device, packages: Sequence[str] = ()) -> dict[str, Any]:
    """The part of a result that says how it was made; no path, no host.

    Args:
        benchmark: Name of the script, without its ending.
        argv: Its arguments.
        device: Where it computed.
        packages: Further distributions whose versions belong to the result.

    Returns:
        Plain values.
    """
    found = environment(describe(device))
    found |= {
        "cpu": processor(),
        "cpu_cores": str(os.cpu_count()),
        "cpu_instructions": torch.backends.cpu.get_cpu_capability(),
    }
    found |= {name: known for name in packages if (known := installed(name))}
    return {
        "benchmark": benchmark,
        "command": " ".join([f"python benchmarks/{benchmark}.py", *(_ABSOLUTE.sub(r"\1", a) for a in argv)]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": found,
        "clock": Clock.name,
    }


def installed(distribution: str) -> str | None:
    """The version of a distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The model of the CPU, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def peak_mib() -> float:
    """The largest resident memory of this process so far [MiB].

    Linux carries ``ru_maxrss`` over from the process that started this one; its ``VmHWM`` begins anew.
    """
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(text.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 1024)


def forget_peak() -> float:
    """Give freed memory back and let the peak begin anew, so that it does not hide in what loading took before.

    Returns:
        The resident memory now [MiB]; where the system cannot forget the peak, the peak so far.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except (OSError, AttributeError, TypeError):
        pass
    return peak_mib()


def write(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write a result as JSON; what is not a number there becomes null."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Target):
        return _plain(value.as_json())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
