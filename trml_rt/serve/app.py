"""The application of a server: which address is answered by what."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from trml_rt._version import __version__
from trml_rt.errors import TrmlError
from trml_rt.runtime import Runtime
from trml_rt.serve import open_inference
from trml_rt.serve.asked import aside, ask_of, from_request, parsed
from trml_rt.serve.desk import Desk
from trml_rt.serve.feed import Feed
from trml_rt.serve.live import watch
from trml_rt.serve.metrics import CONTENT_TYPE, Metrics
from trml_rt.serve.refusals import Refused, error_body, record_of, status_of

__all__ = ["Rooms", "application"]

_SPOOLED = 1 << 20  # bytes of a body that stay in memory
_WINDOW = 32  # rows of one batch that are worked on at once
_LINES = "application/jsonl"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
_PAGE = {"page.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}


@dataclass
class Rooms:
    """What the addresses of one server share."""

    runtime: Runtime
    desk: Desk
    metrics: Metrics
    feed: Feed | None
    request_rows: int
    live: int
    ready: bool = True
    watching: int = 0


def application(rooms: Rooms) -> Starlette:
    """Return the application."""
    name = rooms.runtime.bundle.manifest.name
    model = f"/v2/models/{name}"
    routes: list[Any] = [
        Route("/", _page("page.html")),
        *(Route(f"/{file}", _page(file)) for file in _PAGE),
        Route("/infer", _infer(rooms), methods=["POST"]),
        Route("/infer/batch", _Batch(rooms)),
        Route("/stream", _stream(rooms)),
        Route("/metrics", _metrics(rooms)),
        Route("/about", _says(lambda: _about(rooms))),
        WebSocketRoute("/live", _live(rooms)),
        Route("/v2", _says(open_inference.server_metadata)),
        Route("/v2/health/live", _says(lambda: {"live": True})),
        Route("/v2/health/ready", _ready(rooms)),
    ]
    for path in (model, f"{model}/versions/1"):
        routes += [
            Route(path, _says(lambda: open_inference.model_metadata(rooms.runtime))),
            Route(f"{path}/ready", _ready(rooms)),
            Route(f"{path}/infer", _open_infer(rooms), methods=["POST"]),
        ]

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, TrmlError | Refused)
        headers = {}
        if isinstance(error, Refused):
            rooms.metrics.refused.add(error.reason)
            headers = error.headers | {"Connection": "close"}
        body = error_body(request.url.path, error)
        return Response(body, status_of(error), headers, "application/json")

    async def refuse_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        words = f"{request.method} {request.url.path}: {error.detail}"
        return await refuse(request, Refused(error.status_code, "bad_request", words))

    handlers: dict[Any, Any] = {TrmlError: refuse, Refused: refuse, HTTPException: refuse_http}
    return Starlette(routes=routes, exception_handlers=handlers)


def _says(content: Any) -> Any:
    async def respond(_: Request) -> Response:
        return JSONResponse(content())

    return respond


def _page(name: str) -> Any:
    async def respond(_: Request) -> Response:
        body = (Path(__file__).parent / name).read_bytes()
        headers = {"Content-Security-Policy": _POLICY}
        return Response(body, headers=headers, media_type=_PAGE[name])

    return respond


def _about(rooms: Rooms) -> dict[str, Any]:
    """Return what the page shows of the model."""
    runtime = rooms.runtime
    return {
        "name": runtime.bundle.manifest.name,
        "version": __version__,
        "task": runtime.task,
        "labels": list(runtime.labels),
        "range": runtime.range,
        "stream": rooms.feed is not None,
        **runtime.provenance,
    }


def _ready(rooms: Rooms) -> Any:
    async def respond(_: Request) -> Response:
        return JSONResponse({"ready": rooms.ready}, 200 if rooms.ready else 503)

    return respond


def _infer(rooms: Rooms) -> Any:
    async def respond(request: Request) -> Response:
        arrived = time.monotonic()
        with rooms.desk.admitted():
            try:
                answer = await rooms.desk.answer(await from_request(request), arrived)
            finally:
                await request.close()  # of a form, and so its files
        return Response(answer.to_json(), media_type="application/json")

    return respond


def _open_infer(rooms: Rooms) -> Any:
    async def respond(request: Request) -> Response:
        arrived = time.monotonic()
        with rooms.desk.admitted():
            if request.headers.get("content-encoding", "identity") != "identity":
                raise Refused(415, "media_type", "compressed bodies are not read; send it plain")
            length = request.headers.get(open_inference.LENGTH)
            body = await request.body()
            read = partial(open_inference.read, body, length, rooms.runtime)
            asked = await aside(len(body), read)
            _check_rows(len(asked.rows), rooms.request_rows)
            tasks = [rooms.desk.answer(row, arrived) for row in asked.rows]
            found = await asyncio.gather(*tasks, return_exceptions=True)
            for number, each in enumerate(found):
                if isinstance(each, TrmlError) and len(found) > 1:
                    each.args = (f"row {number}: {each}",)
                if isinstance(each, BaseException):
                    raise each
            answers = [each for each in found if not isinstance(each, BaseException)]
        content, headers = open_inference.response(answers, asked, rooms.runtime)
        return Response(content, headers=headers)

    return respond


def _check_rows(count: int, most: int) -> None:
    if count > most:
        raise Refused(413, "too_many_rows", f"a request has at most {most} rows; send it in parts")


class _Batch:
    """JSON lines in, JSON lines out: the request holds its place until the last line is out."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = time.monotonic()
        request = Request(scope, receive)
        if request.method != "POST":
            raise HTTPException(405)
        with self._rooms.desk.admitted(), tempfile.SpooledTemporaryFile(_SPOOLED) as body:
            count = 0
            async for part in request.stream():
                count += part.count(b"\n")
                _check_rows(count, self._rooms.request_rows)
                body.write(part)
            body.seek(0)
            lines = _lines(self._rooms, body, arrived)
            await StreamingResponse(lines, media_type=_LINES)(scope, receive, send)


