"""A sweep in words: title, finding, table and the facts behind them."""

from __future__ import annotations

from landscape.figures.data import Facts, Table, count, data_words, fact_text, facts, number, percent
from landscape.figures.data_sweep import MOST_BARS, Spread, SweepRow, shown_rows, sweep_rows, word
from landscape.records import Sweep

_CONDITIONS = ("model", "optimizer", "learning_rate", "scheduler", "batch_size", "epochs", "weight_decay", "loss")
_MOST_REASONS = 5
_CAPTION = "Settings by validation accuracy"


def short_names(sweep: Sweep) -> dict[str, str]:
    """Call every key by its last part, unless two keys end alike."""
    keys = [str(key) for key in sweep.recipe.get("keys", [])]
    ends = [key.rpartition(".")[2] for key in keys]
    return {key: (end if ends.count(end) == 1 else key) for key, end in zip(keys, ends, strict=True)}


def sweep_title(sweep: Sweep) -> str:
    """State what was compared.

    Args:
        sweep: The record.

    Returns:
        For instance ``6 settings of net · 4,500 CIFAR-10 training images · 3 seeds``.
    """
    of = f" of {sweep.recipe['model']}" if "model" in sweep.recipe else ""
    settings = count(len(sweep.setting), "setting")
    data = data_words(sweep.recipe["data"]) if "data" in sweep.recipe else "several sets of images"
    return " · ".join([f"{settings}{of}", data, count(len(sweep.seed), "seed")])


def accuracy_text(spread: Spread) -> str:
    """Write an accuracy over seeds in percent: ``56.1 ± 0.4 %``; the mean alone for one seed."""
    if not spread.count:
        return "–"
    if spread.count < 2:
        return percent(spread.mean)
    return f"{100 * spread.mean:.1f} ± {100 * spread.sd:.1f} %"


def _points(spread: Spread) -> str:
    if not spread.count:
        return "–"
    text = f"{100 * spread.mean:+.1f}".replace("-", "−")
    return text if spread.count < 2 else f"{text} ± {100 * spread.sd:.1f}"


def sweep_summary(sweep: Sweep) -> str:
    """Say the finding in numbers, for a terminal, with what must be read with it.

    Args:
        sweep: The record.

    Returns:
        The finding, and what did not end well.
    """
    return " ".join([sweep_finding(sweep), *sweep_notes(sweep)])


def sweep_finding(sweep: Sweep) -> str:
    """Say the finding in numbers.

    Args:
        sweep: The record.

    Returns:
        The best setting, and how far it is from the second and from the baseline.
    """
    rows = [row for row in sweep_rows(sweep) if row.accuracy.count]
    if not rows:
        return "No run is finished."
    best = rows[0]
    said = [
        f"Best of {count(len(rows), 'setting')} by validation accuracy{_held_out(sweep)}: {best.name}, "
        f"{accuracy_text(best.accuracy)}"
    ]
    if len(rows) > 1:
        said.append(f"next {rows[1].name}, {accuracy_text(rows[1].accuracy)}")
    base = next((row for row in rows if row.baseline), None)
    if base is not None and base is not best:
        said.append(f"{_points(best.difference)} points to the baseline {base.name}, {accuracy_text(base.accuracy)}")
    runs = best.accuracy.count
    spread = f"± is the standard deviation over {runs} seeds." if runs > 1 else "One seed: no spread is known."
    return f"{'; '.join(said)}. {spread}"


def _held_out(sweep: Sweep) -> str:
    """Of how many images an accuracy is; nothing where that differs from run to run."""
    images = sweep.recipe.get("validation_examples")
    return f" on {count(int(images), 'held-out image')}" if images else ""


def sweep_notes(sweep: Sweep) -> tuple[str, ...]:
    """Collect what must be read with the numbers.

    Args:
        sweep: The record.

    Returns:
        Sentences: failed, diverged and collapsed runs, and runs that are not done.
    """
    notes = []
    if sweep.failed.any():
        told = [f"{run}: {reason}" for run, reason in list(sweep.reasons.items())[:_MOST_REASONS]]
        more = int(sweep.failed.sum()) - len(told)
        listed = "; ".join(told) + (f"; and {more} more" if more > 0 else "")
        runs = count(int(sweep.failed.sum()), "run")
        notes.append(f"Warning: {runs} failed; the same call tries again. {listed}")
    left = int((~(sweep.done | sweep.failed)).sum())
    if left:
        notes.append(f"{count(left, 'run')} not done yet.")
    for flags, words in ((sweep.diverged, "diverged"), (sweep.collapsed, "collapsed: at chance to the end")):
        if flags.any():
            notes.append(f"Warning: {count(int(flags.sum()), 'run')} {words}.")
    return tuple(notes)


