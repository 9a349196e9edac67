"""How commands end: errors as one paragraph on standard error, exit code 2 for usage and 1 for the rest."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import click

from landscape.errors import LandscapeError, UsageError

_STOPPED = "Stopped. What is finished is on disk; give the same command again to continue."


class Group(click.Group):
    """The top command. It turns errors into messages, once for all commands."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and exit with 0, 1, 2 or 130."""
        given = kwargs.pop("args", None) if not args else args[0]
        argv = list(sys.argv[1:] if given is None else given) or ["--help"]  # a bare `landscape` asks what there is
        try:
            result = super().main(argv, *args[1:], **kwargs | {"standalone_mode": False})
        except click.exceptions.Exit as stop:
            sys.exit(stop.exit_code)
        except click.UsageError as error:
            _tell(_usage(error), 2)
        except click.ClickException as error:
            _tell(error.format_message(), error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _tell(_STOPPED, 130, label="")
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads; say nothing more
            sys.exit(1)
        except Exception as error:
            if "--debug" in argv:
                traceback.print_exc()
            _tell(_words(error), 2 if isinstance(error, UsageError) else 1)
        sys.exit(result if isinstance(result, int) else 0)


def _usage(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else "landscape"
    message = error.format_message()
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See '{command} --help'."


def _words(error: Exception) -> str:
    if isinstance(error, LandscapeError):
        return str(error)
    said = str(error).rstrip(".")
    return f"unexpected {type(error).__name__}: {said}. Give the command again with --debug to see where it arose."


def _tell(message: str, code: int, *, label: str = "Error: ") -> None:
    click.echo(f"{label}{' '.join(message.split())}", err=True)
    sys.exit(code)
