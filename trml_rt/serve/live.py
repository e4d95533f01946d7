"""A stream of one client over a WebSocket: pictures and texts come in, answers and events go out.

A binary message is a picture (JPEG, PNG, WebP), after eight bytes with its time in seconds, a
double in network order. A text message is JSON: `{"text": ..., "t": ..., "end": ...}`, or
`{"stop": true}` for the end. What goes out is JSON: answers and events of the stream, and errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import struct
import threading
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from trml_rt.errors import TrmlError
from trml_rt.runtime import Runtime
from trml_rt.serve.asked import bad, parsed
from trml_rt.serve.desk import Desk
from trml_rt.serve.gate import SUBPROTOCOL
from trml_rt.serve.mailbox import Mailbox
from trml_rt.serve.refusals import Refused, record_of
from trml_rt.stream.core import Stream

__all__ = ["watch"]

_TIME = struct.Struct("!d")
_KEYS = {"text", "t", "end", "stop"}
_OPTIONS = ("every", "hold", "stall_after")


async def watch(
    socket: WebSocket, runtime: Runtime, desk: Desk, dropped: Callable[[str], None]
) -> None:
    """Answer on what one client sends, until it says stop or goes away.

    Args:
        socket: the client.
        runtime: answers.
        desk: has pictures decoded.
        dropped: is told the cause of each message that a slow client misses.
    """
    out = Mailbox(dropped)

    def tell(content: dict[str, Any]) -> None:
        out.put(json.dumps(content))

    spoken = socket.scope["subprotocols"]
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in spoken else None)
    try:
        options: dict[str, Any] = {
            name: _number(socket, name) for name in _OPTIONS if name in socket.query_params
        }
        stream = runtime.stream(on_event=lambda event: tell(event.to_dict()), **options)
    except (TrmlError, Refused) as error:
        await socket.send_json({"error": record_of(error)})
        await socket.close(1008)
        return

    def read() -> None:
        try:
            for answer in stream:
                tell(answer.to_dict())
            tell({"event": "end", **stream.totals.to_dict()})
        except TrmlError as error:
            tell({"error": record_of(error)})
        finally:
            out.put(None)

    reader = threading.Thread(target=read, daemon=True, name="trml-rt live")
    reader.start()
    sender = asyncio.create_task(_send(socket, out))
    try:
        if await _receive(socket, stream, desk, tell):
            stream.end()
            await sender
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it is gone already
                await socket.close()
    finally:
        sender.cancel()
        await asyncio.get_running_loop().run_in_executor(None, stream.close)


def _number(socket: WebSocket, name: str) -> float:
    try:
        return float(socket.query_params[name])
    except ValueError:
        raise bad(f"{name}: must be a number of seconds") from None


async def _receive(
    socket: WebSocket, stream: Stream, desk: Desk, tell: Callable[[dict[str, Any]], None]
) -> bool:
    """Push what comes; return True where the client says stop, and False where it goes away."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return False
        try:
            if (data := message.get("bytes")) is not None:
                await _push_frame(stream, desk, data)
            elif not _push_text(stream, message["text"]):
                return True
        except (TrmlError, Refused) as error:
            tell({"error": record_of(error)})


async def _push_frame(stream: Stream, desk: Desk, data: bytes) -> None:
    if len(data) <= _TIME.size:
        raise bad("a frame: must be eight bytes with its time, and a picture")
    [t] = _TIME.unpack_from(data)
    if not math.isfinite(t):
        raise bad("a frame: its time must be a number of seconds")
    stream.push_frame(await desk.picture(data[_TIME.size :]), t)


def _push_text(stream: Stream, body: str) -> bool:
    """Push a text; return False where the client says that nothing more comes."""
    content = parsed(body)
    if unknown := sorted(content.keys() - _KEYS):
        raise bad(f"unknown keys {', '.join(unknown)}; there are {', '.join(sorted(_KEYS))}")
    if content.get("stop"):
        return False
    text = content.get("text")
    if not isinstance(text, str):
        raise bad("text: must be a string")
    stream.push_text(text, content.get("t"), end=content.get("end"))
    return True


async def _send(socket: WebSocket, out: Mailbox) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while (message := await out.next()) is not None:
            await socket.send_text(message)
