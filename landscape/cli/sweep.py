"""``landscape sweep``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from landscape.cli.options import FILE, command_line, data_options, engine_option, machine_options, output_options
from landscape.cli.progress import shown
from landscape.cli.tables import show
from landscape.cli.train import network_shorts, run_options
from landscape.cli.types import CommaList, GridValues, Part, Settings


@click.command(short_help="Train a grid of settings; table, bars, parallel axes.")
@click.option(
    "--grid",
    type=GridValues(),
    multiple=True,
    help="Values of an option of `landscape train`; repeat for more. Every combination is a setting.",
)
@click.option("--file", type=FILE, help="A TOML file with the same keys; options that are typed replace its own.")
@click.option(
    "--seeds", type=CommaList(click.INT, distinct=True), help="Seeds; every setting has all of them.  [default: --seed]"
)
@click.option(
    "--baseline",
    type=Settings(),
    help="Compare with this setting, or with base: the options as given.  [default: as given, if the grid has that]",
)
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Print the best N only.  [default: all]")
@click.option("--shard", type=Part(), default="1/1", show_default=True, help="Train part i of n only.")
@run_options
@data_options(limit=None, settle=True)
@machine_options
@engine_option
@click.option("--tensorboard", type=FILE, metavar="DIR", help="Log scalars there, a setting a folder.")
@click.option("--out", type=FILE, help="Folder for runs, checkpoints, table.  [default: results/sweeps/<model>]")
@output_options
def sweep(
    *,
    file: Path | None,
    baseline: dict[str, Any] | None,
    top: int | None,
    shard: tuple[int, int],
    device: str,
    out: Path | None,
    quiet: bool,
    standalone: bool,
    **options: Any,
) -> None:
    """Train every combination of some settings and lay them side by side.

    The options of `landscape train` are the base, and keys of --grid: model, lr, epochs, batch_size, optimizer,
    weight_decay, loss, scheduler, grad_clip, early_stop, augment, val_every, validation, precision, dataset, limit,
    normalization, image_size, channels, data.seed, activation, model_options.NAME, scheduler_options.NAME. Every
    setting is trained with all --seeds; the table is sorted by the mean of the highest validation accuracy. Finished
    runs are never trained again, one that fails does not stop the others and is tried again by the next call. Stop it
    with Ctrl-C; the same command continues.

    \b
        landscape sweep --model net --grid batch_size=64,128,512 --grid lr=1e-3,3e-3 --seeds 0,1,2
        landscape sweep --model cifar10net --grid activation=relu,tanh,sigmoid --baseline activation=relu --top 5
        landscape sweep --file sweep.toml --engine processes
    """  # noqa: D301 - for click, a real backspace
    from landscape import figures
    from landscape.tasks.sweep import read_sweep, sweep_config, sweep_settings

    settings: dict[str, Any] = {} if file is None else read_sweep(file)
    settings = _settings(settings, {k: v for k, v in options.items() if file is None or _is_typed(k)})
    if baseline is not None:
        settings["baseline"] = baseline
    _check(settings)
    out = out or Path("results/sweeps") / str(settings["model"]).replace(":", ".")
    where = "sweep" if file is None else str(file)
    config = sweep_config(settings, where=where, out=out, device=device, shard=shard)
    with shown(quiet, limit=config.base.data.limit) as progress:
        written = sweep_settings(config, command=command_line(), standalone=standalone, progress=progress)
    if not quiet:
        show(figures.ranking(written.sweep, top=top))
        click.echo(figures.sweep_summary(written.sweep))
    for path in (written.file, written.image, written.page):
        click.echo(path)
    if written.sweep.failed.any():
        click.get_current_context().exit(1)


def _is_typed(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is not click.core.ParameterSource.DEFAULT


def _check(settings: Mapping[str, Any]) -> None:
    if "model" not in settings:
        raise click.UsageError("which network? Give --model NAME, or --file with a model")
    if not settings.keys() & {"grid", "setting", "baseline"} and len(settings.get("seeds", ())) < 2:
        raise click.UsageError("nothing to compare: give --grid KEY=VALUE,VALUE, several --seeds, or --file")


def _settings(before: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Flat settings, as a file has them, from options; they replace those that were there before."""
    found = {k: v for k, v in options.items() if v is not None and v != ()}
    network = dict(found.pop("model_options", ())) | network_shorts(found)
    seed = found.pop("seed", None)
    if seed is not None and "seeds" not in found:
        found["seeds"] = (seed,)
    settings = {**before, **found}
    for name, own in (("model_options", network), ("scheduler_options", found.get("scheduler_options", ()))):
        settings[name] = {**before.get(name, {}), **dict(own)}
    if "grid" in found:
        settings["grid"] = {**before.get("grid", {}), **dict(found["grid"])}
    return settings


next(p for p in sweep.params if p.name == "model").required = False  # a file may name it
