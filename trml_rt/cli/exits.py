"""End a command with one sentence and the exit code of what went wrong.

Of OSErrors two kinds are caught here. One is raised while a command prints: standard output is on
a full disk, say. The other names its file. Any other OSError ends in a traceback, and a traceback
always means a bug. A reader of the output that goes away is no error of ours: click then ends the
command with code 1 and without a word.
"""

from __future__ import annotations

import os
import sys
import traceback
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
            if _printing(error):
                place = "standard output"
            elif isinstance(error.filename, (str, os.PathLike)):
                place = os.fspath(error.filename)
            else:
                raise
            click.echo(f"trml-rt: {place}: {error.strerror}", err=True)
            code = EnvironmentUnfit.exit_code
        sys.exit(code or 0)


def _printing(error: OSError) -> bool:
    """Say whether `error` was raised in `click.echo`, through which every command prints."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is click.echo.__code__ for frame, _ in frames)
