"""Say how far long work is, through `logging`; a command line shows it, a library is silent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["counted", "time_left"]

_SECONDS = 5.0  # between two lines
_SHORT = 5.0  # of what takes less than so many seconds more, nothing is said

T = TypeVar("T")


def counted(
    items: Iterable[T],
    total: int,
    what: str,
    log: logging.Logger,
    size: Callable[[T], int] = lambda _: 1,
) -> Iterator[T]:
    """Yield `items`, and log every few seconds how many of `total` are done.

    Args:
        items: what is worked on.
        total: how many there are.
        what: names the work, as in "the reference: 200 of 512".
        log: the logger of the module that works.
        size: how much of `total` one item is.
    """
    start = last_line = time.monotonic()
    done = 0
    for item in items:
        now = time.monotonic()
        if now - last_line >= _SECONDS:
            last_line = now
            log.info("%s: %d of %d%s", what, done, total, time_left(start, done, total))
        yield item
        done += size(item)


def time_left(start: float, done: int, total: int) -> str:
    """Return ", about 3 min left" as the end of a line, or nothing where that is not known.

    Args:
        start: when the work began, by `time.monotonic`.
        done: how much of it is done.
        total: how much there is.
    """
    seconds = (time.monotonic() - start) * (total - done) / done if done else 0.0
    if seconds < _SHORT:
        return ""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f", about {seconds / length:.0f} {unit} left"
    return f", about {seconds:.0f} s left"
