"""The command ``landscape``. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import os

import click

from landscape._version import __version__
from landscape.cli.evaluate import evaluate
from landscape.cli.files import info, plot
from landscape.cli.group import Group
from landscape.cli.run import run
from landscape.cli.smoothness import smoothness
from landscape.cli.surface import check, surface
from landscape.cli.sweep import sweep
from landscape.cli.train import train
from landscape.cli.variants import demo, train_variants

# torch is not loaded yet: the threads of an operation sleep while they wait, not spin (docs/decisions/0005)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="landscape")
def main() -> None:
    """Loss landscapes and BatchNorm analysis, with numbers that can be trusted.

    \b
        landscape demo
        landscape train-variants --lrs 1e-4,5e-4,1e-3,3e-3
        landscape surface --ckpt vgg_bn.pth --pairs 4
    """  # noqa: D301 - for click, a real backspace


for _command in (demo, train, train_variants, sweep, smoothness, evaluate, surface, check, run, plot, info):
    main.add_command(_command)
