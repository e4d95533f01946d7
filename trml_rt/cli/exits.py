"""End a command with one sentence and the exit code of what went wrong.

Of OSErrors two kinds are caught here. One is raised while a command prints: standard output is on
a full disk, say. The other names its file. Any other OSError ends in a traceback, and a traceback
always means a bug. A reader of the output that goes away is no error of ours: click then ends the
command with code 1 and without a word.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from trml_rt.cli.printing import printable, printable_lines
from trml_rt.errors import EnvironmentUnfit, TrmlError, was_interrupted

__all__ = ["Exits", "interrupted_once"]

_INTERRUPTED = 130  # as a shell reports a program ended by Ctrl-C
_SAME = 3.0  # seconds in which another Ctrl-C says nothing new, and must not stop a cleaning up

_last_interrupt = -math.inf


class Exits(click.Command):
    """Turns every error that is raised on purpose into one sentence and its exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command and exit."""
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except (Exception, KeyboardInterrupt) as error:
            code = _say(error)
            if code is None:
                raise
        sys.exit(code or 0)


@contextlib.contextmanager
def interrupted_once() -> Iterator[None]:
    """Let several Ctrl-C in a row interrupt the program once; at its end they end it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as `nohup` and `&` in a script have it
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interrupt(*_: object) -> None:
    global _last_interrupt
    earlier, _last_interrupt = _last_interrupt, time.monotonic()
    if _last_interrupt - earlier > _SAME:
        raise KeyboardInterrupt


def _say(error: BaseException) -> int | None:
    """Say what went wrong in one sentence, and return its exit code; None means a bug."""
    # What interrupts an import may come out of it as another error, of which nothing tells that.
    just_now = time.monotonic() - _last_interrupt < _SAME
    if isinstance(error, click.Abort | KeyboardInterrupt) or was_interrupted(error) or just_now:
        click.echo("trml-rt: interrupted", err=True)
        return _INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, TrmlError):
        click.echo(f"trml-rt: {printable_lines(str(error))}", err=True)
        return error.exit_code
    if isinstance(error, OSError):
        if _printing(error):
            place = "standard output"
        elif isinstance(error.filename, (str, os.PathLike)):
            place = os.fspath(error.filename)
        else:
            return None
        click.echo(f"trml-rt: {printable(place)}: {error.strerror}", err=True)
        return EnvironmentUnfit.exit_code
    return None


def _printing(error: OSError) -> bool:
    """Say whether `error` was raised in `click.echo`, through which every command prints."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is click.echo.__code__ for frame, _ in frames)
