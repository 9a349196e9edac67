"""Every command explains itself."""

import re

import click
import pytest

from landscape import __version__
from landscape.cli import main

COMMANDS = (
    "check",
    "demo",
    "evaluate",
    "info",
    "plot",
    "run",
    "smoothness",
    "surface",
    "sweep",
    "train",
    "train-variants",
)


def test_the_commands_are_those_that_the_manual_names():
    assert tuple(sorted(main.commands)) == COMMANDS


@pytest.mark.parametrize("words", [("--help",), ("-h",), ()])
def test_the_top_level_help_lists_commands_and_examples(landscape, words):
    shown = landscape(*words).stdout
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", shown, re.M)
    assert "\n      landscape demo\n      landscape train-variants --lrs 1e-4,5e-4,1e-3,3e-3\n" in shown
    assert "..." not in shown.split("Commands:")[1], "a summary was cut off"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_an_example_on_a_line_of_its_own(landscape, name):
    shown = landscape(name, "--help").stdout
    assert shown.startswith(f"Usage: landscape {name} ")
    assert re.search(rf"^ +landscape {name}( |$)", shown, re.M)
    assert "\\b" not in shown
    assert landscape(name, "-h").stdout == shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name):
    for parameter in main.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"


def test_every_command_can_be_quiet_and_debugged():
    for command in main.commands.values():
        assert {"--quiet", "--debug"} <= {flag for p in command.params for flag in p.opts}


def test_version(landscape):
    assert landscape("--version").stdout.strip() == f"landscape, version {__version__}"


def test_spellings_that_scripts_rely_on():
    commands = main.commands.items()
    spelled = {name: {o for p in command.params for o in p.opts + p.secondary_opts} for name, command in commands}
    data = {"--dataset", "--data-root", "--download", "--limit", "--image-size", "--channels", "--normalization"}
    machine = {"--device", "--precision"}
    planes = {"--ckpt", "--pairs", "--bn", "--seed", "--normalize", "--no-orthogonal", "--model", "--model-option"}
    assert data | machine | planes <= spelled["check"]
    measuring = {"--points", "--radius", "--sampling", "--rtol", "--out", "--engine", "--split", "--standalone"}
    assert data | machine | planes | measuring <= spelled["surface"]
    training = {"--lrs", "--variants", "--epochs", "--batch-size", "--optimizer", "--weight-decay", "--seeds", "--init"}
    assert data | machine | training | {"--bn-placement", "--no-conv-bias", "--out"} <= spelled["train-variants"]
    probing = {"--models", "--lr", "--every", "--multiples", "--step-sizes", "--ics", "--layers", "--steps", "--out"}
    assert data | machine | probing | training - {"--lrs", "--variants"} <= spelled["smoothness"]
    assert {"--format", "--out"} <= spelled["plot"]
