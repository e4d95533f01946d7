"""What every request passes: who may ask, from where, with how many bytes, and how long they take.

It is an application of ASGI around another one, so that nothing of a body is read before.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import time
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from typing import Any
from urllib.parse import SplitResult, urlsplit

from trml_rt.serve.refusals import Refused, error_body

__all__ = ["SUBPROTOCOL", "Gate"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

SUBPROTOCOL = "trml-rt"
"""What a WebSocket speaks; with it a browser, which can send no header, names its token."""

_BEARER = "bearer."
_OPEN = ("/", "/page.js", "/page.css", "/v2/health/live", "/v2/health/ready")
_MEBIBYTE = 1 << 20
_DRAINED = 16 << 20  # bytes of a body that nobody wants
_PATIENCE = 1.0  # second between two of its parts
_BODIES = 16  # of the largest kind may be here at once


class Gate:
    """Lets through what may pass, and refuses the rest before its body is read.

    Args:
        app: what is behind it.
        token: that every request must bear, but for the page and the health; None: none.
        hosts: names by which a browser may call this server; None: any.
        body_mib: MiB that a body may have.
        seconds: that may pass between two parts of a body.
        refused: is told the reason of each refusal.
    """

    def __init__(
        self,
        app: App,
        *,
        token: str | None,
        hosts: Collection[str] | None,
        body_mib: int,
        seconds: float,
        refused: Callable[[str], None],
    ) -> None:
        self._app, self._token, self._hosts = app, token, hosts
        self._body_mib, self._seconds, self._refused = body_mib, seconds, refused
        self._bytes = 0
        self.moved = time.monotonic()
        """When a client last sent a part of a body, or took a part of a response."""
        self.closing = False
        """Whether each response asks its client to call again on a new connection."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        try:
            self._check(scope, headers)
        except Refused as error:
            self._refused(error.reason)
            if scope["type"] == "http" and "expect" not in headers:
                await _Body(receive, self._seconds, lambda _: None).drain()
            await _refuse(scope, send, error)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        with contextlib.ExitStack() as held:
            body = _Body(receive, self._seconds, held.enter_context(self._counted()))
            try:
                await self._app(scope, body.receive, self._marked(send, body, headers))
            except asyncio.CancelledError:
                if not self.closing:
                    raise
                self._refused("stopped")
                if not body.answered:
                    await _refuse(scope, send, _stopped())

    @contextlib.contextmanager
    def _counted(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes of one body until its request is answered."""
        own = 0

        def more(size: int) -> None:
            nonlocal own
            self.moved = time.monotonic()
            own += size
            self._bytes += size
            if own > self._body_mib * _MEBIBYTE:
                raise self._too_large()
            if self._bytes > _BODIES * self._body_mib * _MEBIBYTE:
                raise Refused(
                    *(429, "bodies_full", "bodies of other requests take all room; ask again"),
                    retry_after=1.0,
                )

        try:
            yield more
        finally:
            self._bytes -= own

    def _marked(self, send: Send, body: _Body, headers: Mapping[str, str]) -> Send:
        """Return what sends a response, with the headers that each has."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                body.answered = True
                if "expect" not in headers:  # else the rest of the body is not sent at all
                    await body.drain()
                extra = [(b"x-content-type-options", b"nosniff")]
                extra += [(b"connection", b"close")] if self.closing else []
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)
            self.moved = time.monotonic()

        return sending

    def _check(self, scope: MutableMapping[str, Any], headers: dict[str, str]) -> None:
        """Refuse what may not ask.

        Raises:
            Refused: by its host, its origin, its token or the length of its body.
        """
        host = headers.get("host", "")
        if self._hosts is not None and _split(f"//{host}").hostname not in self._hosts:
            raise Refused(
                421, "host", f"this server is not {host!r}; call it by the address that it states"
            )
        origin = headers.get("origin")
        if origin is not None and _split(origin).netloc != host:
            raise Refused(403, "origin", f"pages of {origin} may not ask this server")
        if self._token is not None and scope["path"] not in _OPEN:
            borne = _token_of(headers, scope.get("subprotocols", ()))
            if borne is None or not hmac.compare_digest(borne.encode(), self._token.encode()):
                raise Refused(401, "token", "no valid token; send Authorization: Bearer TOKEN")
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._body_mib * _MEBIBYTE:
            raise self._too_large()

    def _too_large(self) -> Refused:
        return Refused(
            413,
            "too_large",
            f"the body is larger than {self._body_mib} MiB; cut the clip, or scale it down",
        )


class _Body:
    """The body of one request, of which each part is counted, and no part takes for ever."""

    def __init__(self, receive: Receive, seconds: float, more: Callable[[int], None]) -> None:
        self._receive, self._seconds, self._more = receive, seconds, more
        self._whole = False
        self.answered = False
        """Whether its response has begun."""

    async def receive(self) -> Message:
        """Return the next message of ASGI.

        Raises:
            Refused: the body is too long or too slow.
        """
        if self._whole:  # what else comes is that the client is gone, whenever that is
            return await self._receive()
        try:
            message = await self._next(self._seconds)
        except asyncio.TimeoutError:
            raise Refused(
                408,
                "too_slow",
                f"no part of the body came for {self._seconds:g} s; send it faster",
            ) from None
        if message["type"] == "http.disconnect":
            raise Refused(400, "gone", "the client went away within the body")
        self._more(len(message.get("body", b"")))
        return message

    async def _next(self, seconds: float) -> Message:
        message = await asyncio.wait_for(self._receive(), seconds)
        self._whole = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Let go of what is left, within limits: many clients read no answer while they send."""
        left = _DRAINED
        with contextlib.suppress(asyncio.TimeoutError):
            while not self._whole and left > 0:
                left -= len((await self._next(_PATIENCE)).get("body", b""))


def _split(address: str) -> SplitResult:
    """Return the parts of an address; one that is none has none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _token_of(headers: Mapping[str, str], subprotocols: Iterable[str]) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    for word in subprotocols:
        if word.startswith(_BEARER):
            data = word[len(_BEARER) :]
            try:
                return base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)).decode()
            except ValueError:
                return None
    return None


def _stopped() -> Refused:
    return Refused(
        *(503, "stopped", "the server ended before it could answer; ask again"), retry_after=1.0
    )


async def _refuse(scope: MutableMapping[str, Any], send: Send, error: Refused) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": error.reason})
        return
    body = error_body(scope["path"], error)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    # What is left of the body is not read, so the connection cannot serve another request.
    headers |= {"Connection": "close", **error.headers}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
