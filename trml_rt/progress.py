"""Say how far long work is, through `logging`; a command line shows it, a library is silent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["counted"]

_SECONDS = 5.0  # between two lines

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
    last_line = time.monotonic()
    done = 0
    for item in items:
        now = time.monotonic()
        if now - last_line >= _SECONDS:
            last_line = now
            log.info("%s: %d of %d", what, done, total)
        yield item
        done += size(item)
