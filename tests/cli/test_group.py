"""How commands end."""

import click
import pytest
from click.testing import CliRunner

from landscape.cli.group import Group
from landscape.errors import CheckpointError, MissingExtraError, UsageError


def ends(error, *words, value=None):
    """Run a command that raises ``error`` or returns ``value``."""

    @click.group(cls=Group)
    def top():
        """Stand in for the real one."""

    @top.command()
    @click.option("--debug", is_flag=True, expose_value=False)
    @click.option("--number", type=int)
    def go(number):
        """Do it."""
        click.echo("a result")
        if error is not None:
            raise error
        return value

    return CliRunner().invoke(top, ["go", *words])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("there is no such thing.\n  Write another."), 2),
        (CheckpointError("there is no such thing.\n\nWrite another."), 1),
        (MissingExtraError("there is no such thing. Write another."), 1),
        (click.ClickException("there is no such thing. Write another."), 1),
    ],
)
def test_an_error_is_one_paragraph_on_standard_error(error, code):
    result = ends(error)
    assert result.exit_code == code
    assert result.stderr == "Error: there is no such thing. Write another.\n"
    assert result.stdout == "a result\n"


def test_an_unforeseen_error_says_how_to_see_more():
    result = ends(ZeroDivisionError("division by zero."))
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: unexpected ZeroDivisionError: division by zero. Give the command again with --debug to see where it "
        "arose.\n"
    )


@pytest.mark.parametrize("error", [CheckpointError("no"), UsageError("no"), ZeroDivisionError("no")])
def test_debug_adds_the_traceback(error):
    result = ends(error, "--debug")
    assert result.exit_code == (2 if isinstance(error, UsageError) else 1)
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert "\nError: " in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--number", "x"), "Error: Invalid value for '--number': 'x' is not a valid integer. See 'top go --help'.\n"),
        (("--what",), "Error: No such option '--what'. See 'top go --help'.\n"),
        (("more",), "Error: Got unexpected extra argument (more). See 'top go --help'.\n"),
    ],
)
def test_usage_errors_are_one_paragraph_too(words, text):
    result = ends(None, *words)
    assert result.exit_code == 2
    assert result.stderr.replace("option: --what", "option '--what'") == text
    assert result.stdout == ""


def test_a_stopped_command_says_how_to_continue():
    result = ends(KeyboardInterrupt())
    assert result.exit_code == 130
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Stopped. ")
    assert "the same command again to continue" in last


@pytest.mark.parametrize(("value", "code"), [(None, 0), (0, 0), (1, 1)])
def test_a_command_may_return_its_exit_code(value, code):
    assert ends(None, value=value).exit_code == code


def test_an_unknown_command_names_the_nearest(refused):
    assert refused(2, "surfaces", says=["surfaces", "'surface'"]).endswith("See 'landscape --help'.")
