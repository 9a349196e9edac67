"""``landscape smoothness --models dln,dln_bn``: the paper's deep linear networks, probed, on one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from landscape.progress import Progress, Report, silent
from landscape.smoothness.deep_linear import DeepLinearConfig, steps_made, train_deep_linear
from landscape.tasks.places import check_writable
from landscape.tasks.smoothness import WrittenSmoothness, draw_traces, signed


def run_name(config: DeepLinearConfig) -> str:
    """Name a run as runs on images are named."""
    return f"{config.model}-lr{config.learning_rate:g}-seed{config.seed}"


def smoothness_of_deep_linear(
    configs: Sequence[DeepLinearConfig],
    out: Path,
    *,
    command: str = "",
    standalone: bool = False,
    progress: Report | None = None,
) -> WrittenSmoothness:
    """Train and probe what is not there yet, and draw the traces. A run that was stopped is continued.

    Args:
        configs: Settings of the runs.
        out: Folder of ``traces/``, page and picture.
        command: What the user typed, to be shown on the page.
        standalone: Whether the page carries plotly's script.
        progress: Called with a ``Progress`` over the steps of all runs; first with an estimate of the whole.

    Returns:
        Traces and files; there are no other records.

    Raises:
        StorageError: The folder cannot be written to; that is found out before anything is trained.
        ResumeError: The folder holds a trace of other settings.
    """
    check_writable(out)
    paths = [out / "traces" / f"{run_name(config)}.h5" for config in configs]
    tell = _announced(configs, paths, progress or silent)
    traces = []
    for number, (config, path) in enumerate(zip(configs, paths, strict=True)):
        trace = train_deep_linear(config, path=path, progress=tell(number))
        tell(number)(Progress(config.steps, config.steps, "step", 0.0))
        traces.append(signed(trace, path, command))
    page, image = draw_traces(traces, out / "smoothness.h5", standalone=standalone)
    return WrittenSmoothness((), tuple(traces), tuple(paths), page, image)


def _announced(configs: Sequence[DeepLinearConfig], paths: Sequence[Path], report: Report) -> Callable[[int], Report]:
    """Time a few steps, say what is ahead, and return what reports each run's steps."""
    left = [config.steps - steps_made(config, path) for config, path in zip(configs, paths, strict=True)]
    total = sum(config.steps for config in configs)
    pace = {config.model: _pace(config) for config, steps in zip(configs, left, strict=True) if steps}
    ahead = [steps * pace.get(config.model, 0.0) for config, steps in zip(configs, left, strict=True)]
    told = total - sum(left)
    report(Progress(told, total, "step", sum(ahead), "timed a few steps", estimate=True))

    def teller(number: int) -> Report:
        before = total - configs[number].steps - sum(left[number + 1 :])

        def tell(p: Progress) -> None:
            nonlocal told
            later = p.seconds_left + sum(ahead[number + 1 :])
            if before + p.done > told:
                told = before + p.done
                report(Progress(told, total, "step", later, run_name(configs[number])))

        return tell

    return teller


def _pace(config: DeepLinearConfig) -> float:
    """Seconds of a step, with its share of a probe."""
    _seconds(config, steps=1, every=1)  # the first call pays for more than itself
    rarely, often = _seconds(config, steps=3, every=3), _seconds(config, steps=3, every=1)
    probe = max(often - rarely, 0.0) / 2  # three probes and one
    return max(rarely - probe, 0.0) / 3 + probe / config.every


def _seconds(config: DeepLinearConfig, *, steps: int, every: int) -> float:
    started = time.perf_counter()
    train_deep_linear(replace(config, steps=steps, every=every))
    return time.perf_counter() - started
