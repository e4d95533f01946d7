"""End a command with one sentence and the exit code of what went wrong.

Of OSErrors only those are caught here that stand for a full disk, a closed pipe on standard output,
or a file that is named. Any other one ends in a traceback, which always means a bug.
"""

from __future__ import annotations

import errno
import os
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
            where = error.filename
            if where is None:
                if error.errno not in (errno.EPIPE, errno.ENOSPC):
                    raise
                where = "standard output"
            click.echo(f"trml-rt: {os.fspath(where)}: {error.strerror}", err=True)
            code = EnvironmentUnfit.exit_code
        sys.exit(code or 0)
