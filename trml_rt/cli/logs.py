"""Show what the packages log on standard error: how far long work is, and what was left out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import click

from trml_rt.cli.printing import printable_lines

__all__ = ["logs_on_stderr"]

_PACKAGES = ("trml_rt", "trml_export", "trml_calibration")


class _Stderr(logging.Handler):
    """Writes one plain line a record; a warning says that it is one."""

    def emit(self, record: logging.LogRecord) -> None:
        head = "warning: " if record.levelno >= logging.WARNING else ""
        click.echo(f"{head}{printable_lines(record.getMessage())}", err=True)


@contextlib.contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Show lines of level INFO and above while a command runs."""
    handler = _Stderr(logging.INFO)
    loggers = [logging.getLogger(name) for name in _PACKAGES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