async def _lines(rooms: Rooms, body: IO[bytes], arrived: float) -> AsyncIterator[bytes]:
    """Yield a line for each row of a batch, in order, while a few are worked on."""
    tasks: deque[asyncio.Task[bytes]] = deque()
    try:
        for line in body:
            if not line.strip():
                continue
            tasks.append(asyncio.create_task(_row(rooms, line, arrived)))
            if len(tasks) >= _WINDOW:
                yield await tasks.popleft()
        while tasks:
            yield await tasks.popleft()
    finally:
        for task in tasks:
            task.cancel()


async def _row(rooms: Rooms, line: bytes, arrived: float) -> bytes:
    said: dict[str, Any] = {}
    try:
        content = await aside(len(line), partial(parsed, line))
        if "id" in content:
            said["id"] = content.pop("id")
        answer = await rooms.desk.answer(ask_of(content), arrived)
        said |= answer.to_dict()
    except (TrmlError, Refused) as error:
        said["error"] = record_of(error)
    return json.dumps(said).encode() + b"\n"


def _stream(rooms: Rooms) -> Any:
    async def respond(_: Request) -> Response:
        if rooms.feed is None:
            raise Refused(404, "no_stream", "there is no stream; start the server with --video")
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(
            rooms.feed.messages(), headers=headers, media_type="text/event-stream"
        )

    return respond


def _live(rooms: Rooms) -> Any:
    async def respond(socket: WebSocket) -> None:
        if rooms.watching >= rooms.live or not rooms.ready:
            rooms.metrics.refused.add("live_full")
            await socket.close(1013, "live_full")
            return
        rooms.watching += 1
        try:
            await watch(socket, rooms.runtime, rooms.desk, rooms.metrics.refused.add)
        finally:
            rooms.watching -= 1

    return respond


def _metrics(rooms: Rooms) -> Any:
    async def respond(_: Request) -> Response:
        gauges = dict(rooms.desk.gauges())
        gauges["trml_rt_live_streams"] = ("Streams of clients over a WebSocket.", rooms.watching)
        if rooms.feed is not None:
            totals = rooms.feed.stream.totals
            frames = {"seen": totals.seen, "answered": totals.answered, **totals.dropped}
            for name, count in frames.items():
                words = "Frames of the stream that the server was started with."
                gauges[f"trml_rt_stream_frames_{name}"] = (words, count)
        provenance = rooms.runtime.provenance
        info = {
            "bundle": rooms.runtime.bundle.manifest.name,
            "version": __version__,
            **{name: str(provenance[name]).lower() for name in ("backend", "engines", "verified")},
        }
        return Response(rooms.metrics.text(gauges, info), media_type=CONTENT_TYPE)

    return respond