def sweep_conditions(sweep: Sweep) -> tuple[str, ...]:
    """List the conditions that stand beside the figure.

    Args:
        sweep: The record.

    Returns:
        Settings that all runs share, each as one short phrase.
    """
    recipe = sweep.recipe
    seeds = ", ".join(str(int(seed)) for seed in sweep.seed)
    shared = (f"{key.replace('_', ' ')} {fact_text(recipe[key])}" for key in _CONDITIONS if recipe.get(key))
    return (f"seeds {seeds}", *shared)


def sweep_table(sweep: Sweep) -> Table:
    """Tabulate the settings, sorted by validation accuracy.

    Args:
        sweep: The record.

    Returns:
        One row per setting.
    """
    rows, has_base = sweep_rows(sweep), _has_baseline(sweep)
    header = (
        "setting",
        "rank",
        "validation accuracy",
        *(("to baseline [points]",) if has_base else ()),
        "n",
        "at the end",
        "validation loss",
        "training loss",
        "epochs",
        "remarks",
    )
    note = (
        f"Validation accuracy{_held_out(sweep)} is the highest of a run, mean ± standard deviation over n seeds; "
        "losses are those of the last epoch."
    )
    note += " Differences to the baseline are taken seed by seed." if has_base else ""
    return Table(_CAPTION, header, tuple(_cells(row, has_base) for row in rows), words=1, note=note)


def ranking(sweep: Sweep, *, top: int | None = None) -> Table:
    """Tabulate the best settings as narrow as a terminal is.

    Args:
        sweep: The record.
        top: How many; the baseline is there whatever its place. None for all.

    Returns:
        One row per setting.
    """
    rows, has_base = sweep_rows(sweep), _has_baseline(sweep)
    kept = [row for row in rows if top is None or row.rank <= top or row.baseline]
    header = ("setting", "accuracy", *(("to baseline",) if has_base else ()), "n", "loss", "epochs", "remarks")
    cells = []
    for row in kept:
        name, _, accuracy, *middle, _, loss, _, epochs, remarks = _cells(row, has_base)
        cells.append((name, accuracy, *middle, loss, epochs, remarks))
    left_out = f", {len(kept)} of {len(rows)}" if len(kept) < len(rows) else ""
    return Table(f"{_CAPTION}{_held_out(sweep)}{left_out}", header, tuple(cells), words=1)


def _has_baseline(sweep: Sweep) -> bool:
    return sweep.baseline in sweep.setting and len(sweep.setting) > 1


def _cells(row: SweepRow, has_base: bool) -> tuple[str, ...]:
    name = f"{row.name} (baseline)" if row.baseline else row.name
    middle = (("" if row.baseline else _points(row.difference)),) if has_base else ()
    rank = str(row.rank) if row.accuracy.count else "–"
    losses = (number(row.val_loss.mean), number(row.train_loss.mean), number(row.epochs.mean, 3))
    accuracies = (accuracy_text(row.accuracy), *middle, str(row.accuracy.count), accuracy_text(row.last_accuracy))
    return (name, rank, *accuracies, *losses, ", ".join(row.remarks))


def settings_table(sweep: Sweep) -> Table | None:
    """Tabulate the values that set the settings apart.

    Args:
        sweep: The record.

    Returns:
        One row per setting, in the order of the other table; None where their names say everything.
    """
    keys, names = [str(k) for k in sweep.recipe.get("keys", [])], short_names(sweep)
    if not keys or len(sweep.setting) < 2:
        return None
    rows = tuple((row.name, *(word(row.values.get(key)) for key in keys)) for row in sweep_rows(sweep))
    return Table("What sets them apart", ("setting", *(names[key] for key in keys)), rows, words=1)


def sweep_remarks(sweep: Sweep, *, axes: bool) -> tuple[str, ...]:
    """Say how to read the figures.

    Args:
        sweep: The record.
        axes: Whether parallel axes are drawn too.

    Returns:
        Sentences.
    """
    rows = sweep_rows(sweep)
    shown = len(shown_rows(rows))
    said = ["Bars are means over seeds, error bars their standard deviation, dots the single seeds."]
    if sweep.baseline:
        said.append("The dashed line is the baseline.")
    if shown < sum(row.accuracy.count > 0 for row in rows):
        said.append(f"The {MOST_BARS} best settings are drawn; the table has all.")
    if axes:
        said.append("On parallel axes every finished setting is a line, the lighter the more accurate; drag to select.")
    return tuple(said)


def sweep_facts(sweep: Sweep) -> tuple[Facts, ...]:
    """Collect how the runs were made: for the folded block.

    Args:
        sweep: The record.

    Returns:
        Groups of facts; empty groups are left out.
    """
    recipe, provenance = dict(sweep.recipe), dict(sweep.provenance)
    command, data = provenance.pop("command", None), recipe.pop("data", {})
    groups = (
        facts("Shared settings", recipe),
        facts("Data", data),
        facts("Failed runs", sweep.reasons),
        facts("Environment", sweep.environment),
        facts("Origin", {k: v for k, v in provenance.items() if v}),
        Facts("Command that remakes it", (("command", str(command)),) if command else (), code=True),
    )
    return tuple(group for group in groups if group.items)
