"""Show what the packages log on standard error: how far long work is, and what was left out."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

import click

from trml_rt.cli.printing import printable_lines

__all__ = ["expect_silence", "logs_on_stderr"]

_SILENT = 15.0  # seconds without a line
_LOOK = 1.0  # second between two looks whether that is over
_silence_expected = threading.Event()
_PACKAGES = ("trml_rt", "trml_export", "trml_calibration")


class _Stderr(logging.Handler):
    """Writes one plain line a record; a warning says that it is one."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._last = "the start of the command"
        self._written = self._recorded = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        head = "warning: " if record.levelno >= logging.WARNING else ""
        line = printable_lines(record.getMessage())
        click.echo(f"{head}{line}", err=True)
        self._last = line
        self._written = self._recorded = time.monotonic()

    def break_silence(self, over: threading.Event) -> None:
        """Say that work goes on while no record comes, until `over` is set."""
        while not over.wait(_LOOK):
            now = time.monotonic()
            if _silence_expected.is_set():
                continue
            if now - self._written >= _SILENT:
                self._written = now
                seconds = f"{now - self._recorded:.0f} s"
                click.echo(f"still working, {seconds} since: {self._last}", err=True)


def expect_silence() -> None:
    """Let the command that runs be silent: it waits for what others do."""
    _silence_expected.set()


@contextlib.contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Show lines of level INFO and above while a command runs, and never be silent for long."""
    handler = _Stderr(logging.INFO)
    _silence_expected.clear()
    loggers = [logging.getLogger(name) for name in _PACKAGES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    over = threading.Event()
    teller = threading.Thread(target=handler.break_silence, args=(over,), daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
