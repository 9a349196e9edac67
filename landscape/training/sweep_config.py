"""What a sweep trains: a base run, named deviations from it, a grid of settings, each with several seeds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from landscape import engines, models
from landscape.errors import LandscapeError, UsageError
from landscape.training.changes import changed, flat, short_key, slug, text
from landscape.training.config import TrainConfig

BASE = "base"


@dataclass(frozen=True)
class Setting:
    """One setting of a sweep.

    Args:
        name: Its name, and that of its folder.
        changes: Where it differs from the base, by full key.
    """

    name: str
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class SweepConfig:
    """Settings to compare. With neither grid nor named settings it is the base alone, over its seeds.

    Args:
        base: Settings that all runs share. Its seed is replaced; every setting has its own folder below its ``out``.
        grid: Values by key; every combination is a setting. Keys are those of ``landscape.training.changes``: fields
            of ``TrainConfig``, ``model_options.activation``, ``data.limit``, or short ones as ``lr``.
        named: Single deviations from the base by name, as values by key. The base is then a setting too, ``base``.
        seeds: Seeds; every setting has all of them.
        baseline: The setting that others are compared with, as values by key; trained also where the grid does not
            hold it. An empty mapping is the base. None takes the setting equal to the base, if there is one.
        engine: Where runs are executed: ``serial``, ``processes`` or ``processes:N``.
        shard: Part and number of parts: ``(2, 4)`` trains every fourth run, from the second.

    Raises:
        UsageError: A key does not exist, a list is empty or holds something twice, or a setting makes no run.
    """

    base: TrainConfig
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    baseline: Mapping[str, Any] | None = None
    engine: str = "serial"
    shard: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        """Check names and lists, and make every run once."""
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"a sweep needs at least one seed and none twice; got {self.seeds}")
        part, parts = self.shard
        if not 1 <= part <= parts:
            raise UsageError(f"a part is written i/n with i from 1 to n; got {part}/{parts}")
        engines.get(self.engine)
        for name in self.named:
            if name == BASE or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
                raise UsageError(
                    f"the name of a setting is letters, digits, '.', '-' and '_', and not {BASE!r}; got {name!r}"
                )
        names = [setting.name.lower() for setting in self.settings]  # some file systems know no capitals
        if len(set(names)) < len(names):
            raise UsageError(f"two settings would share the folder {max(names, key=names.count)!r}")
        self.runs()

    def _combinations(self) -> list[dict[str, Any]]:
        if not self.grid:
            return []
        values = {}
        for key, given in self.grid.items():
            found = [flat({key: value}) for value in _listed(key, given)]
            words = [text(value) for one in found for value in one.values()]
            if not found or len(set(words)) < len(words):
                raise UsageError(
                    f"grid: {key} needs at least one value and none twice; got {', '.join(words) or 'none'}"
                )
            full = next(iter(found[0]))
            if full in values:
                raise UsageError(f"grid: {key} is there twice, also under its other spelling")
            values[full] = [one[full] for one in found]
        return [flat(dict(zip(values, chosen, strict=True))) for chosen in itertools.product(*values.values())]

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The base and its named deviations, the grid, and the baseline where it is another one, as trained."""
        found = [Setting(BASE, {})] if self.named or not self.grid else []
        found += [Setting(name, flat(changes)) for name, changes in self.named.items()]
        found += [Setting(slug(changes), changes) for changes in self._combinations()]
        if self.baseline is not None and self._like(found, self.baseline) is None:
            found.append(Setting(slug(flat(self.baseline)) or BASE, flat(self.baseline)))
        return tuple(found)

    def _like(self, settings: Sequence[Setting], changes: Mapping[str, Any]) -> Setting | None:
        wanted = self._applied(Setting("baseline", flat(changes)))
        return next((s for s in settings if self._applied(s) == wanted), None)

    def _applied(self, setting: Setting) -> TrainConfig:
        try:
            config = changed(self.base, setting.changes)
            models.check_options(config.model, config.model_options)
        except LandscapeError as error:
            raise UsageError(f"setting {setting.name}: {error}") from error
        return config

    @property
    def baseline_name(self) -> str:
        """Name of the setting that the others are compared with; empty where there is none."""
        found = self._like(self.settings, self.baseline or {})
        return "" if found is None else found.name

    @property
    def keys(self) -> tuple[str, ...]:
        """What differs between settings: full keys, in the order of the fields."""
        every = {key: value for setting in self.settings for key, value in setting.changes.items()}
        return tuple(flat(every))

    def runs(self) -> list[TrainConfig]:
        """List the runs, setting by setting, then seed by seed.

        Returns:
            One configuration per run; whatever ``shard`` says, all of them.
        """
        return [self._run(setting, seed) for setting in self.settings for seed in self.seeds]

    def _run(self, setting: Setting, seed: int) -> TrainConfig:
        def below(folder: Path | None) -> Path | None:
            return None if folder is None else folder / setting.name

        return replace(
            self._applied(setting), seed=seed, out=below(self.base.out), tensorboard=below(self.base.tensorboard)
        )

    def label(self, run: int) -> str:
        """Name a run.

        Args:
            run: Its place among ``runs()``.

        Returns:
            ``<setting> seed <seed>``.
        """
        setting, seed = divmod(run, len(self.seeds))
        return f"{self.settings[setting].name} seed {self.seeds[seed]}"

    def mine(self) -> list[int]:
        """Return the places, among ``runs()``, of the runs of this part."""
        part, parts = self.shard
        return list(range(part - 1, len(self.settings) * len(self.seeds), parts))


def _listed(key: str, given: Any) -> Sequence[Any]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise UsageError(f"grid: {short_key(key)} needs a list of values; got {given!r}")
    return given
