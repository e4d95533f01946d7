"""Messages from a thread to one client on the event loop; one that is slow misses the oldest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

__all__ = ["Mailbox"]

_KEPT = 64  # messages that wait; the oldest gives way


class Mailbox:
    """What waits for one client; make it on the event loop, and `put` from any thread.

    Args:
        dropped: is told the cause of each message that the client misses.
    """

    def __init__(self, dropped: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._dropped = dropped
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, message: str | None) -> None:
        """Let a message wait; None is the last one."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody reads any more
            self._loop.call_soon_threadsafe(self._put, message)

    def _put(self, message: str | None) -> None:
        if self._queue.qsize() >= _KEPT:
            self._queue.get_nowait()
            self._dropped("slow_client")
        self._queue.put_nowait(message)

    async def next(self) -> str | None:
        """Return the next message, None at the end."""
        return await self._queue.get()
