"""End a command with one sentence and the exit code of what went wrong.

A command that was to print JSON says the same in one JSON object, unless its document is out.

Of OSErrors two kinds are caught here. One is raised while a command prints: standard output is on
a full disk, say. The other names its file. Any other OSError ends in a traceback, and a traceback
always means a bug. A reader of the output that goes away is no error of ours: click then ends the
command with code 1 and without a word.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from trml_rt.cli.printing import Printed, print_json, printable_lines
from trml_rt.errors import EnvironmentUnfit, TrmlError, UsageError, was_interrupted

__all__ = ["Exits", "ended_by_sigterm", "interrupted_once"]

_INTERRUPTED = 130  # as a shell reports a program ended by Ctrl-C
_SAME = 3.0  # seconds in which another Ctrl-C says nothing new, and must not stop a cleaning up

_last_interrupt = -math.inf


class Exits(click.Command):
    """Turns every error that is raised on purpose into one sentence and its exit code."""

    def main(self, args: Sequence[str] | None = None, **kwargs: Any) -> NoReturn:  # type: ignore[override]
        """Run the command and exit."""
        words = list(sys.argv[1:] if args is None else args)
        printed = Printed()
        try:
            code = super().main(args, **{"obj": printed, **kwargs, "standalone_mode": False})
        except (Exception, KeyboardInterrupt) as error:
            fault = _fault(error)
            if fault is None:
                raise
            fault.say()
            if not printed.json and _asks_for_json(words):
                fault.print_json()
            code = fault.code
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


@contextlib.contextmanager
def ended_by_sigterm(end: Callable[[], object]) -> Iterator[None]:
    """Let SIGTERM call `end`: what was taken is answered, and the command ends as if all was."""
    before = signal.signal(signal.SIGTERM, lambda *_: end())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    global _last_interrupt
    earlier, _last_interrupt = _last_interrupt, time.monotonic()
    if _last_interrupt - earlier > _SAME:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class _Fault:
    """How a command ended that did not do its work."""

    code: int
    kind: str
    message: str
    reason: str | None = None
    parsing: click.ClickException | None = None
    """What click raised; it shows itself, with the usage of the command."""

    def say(self) -> None:
        """Write one sentence to standard error."""
        if self.parsing is not None:
            self.parsing.show()
        else:
            click.echo(f"trml-rt: {printable_lines(self.message)}", err=True)

    def print_json(self) -> None:
        """Print the same for programs, on one line; who cannot be told is no new error."""
        content = {"code": self.code, "kind": self.kind, "message": self.message}
        if self.reason is not None:
            content["reason"] = self.reason
        with contextlib.suppress(OSError, EnvironmentUnfit):
            print_json({"error": content}, on_one_line=True)


def _fault(error: BaseException) -> _Fault | None:
    """Return what went wrong; None means a bug."""
    # What interrupts an import may come out of it as another error, of which nothing tells that.
    just_now = time.monotonic() - _last_interrupt < _SAME
    if isinstance(error, click.Abort | KeyboardInterrupt) or was_interrupted(error) or just_now:
        return _Fault(_INTERRUPTED, KeyboardInterrupt.__name__, "interrupted")
    if isinstance(error, click.ClickException):
        return _Fault(error.exit_code, UsageError.__name__, error.format_message(), parsing=error)
    if isinstance(error, TrmlError):
        reason = getattr(error, "reason", None)
        return _Fault(error.exit_code, type(error).__name__, str(error), reason)
    if isinstance(error, MemoryError):
        words = "memory ran out; close other programs, or raise the limits of this process"
        return _Fault(EnvironmentUnfit.exit_code, EnvironmentUnfit.__name__, words)
    if isinstance(error, OSError):
        if _printing(error):
            place = "standard output"
        elif isinstance(error.filename, (str, os.PathLike)):
            place = os.fspath(error.filename)
        else:
            return None
        kind = UsageError if error.errno == errno.ENAMETOOLONG else EnvironmentUnfit
        return _Fault(kind.exit_code, kind.__name__, f"{place}: {error.strerror}")
    return None


def _asks_for_json(words: list[str]) -> bool:
    """Say whether the command line has --json; it may be one that cannot be parsed."""
    options = words[: words.index("--")] if "--" in words else words
    return not {"--json", "--jsonl"}.isdisjoint(options)


def _printing(error: OSError) -> bool:
    """Say whether `error` was raised in `click.echo`, through which every command prints."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is click.echo.__code__ for frame, _ in frames)
