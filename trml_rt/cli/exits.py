"""End a command with one sentence and the exit code of what went wrong."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from trml_rt.errors import EnvironmentUnfit, TrmlError

__all__ = ["Exits"]

_INTERRUPTED = 130  # as a shell reports a program ended by Ctrl-C


class Exits(click.Command):
    """Turns every error that is raised on purpose into one sentence and its exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command and exit."""
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except TrmlError as error:
            click.echo(f"trml-rt: {error}", err=True)
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("trml-rt: interrupted", err=True)
            code = _INTERRUPTED
        except OSError as error:
            # Of writing the output: whatever a command reads or writes has words of its own.
            click.echo(f"trml-rt: {error.strerror or error}", err=True)
            code = EnvironmentUnfit.exit_code
        sys.exit(code or 0)
