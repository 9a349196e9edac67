"""``landscape run``: the steps of an experiment file, and their outcome against what was published.

Finished steps are read from their files, so that a stopped experiment continues.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from landscape.errors import UsageError
from landscape.progress import Progress, Report, silent
from landscape.tasks.experiment_file import read_experiment
from landscape.tasks.experiment_report import Finished, write_outcome
from landscape.tasks.experiment_steps import KINDS, Bench, Outcome


def run_experiment(
    file: Path,
    *,
    reduced: bool = False,
    out: Path | None = None,
    data: Mapping[str, Any] | None = None,
    device: str = "auto",
    command: str = "",
    progress: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> Finished:
    """Run everything that an experiment file says, and write its outcome.

    Args:
        file: The experiment file.
        reduced: Whether its reduced form is run.
        out: Folder of the outcome, by default ``results/<name>``, with the folder that the file has below
            ``experiments``; everything large goes to ``work`` below it.
        data: Where the images are, in place of what the file says: ``dataset``, ``root``, ``download``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        command: What the user typed.
        progress: Called with progress; every step counts anew.
        say: Called with a sentence before each step.

    Returns:
        The outcome.

    Raises:
        UsageError: The file is wrong, or has no reduced form.
    """
    experiment = read_experiment(file)
    if reduced and not experiment.cuts:
        raise UsageError(f"{file} has no [reduced] form; run it without --reduced")
    out = out or Path("results") / _below_experiments(file)
    work = out / "work" / ("reduced" if reduced else "full")
    outcomes: dict[str, Outcome] = {}
    for number, step in enumerate(experiment.steps, 1):
        kind = KINDS.get(step.kind)
        if say is not None:
            say(f"Step {number} of {len(experiment.steps)}: {step.name}")
        settings = experiment.settings(step, reduced=reduced) | dict(data or {})
        bench = Bench(work / step.name, work, device, command, _named(step.name, progress or silent))
        outcomes[step.name] = kind.run(settings, bench)
    finished = Finished(experiment, reduced, outcomes, out / "README.md")
    write_outcome(finished, out, command=command)
    return finished


def _below_experiments(file: Path) -> Path:
    """``experiments/labs/x.toml`` is ``labs/x``; a file elsewhere is its stem."""
    folders = file.resolve().parent.parts
    below = folders[len(folders) - folders[::-1].index("experiments") :] if "experiments" in folders else ()
    return Path(*below, file.stem)


def _named(step: str, report: Report) -> Report:
    def tell(progress: Progress) -> None:
        report(dataclasses.replace(progress, detail=f"{step}: {progress.detail}"))

    return tell
