"""What `trml-rt stream` shows on a terminal, and what it reads from standard input."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from trml_rt.cli.printing import printable
from trml_rt.errors import UsageError

if TYPE_CHECKING:
    from trml_rt.stream.answer import StreamAnswer, StreamEvent, Totals

__all__ = ["LiveLine", "lines_of_standard_input"]

_PAUSE = 0.1  # second between two lines: a terminal shows the newest answer, not each
_CHUNK = 1 << 16
_ERASE = "\r\x1b[K"


class LiveLine:
    """One line of a terminal that changes with the answers; events stay above it."""

    def __init__(self) -> None:
        self._shown_at = 0.0
        self._line = ""

    def answer(self, answer: StreamAnswer) -> None:
        """Show an answer, unless one was shown just now."""
        missing = [
            f"{name} virtual ({report.reason})"
            for name, report in answer.inputs.items()
            if report.state == "virtual"
        ]
        words = [f"{answer.t:9.2f} s", str(answer), f"{answer.age_ms:.0f} ms old", *missing]
        if answer.text is not None:
            words.append(f'"{answer.text}"')
        self._line = printable("  ".join(words))
        if time.monotonic() - self._shown_at >= _PAUSE:
            self._draw()

    def event(self, event: StreamEvent) -> None:
        """Show an event on a line of its own."""
        words: list[str] = [event.input, event.state]
        words += [f"({event.reason})"] if event.reason is not None else []
        words += [event.message] if event.message else []
        click.echo(f"{_ERASE}{printable(' '.join(words))}", color=True)

    def end(self, totals: Totals) -> None:
        """Show the last answer, and the sum of frames."""
        if self._line:
            self._draw()
            click.echo()
        dropped = ", ".join(f"{count} {cause}" for cause, count in totals.dropped.items())
        click.echo(
            f"{totals.seen} frames: {totals.answered} answered, "
            f"{sum(totals.dropped.values())} dropped{f' ({dropped})' if dropped else ''}"
        )
        if totals.refused_texts:
            click.echo(f"{totals.refused_texts} texts could not be read")

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1
        click.echo(f"{_ERASE}{self._line[:width]}", nl=False, color=True)
        self._shown_at = time.monotonic()


def lines_of_standard_input() -> Iterator[bytes]:
    """Return the lines that come on standard input, each as soon as it is there.

    Of a line that is too long, there is as much as shows that.

    Raises:
        UsageError: standard input is closed.
    """
    if sys.stdin is None:
        raise UsageError("--text -: standard input is closed; name a file")
    # Not sys.stdin: a thread that waits in it would be in the way of the program's end.
    return _lines(sys.stdin.fileno())


def _lines(descriptor: int) -> Iterator[bytes]:
    from trml_rt.stream.pull import LONGEST

    rest = b""
    while chunk := os.read(descriptor, _CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        rest = rest[: LONGEST + 1]
    if rest:
        yield rest
