"""Reading experiment files: a question, its steps, what was published, and what a reduced run cuts.

A file is TOML. ``[[step]]`` entries name a kind and the settings of its task; ``[reduced]`` says in words what it cuts,
and ``[reduced.NAME]`` replaces settings of the step of that name. ``[[expected]]`` entries name a number of a step,
what was published for it, where, and between which bounds it is said to have come out. Keys that nothing reads are
errors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landscape.errors import StorageError, UsageError
from landscape.tasks import experiment_labs as _labs  # noqa: F401 - registers its steps
from landscape.tasks import experiment_probes as _probes  # noqa: F401 - registers its steps
from landscape.tasks.experiment_steps import KINDS
from landscape.tasks.settings import check_keys, known_keys, made

_TOP = ("question", "protocol", "data", "step", "reduced", "expected")


@dataclass(frozen=True)
class Step:
    """One step.

    Args:
        name: Names its folder and its numbers.
        kind: What it does.
        settings: Of its task.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Expected:
    """A number that was published, or is expected.

    Args:
        number: ``STEP.NAME``, as the step names it; the quotient or the difference of two where a ``/``, or a ``-``
            between spaces, stands between them.
        source: Where it was published, and how it differs.
        published: Its value there; None where only bounds are known.
        low: The smallest value at which it is said to have come out.
        high: The largest.
        says: The statement in words, for a reader.
    """

    number: str
    source: str
    published: float | None = None
    low: float = float("-inf")
    high: float = float("inf")
    says: str = ""

    @property
    def terms(self) -> tuple[str, ...]:
        """The names in ``number``."""
        return tuple(name.strip() for name in self.number.split(" - " if self.is_difference else "/"))

    @property
    def is_difference(self) -> bool:
        """Whether ``number`` is the difference of two; names themselves may hold a ``-``."""
        return " - " in self.number


@dataclass(frozen=True)
class Experiment:
    """An experiment file.

    Args:
        name: Its stem.
        question: What is asked.
        protocol: How it is answered, and where it departs from what was published.
        data: Settings of the images that all steps share.
        steps: What is done.
        expected: What was published.
        cuts: What the reduced form cuts, in words; empty where this is the full form.
        reduced: Settings by step that the reduced form replaces.
    """

    name: str
    question: str
    protocol: str
    steps: tuple[Step, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    expected: tuple[Expected, ...] = ()
    cuts: str = ""
    reduced: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def settings(self, step: Step, *, reduced: bool) -> dict[str, Any]:
        """Return the settings of a step: shared images, its own, and what the reduced form replaces."""
        shared = {k: v for k, v in self.data.items() if k in KINDS.get(step.kind).keys}
        return shared | dict(step.settings) | (dict(self.reduced.get(step.name, {})) if reduced else {})


def read_experiment(file: Path) -> Experiment:
    """Read and check an experiment file.

    Args:
        file: A TOML file.

    Returns:
        The experiment.

    Raises:
        StorageError: The file cannot be read.
        UsageError: It lacks something, or holds a key that nothing reads.
    """
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"cannot read the experiment {file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the experiment {file} is no TOML: {error}") from error
    check_keys(str(file), found, _TOP)
    for key in ("question", "protocol", "step"):
        if not found.get(key):
            raise UsageError(f"the experiment {file} lacks {key!r}: a question, a protocol and [[step]] entries")
    reduced = dict(found.get("reduced", {}))
    cuts = str(reduced.pop("cuts", ""))
    if reduced and not cuts:
        raise UsageError(f"{file}: [reduced] lacks 'cuts': say in words which images, epochs and seeds it leaves out")
    steps = tuple(_step(file, entry) for entry in found["step"])
    names = [step.name for step in steps]
    if len(set(names)) < len(names):
        raise UsageError(f"{file}: two steps are called {max(names, key=names.count)!r}; give each [[step]] a name")
    check_keys(f"{file}: [reduced]", reduced, tuple(names))
    experiment = Experiment(
        file.stem,
        str(found["question"]),
        str(found["protocol"]),
        steps,
        dict(found.get("data", {})),
        tuple(_expected(file, entry, names) for entry in found.get("expected", [])),
        cuts,
        reduced,
    )
    _check_steps(file, experiment)
    return experiment


def _step(file: Path, entry: Mapping[str, Any]) -> Step:
    settings = dict(entry)
    kind = str(settings.pop("kind", ""))
    KINDS.get(kind)
    name = str(settings.pop("name", kind))
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"{file}: a step's name is letters, digits, - and _; got {name!r}")
    return Step(name, kind, settings)


def _expected(file: Path, entry: Mapping[str, Any], steps: list[str]) -> Expected:
    check_keys(f"{file}: [[expected]]", entry, known_keys(Expected))
    for key in ("number", "source"):
        if key not in entry:
            raise UsageError(f"{file}: an [[expected]] entry lacks {key!r}")
    expected = made(Expected, entry)
    for number in expected.terms:
        check_keys(f"{file}: [[expected]] number {number!r}", {number.split(".")[0]: None}, tuple(steps))
    return expected


def _check_steps(file: Path, experiment: Experiment) -> None:
    every = {key for step in experiment.steps for key in KINDS.get(step.kind).keys}
    check_keys(f"{file}: [data]", experiment.data, tuple(sorted(every)))
    for step in experiment.steps:
        keys = KINDS.get(step.kind).keys
        check_keys(f"{file}: step {step.name!r}", step.settings, keys)
        check_keys(f"{file}: [reduced.{step.name}]", experiment.reduced.get(step.name, {}), keys)
        for reduced in (False, True):
            _checked(file, step, experiment.settings(step, reduced=reduced))


def _checked(file: Path, step: Step, settings: Mapping[str, Any]) -> None:
    check = KINDS.get(step.kind).check
    try:
        if check is not None:
            check(settings)
    except UsageError as error:
        raise UsageError(f"{file}: step {step.name!r}: {error}") from error
