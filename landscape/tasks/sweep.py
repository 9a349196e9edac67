"""``landscape sweep``: settings side by side, each over seeds; record, page and picture."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from landscape import figures
from landscape.datasets.options import DataOptions
from landscape.errors import LandscapeError, StorageError, UsageError
from landscape.progress import Report
from landscape.records import Sweep
from landscape.storage import save
from landscape.tasks.places import check_writable
from landscape.tasks.settings import Key, check_keys, known_keys, made
from landscape.training import Failure, SweepConfig, TrainConfig, collect_sweep, train_sweep

DATA_KEYS = known_keys(DataOptions, without=("seed",))
BASE_KEYS = known_keys(TrainConfig, without=("seed", "data", "device", "out"))
_TABLE = Mapping[str, Any]
_LISTS = (
    Key("grid", _TABLE),
    Key("setting", Sequence[_TABLE]),
    Key("seeds", Sequence[int]),
    Key("baseline", _TABLE | None),
)
SWEEP_KEYS = (*BASE_KEYS, *DATA_KEYS, *_LISTS, Key("engine", str))


@dataclass(frozen=True)
class WrittenSweep:
    """What the task left behind.

    Args:
        sweep: The record.
        file: ``sweep.h5``.
        page: ``sweep.html``.
        image: ``sweep.png``.
    """

    sweep: Sweep
    file: Path
    page: Path
    image: Path


def sweep_config(
    settings: Mapping[str, Any], *, where: str, out: Path, device: str = "auto", **fixed: Any
) -> SweepConfig:
    """Make the configuration of a sweep from flat settings, as a TOML file or the command line gives them.

    Args:
        settings: Those of a run (``TrainConfig``, ``DataOptions``), and ``grid`` (lists by key), ``setting`` (a list of
            deviations from the base, each with its ``name``), ``seeds``, ``baseline``, ``engine``.
        where: Where they stand, for messages.
        out: Folder of the sweep.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        **fixed: Further fields of ``SweepConfig``.

    Returns:
        The configuration.

    Raises:
        UsageError: A key is unknown, or a value makes no run.
    """
    check_keys(where, settings, SWEEP_KEYS)
    images = {k: v for k, v in settings.items() if k in DATA_KEYS}
    run = {k: v for k, v in settings.items() if k in BASE_KEYS}
    data = made(DataOptions, images)
    own = {k: settings[k] for k in ("engine", "baseline") if k in settings}
    own["seeds"] = tuple(settings.get("seeds", (0,)))
    try:
        base = made(TrainConfig, run, data=data, out=out, device=device)
        return SweepConfig(base, dict(settings.get("grid", {})), _named(settings.get("setting", ())), **own, **fixed)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _named(entries: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        changes = dict(entry)
        name = str(changes.pop("name", ""))
        if not name or not changes:
            raise UsageError(f"a [[setting]] needs a name and what it changes; got {dict(entry)}")
        if name in found:
            raise UsageError(f"two settings are called {name!r}")
        found[name] = changes
    return found


def read_sweep(file: Path) -> dict[str, Any]:
    """Read the settings of a sweep from a TOML file.

    Args:
        file: The file; keys as ``sweep_config`` takes them.

    Returns:
        The settings.

    Raises:
        StorageError: The file cannot be read.
        UsageError: It holds a key that nothing reads.
    """
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is no TOML: {error}") from error
    check_keys(str(file), found, SWEEP_KEYS)
    return found


def sweep_settings(
    config: SweepConfig, *, command: str = "", standalone: bool = False, progress: Report | None = None
) -> WrittenSweep:
    """Train what is not trained yet, and lay the settings side by side.

    Args:
        config: The sweep, with an output folder.
        command: What the user typed, to be shown on the page.
        standalone: Whether the page carries plotly's script.
        progress: Called with a ``Progress`` over the steps of all runs.

    Returns:
        Record and files.

    Raises:
        UsageError: The configuration has no output folder.
        LandscapeError: Every run failed; the message has the first reason.
    """
    out = config.base.out
    if out is None:
        raise UsageError("a sweep needs a folder to be written to: set out= (--out)")
    check_writable(out)
    results = train_sweep(config, progress=progress)
    failures = [result for result in results if isinstance(result, Failure)]
    if failures and len(failures) == len(results):
        raise LandscapeError(f"every run of the sweep failed; the first because: {failures[0].reason}")
    created = datetime.now(UTC).isoformat(timespec="seconds")
    sweep = replace(collect_sweep(config, results), provenance={"command": command, "created": created})
    save(sweep, out / "sweep.h5")
    page, image = draw_sweep(sweep, out / "sweep.h5", standalone=standalone)
    return WrittenSweep(sweep, out / "sweep.h5", page, image)


def draw_sweep(sweep: Sweep, out: Path, *, standalone: bool = False) -> tuple[Path, Path]:
    """Write the page and the picture of a sweep.

    Args:
        sweep: The record.
        out: Page and picture are written beside it, under its stem.
        standalone: Whether the page carries plotly's script.

    Returns:
        Page and picture.
    """
    section = figures.sweep_section(sweep)
    page = figures.write_page(out.with_suffix(".html"), section, title=section.title, standalone=standalone)
    return page, figures.write_sweep_png(out.with_suffix(".png"), sweep)
