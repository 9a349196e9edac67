"""The outcome of an experiment as a page in Markdown: question, protocol, table against what was published, misses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landscape.atomic import replacing
from landscape.errors import UsageError
from landscape.figures.data import Table, number
from landscape.tasks.experiment_file import Expected, Experiment
from landscape.tasks.experiment_steps import Number, Outcome

_MOST_BYTES = 2_000_000  # a committed result is small


@dataclass(frozen=True)
class Finished:
    """An experiment that was run.

    Args:
        experiment: The file.
        reduced: Whether it was the reduced form.
        outcomes: What the steps left, by name.
        summary: The page in Markdown with the table.
    """

    experiment: Experiment
    reduced: bool
    outcomes: Mapping[str, Outcome]
    summary: Path


def write_outcome(finished: Finished, out: Path, *, command: str) -> None:
    """Write the page, the numbers as JSON, and copies of the small records and pictures.

    Args:
        finished: The experiment and what its steps left.
        out: Where to.
        command: What the user typed.
    """
    kept = [copy for name, outcome in finished.outcomes.items() for copy in _copied(name, outcome, out)]
    numbers = {f"{step}.{name}": _plain(n) for step, o in finished.outcomes.items() for name, n in o.numbers.items()}
    with replacing(out / "numbers.json") as path:
        path.write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    with replacing(finished.summary) as path:
        path.write_text("\n".join(_lines(finished, kept, command=command)) + "\n", encoding="utf-8")


def _plain(n: Number) -> dict[str, float | int | str | None]:
    def told(value: float) -> float | str | None:
        return float(f"{value:.6g}") if np.isfinite(value) else None if np.isnan(value) else str(value)

    return {"value": told(n.value), "spread": told(n.spread), "count": n.count}


def _copied(step: str, outcome: Outcome, out: Path) -> Iterator[Path]:
    for file in outcome.files:
        if file.exists() and file.stat().st_size <= _MOST_BYTES:
            target = out / f"{step}-{file.name}"
            with replacing(target) as path:
                shutil.copyfile(file, path)
            yield target


def _lines(finished: Finished, kept: list[Path], *, command: str) -> Iterator[str]:
    e = finished.experiment
    yield from (f"# {e.question}", "", e.protocol.strip(), "")
    if finished.reduced:
        yield from (f"**Reduced run.** {e.cuts.strip()}", "")
    yield from ("```sh", command or f"landscape run experiments/{e.name}.toml", "```", "")
    yield from (f"Made by: {made_by(finished.outcomes)}.", "")
    for name, outcome in finished.outcomes.items():
        if outcome.missing or outcome.said:
            yield from (f"`{name}`: {outcome.missing or outcome.said}", "")
        for table in outcome.tables:
            yield from _drawn(table)
    yield from _table(finished)
    yield from _pictures(kept)
    yield from ("## Settings", "", "```json")
    settings = {s.name: {"kind": s.kind} | e.settings(s, reduced=finished.reduced) for s in e.steps}
    yield from (json.dumps(settings, indent=1), "```", "", "All numbers: [numbers.json](numbers.json).")


def _drawn(table: Table) -> Iterator[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (table.header, *table.rows)]
    first, *rows = (f"| {' | '.join(row)} |" for row in cells)
    rule = ["---" if i < table.words else "---:" for i in range(len(table.header))]
    yield from (first, f"| {' | '.join(rule)} |", *rows, "")
    if table.note:
        yield from (table.note, "")


def made_by(outcomes: Mapping[str, Outcome]) -> str:
    """Word the versions and devices that made an outcome.

    Args:
        outcomes: What the steps left.

    Returns:
        For instance ``cpu, 2 threads; torch 2.14.1; python 3.11.7``.
    """
    facts: dict[str, list[str]] = {}
    for outcome in outcomes.values():
        for key, value in outcome.environment.items():
            known = facts.setdefault(key, [])
            known += [] if str(value) in known else [str(value)]
    return "; ".join(f"{key} {' and '.join(values)}" for key, values in facts.items())


def _table(finished: Finished) -> Iterator[str]:
    expected = finished.experiment.expected
    if not expected:
        return
    rows, misses = [], []
    for entry in expected:
        says = entry.says or f"`{entry.number}`"
        if any(finished.outcomes[term.split(".")[0]].missing for term in entry.terms):
            rows.append(f"| {says} | not run | | {_bounds(entry)} | | {entry.source} |")
            continue
        try:
            found = found_number(entry, finished.outcomes)
        except UsageError as error:  # a ratio that too few runs survived for, say: the rest of the table stands
            rows.append(f"| {says} | no value | | {_bounds(entry)} | | {entry.source} |")
            misses.append(f"* {says}: no value; {error}.")
            continue
        text = number(found.value, 4) if np.isfinite(found.value) else str(found.value)
        if np.isfinite(found.spread):
            text += f" ± {number(found.spread, 2)} ({found.count})"
        published = "" if entry.published is None else number(entry.published, 4)
        bounds = _bounds(entry)
        verdict = came_out(entry, found) if bounds else ""
        rows.append(f"| {says} | {text} | {published} | {bounds} | {verdict} | {entry.source} |")
        if verdict not in {"", "yes"}:
            misses.append(f"* {says}: {text}, expected {bounds}: {verdict.strip('*')}.")
    yield from ("## Against what was published", "")
    yield "| | here | published | expected here | came out | source |"
    yield "| --- | ---: | ---: | ---: | --- | --- |"
    yield from (*rows, "", "± is the standard deviation over seeds or planes, their number in brackets.", "")
    ran = not any(outcome.missing for outcome in finished.outcomes.values())
    all_came = "All of these came out." if ran else "All of these that were run came out."
    yield from ("Did not come out:", "", *misses, "") if misses else (all_came, "")


def came_out(entry: Expected, found: Number) -> str:
    """Judge a number, and each of its seeds.

    Args:
        entry: The bounds.
        found: The number.

    Returns:
        ``yes`` where mean and every seed lie within the bounds, ``no`` where the mean does not, else at how many seeds.
    """
    if not entry.low <= found.value <= entry.high:
        return "**no**"
    seeds = [entry.low <= value <= entry.high for value in found.values]
    return "yes" if all(seeds) else f"**at {sum(seeds)} of {len(seeds)} seeds**"


def _bounds(entry: Expected) -> str:
    """Empty for a number that is told and not judged."""
    judged = np.isfinite([entry.low, entry.high]).any()
    return f"{_end(entry.low)} to {_end(entry.high)}" if judged else ""


def _end(value: float) -> str:
    return number(value, 4) if np.isfinite(value) else "any"


def found_number(entry: Expected, outcomes: Mapping[str, Outcome]) -> Number:
    """Look a number up.

    Args:
        entry: Names it: ``STEP.NAME``, a quotient ``STEP.NAME/STEP.NAME``, or a difference ``STEP.NAME - STEP.NAME``.
        outcomes: What the steps left.

    Returns:
        The number. Quotients and differences are taken seed by seed where both have as many seeds; else they are those
        of the means and carry no spread.

    Raises:
        UsageError: A step has no number of that name; the message lists those that begin alike.
    """
    parts = [_looked_up(name, outcomes) for name in entry.terms]
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    combine = np.subtract if entry.is_difference else np.divide
    with np.errstate(divide="ignore", invalid="ignore"):
        if first.values and len(first.values) == len(second.values):
            return Number.over(combine(first.values, second.values).tolist())
        return Number(float(combine(first.value, second.value)), count=min(first.count, second.count))


def _looked_up(name: str, outcomes: Mapping[str, Outcome]) -> Number:
    step, _, key = name.partition(".")
    numbers = outcomes[step].numbers
    if key not in numbers:
        alike = sorted(n for n in numbers if n.split(".")[0] == key.split(".")[0]) or sorted(numbers)
        raise UsageError(f"step {step!r} has no number {key!r}; it has {', '.join(alike[:20])}")
    return numbers[key]


def _pictures(kept: list[Path]) -> Iterator[str]:
    for path in kept:
        if path.suffix == ".png":
            yield from (f"![{path.stem}]({path.name})", "")
