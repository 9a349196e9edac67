"""``landscape smoothness``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from landscape.cli.options import FILE, command_line, data_options, machine_options, output_options, take
from landscape.cli.progress import shown
from landscape.cli.training import network_options, take_images, take_network, training_option
from landscape.cli.types import CommaList, Layer, Positive
from landscape.progress import Progress

if TYPE_CHECKING:
    from landscape.tasks.smoothness import WrittenSmoothness

_STEPS, _LAYERS, _RATE, _DEEP_LINEAR_RATE = 15_000, (5, 10), 0.1, 1e-6  # the paper's
DEEP_LINEAR = {"dln", "dln_bn"}
_OF_VECTORS = {"learning_rate", "steps", "every", "multiples", "step_sizes", "init", "device"}


@click.command(short_help="Train networks and probe them along the gradient.")
@click.option(
    "--models", type=CommaList(click.STRING, distinct=True), default="vgg,vgg_bn", show_default=True, help="Networks."
)
@click.option(
    "--lr", "learning_rate", type=Positive(), help="Learning rate of the training.  [default: 0.1; 1e-6 for dln]"
)
@training_option("optimizer", default="sgd")
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help=f"Training steps, rounded up to whole epochs.  [default: {_STEPS} without --epochs; 10000 for dln]",
)
@training_option("epochs", default=None, help="Passes over the training part, in place of --steps.")
@training_option("batch_size")
@training_option("weight_decay", default=0.0)
@training_option("seeds", help="Seeds; the spread is over them.")
@click.option(
    "--every", type=click.IntRange(min=1), default=100, show_default=True, help="Steps from one probe to the next."
)
@click.option(
    "--multiples",
    type=CommaList(Positive()),
    help="Step sizes of a probe, as multiples of the learning rate.  [default: 0.5,1,2,4; .01 to 31.6 for dln]",
)
@click.option("--step-sizes", type=CommaList(Positive()), help="The step sizes themselves, in place of --multiples.")
@click.option("--ics", is_flag=True, help="Measure the internal covariate shift too.")
@click.option(
    "--layers",
    type=CommaList(Layer()),
    help="Its layers: positions from 1, or names of modules; says --ics too.  [default: those of 5,10 that there are]",
)
@network_options(init="xavier")
@data_options(limit=None, settle=True)
@machine_options
@training_option("tensorboard")
@click.option(
    "--out",
    type=FILE,
    default=Path("results/smoothness"),
    show_default=True,
    help="Folder for runs, checkpoints, traces and the page.",
)
@output_options
def smoothness(out: Path, quiet: bool, standalone: bool, **options: Any) -> None:
    """Train networks and measure, on the way, how loss and gradient change along the gradient.

    At every probe, on the step's own mini-batch: the range of the loss over several step sizes, gradient
    predictiveness and beta_smoothness, and with --ics the internal covariate shift. The defaults are the protocol of
    Santurkar et al. 2018, whose curves are drawn dashed beside runs that were made under it.

    The training is the same as without probes. Finished runs are never trained again. Stop it with Ctrl-C; the same
    command continues at the last epoch.

    dln and dln_bn are the paper's deep linear networks: regression on vectors, in full batches, without images.

    \b
        landscape smoothness --models vgg,vgg_bn --ics
        landscape smoothness --models dln,dln_bn --seeds 0,1,2
        landscape smoothness --models vgg_light,vgg_light_bn --limit 5000 --epochs 5 --every 10 --seeds 0,1
    """  # noqa: D301 - for click, a real backspace
    chosen = options.pop("layers") or (_LAYERS if options["ics"] else ())
    options = {name: value for name, value in options.items() if name != "ics" and value is not None}
    run = _deep_linear if DEEP_LINEAR & set(options["models"]) else _on_images
    run(out, chosen, options, quiet=quiet, standalone=standalone)


def _on_images(
    out: Path, layers: tuple[int | str, ...], options: dict[str, Any], *, quiet: bool, standalone: bool
) -> None:
    from landscape.tasks.smoothness import SmoothnessConfig, smoothness_from_training
    from landscape.training import TrainConfig

    if "steps" in options and "epochs" in options:
        raise click.UsageError("--steps and --epochs both say how long to train; give one of them")
    if "multiples" in options and "step_sizes" in options:
        raise click.UsageError("--multiples and --step-sizes both say where to probe; give one of them")
    steps = options.pop("steps", None if "epochs" in options else _STEPS)
    data, network = take_images(options), take_network(options)
    probes = take(options, "models", "seeds", "every", "multiples", "step_sizes")
    rate = options.pop("learning_rate", _RATE)
    shared = TrainConfig(data=data, model_options=network, out=out, learning_rate=rate, **options)
    config = SmoothnessConfig(shared=shared, steps=steps, layers=layers, fewer_layers=layers is _LAYERS, **probes)

    def images(first: Progress) -> int:
        """Without --limit the number of images shows in the number of steps."""
        each = first.total / len(config.models) / len(config.seeds) / shared.epochs
        return data.limit or round(each * shared.batch_size / (1 - shared.validation))

    with shown(quiet, limit=images if steps is None else None) as progress:  # fewer images do not make fewer steps
        written = smoothness_from_training(
            config,
            command=command_line(),
            standalone=standalone,
            progress=progress,
            say=None if quiet else partial(click.echo, err=True),
        )
    _tell(written, quiet)


def _deep_linear(
    out: Path, layers: tuple[int | str, ...], options: dict[str, Any], *, quiet: bool, standalone: bool
) -> None:
    from landscape.smoothness.deep_linear import DeepLinearConfig
    from landscape.tasks.deep_linear import smoothness_of_deep_linear

    models, seeds = options.pop("models"), options.pop("seeds")
    others = [name for name in models if name not in DEEP_LINEAR]
    if others:
        raise click.UsageError(
            f"{others[0]} is trained on images and dln on vectors, at other learning rates; give them in two calls"
        )
    asked = click.get_current_context().get_parameter_source
    foreign = [name for name in options if name not in _OF_VECTORS and asked(name) is ParameterSource.COMMANDLINE]
    if foreign:
        raise click.UsageError(
            f"{_flag(foreign[0])} is for networks on images; dln is trained on vectors, in full batches"
        )
    settings = take(options, *(_OF_VECTORS - {"multiples"}))
    if "multiples" in options and "step_sizes" not in settings:
        rate = settings.get("learning_rate", _DEEP_LINEAR_RATE)
        settings["step_sizes"] = tuple(m * rate for m in options["multiples"])
    runs = [DeepLinearConfig(model=m, seed=s, layers=layers, **settings) for m in models for s in seeds]
    with shown(quiet) as progress:
        written = smoothness_of_deep_linear(runs, out, command=command_line(), standalone=standalone, progress=progress)
    _tell(written, quiet)


def _flag(name: str) -> str:
    command = click.get_current_context().command
    return next(option.opts[0] for option in command.params if option.name == name)


def _tell(written: WrittenSmoothness, quiet: bool) -> None:
    from landscape import figures
    from landscape.cli.tables import show

    if not quiet:
        click.echo(figures.smoothness_summary(written.traces))
        tables = figures.smoothness_tables(written.traces)
        for table in tables[:-1] or tables:  # the values of single networks are on the page, where there are ratios
            show(table)
    for path in (*written.files, written.image, written.page):
        click.echo(path)
