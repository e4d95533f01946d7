"""One stream that many clients watch: each gets what is new, and a slow one misses some of it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from trml_rt.errors import TrmlError
from trml_rt.serve.mailbox import Mailbox
from trml_rt.serve.refusals import record_of
from trml_rt.stream.answer import StreamEvent
from trml_rt.stream.core import Stream

__all__ = ["Feed"]

_log = logging.getLogger(__name__)

_BEAT = 15.0  # seconds without a message after which a comment keeps the connection alive


class Feed:
    """Reads a stream in a thread, and tells its answers and events to whoever listens.

    Args:
        open_stream: opens the stream; it is given what hears its events.
        dropped: is told the cause of each message that a slow client misses.
    """

    def __init__(
        self,
        open_stream: Callable[[Callable[[StreamEvent], None]], Stream],
        dropped: Callable[[str], None],
    ) -> None:
        self._dropped = dropped
        self._clients: set[Mailbox] = set()
        self._lock = threading.Lock()
        self._last: dict[str, str] = {}  # of each kind, for who begins to listen
        self._over = False
        self.stream = open_stream(lambda event: self._tell("event", event.to_dict()))
        self._thread = threading.Thread(target=self._read, daemon=True, name="trml-rt feed")
        self._thread.start()

    def _read(self) -> None:
        try:
            for answer in self.stream:
                self._tell("answer", answer.to_dict())
            self._tell("end", self.stream.totals.to_dict())
        except TrmlError as error:
            _log.warning("the stream has ended: %s", error)
            self._tell("failed", record_of(error))
        finally:
            with self._lock:
                self._over = True
                for client in self._clients:
                    client.put(None)

    def _tell(self, kind: str, content: dict[str, Any]) -> None:
        message = f"event: {kind}\ndata: {json.dumps(content)}\n\n"
        with self._lock:
            self._last[kind] = message
            for client in self._clients:
                client.put(message)

    async def messages(self) -> AsyncIterator[str]:
        """Yield server-sent events, from the last answer on, until the stream ends."""
        client = Mailbox(self._dropped)
        with self._lock:
            for message in self._last.values():
                client.put(message)
            if self._over:
                client.put(None)
            else:
                self._clients.add(client)
        try:
            while True:
                try:
                    heard: str | None = await asyncio.wait_for(client.next(), _BEAT)
                except asyncio.TimeoutError:
                    heard = ": no news\n\n"
                if heard is None:
                    return
                yield heard
        finally:
            with self._lock:
                self._clients.discard(client)

    def close(self) -> None:
        """End the stream, and with it every client's."""
        self.stream.close()
        self._thread.join()
