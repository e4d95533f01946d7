"""Start a server around one runtime, and stop it without losing a request."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from trml_rt.backends.process import usable_cores
from trml_rt.bundle.arguments import check_whole, path_of
from trml_rt.bundle.engine_folder import Precision
from trml_rt.bundle.folder import BundleLike
from trml_rt.errors import lacks_package
from trml_rt.inputs.limits import MediaLimits
from trml_rt.runtime import load
from trml_rt.stream.pull import TextSource, VideoSource, is_live

if TYPE_CHECKING:
    import socket

    from trml_rt.serve.app import Rooms
    from trml_rt.serve.gate import Gate

__all__ = ["ServeReport", "Server", "serve"]

_log = logging.getLogger(__name__)

_BODY_SECONDS = 30.0  # between two parts of a body
_FAREWELL = 0.5  # second in which connections learn that they end, and those that knocked come in
_LOOK = 0.25  # second between two looks whether all is answered
_PICTURE = 8 << 20  # bytes of a message of a WebSocket


@dataclass(frozen=True)
class ServeReport:
    """What a server did: requests that it took in, and those of them that were responded to."""

    accepted: int
    responded: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def serve(
    bundle: BundleLike = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    unix: str | os.PathLike[str] | None = None,
    token_file: str | os.PathLike[str] | None = None,
    video: VideoSource | None = None,
    text: TextSource | None = None,
    every: float = 0.0,
    queue: int = 256,
    batch: int = 16,
    live: int = 4,
    body_mib: int = 64,
    request_rows: int = 1000,
    backend: str = "auto",
    precision: Precision | None = None,
    threads: int | None = None,
    signed_by: str | os.PathLike[str] | None = None,
    limits: MediaLimits | None = None,
) -> Server:
    """Serve a bundle over HTTP, and return once it is ready; see `docs/serving.md`.

    The server works in threads of its own until `close`, which the end of a `with` block calls.

    Args:
        bundle: as in `trml_rt.load`.
        host: address to listen on; the default lets programs of this machine in alone.
        port: of TCP; 0 takes one that is free.
        unix: path of a Unix socket to listen on instead.
        token_file: file with the token that every request must bear.
        video: source of a stream that `GET /stream` tells of, as in `Runtime.stream`.
        text: texts of that stream.
        every: seconds of media time between two of its frames.
        queue: requests that may be here at once; one more is refused.
        batch: the most rows that the engines take together. With 1 the answer of a row is to the
            bit the one that `Runtime.infer` gives; with more, to float32 rounding.
        live: streams of clients over a WebSocket at once.
        body_mib: MiB of the body of a request.
        request_rows: rows of a request.
        backend: as in `trml_rt.load`.
        precision: as in `trml_rt.load`.
        threads: as in `trml_rt.load`.
        signed_by: as in `trml_rt.load`.
        limits: of what a clip may cost, as in `trml_rt.load`.

    Raises:
        UsageError: an argument makes no sense.
        EnvironmentUnfit: the extra `serve` is not installed, or nobody can listen there.
        ArtefactMismatch: as for `trml_rt.load`.
    """
    numbers = {"queue": queue, "batch": batch, "live": live, "request_rows": request_rows}
    for name, value in {**numbers, "body_mib": body_mib, "port": port}.items():
        check_whole(name, value)
    # Imported here: who only loads a bundle has no use for any of it.
    from trml_rt.serve.costs import Costs, limits_of
    from trml_rt.serve.desk import Desk
    from trml_rt.serve.feed import Feed
    from trml_rt.serve.gate import Gate
    from trml_rt.serve.listening import hosts_of, is_loopback, listen, token_in
    from trml_rt.serve.metrics import Metrics

    token = None if token_file is None else token_in(path_of("token_file", token_file))
    try:
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
        import wsproto  # noqa: F401

        from trml_rt.serve.app import Rooms, application
    except ImportError as error:
        raise lacks_package("serving", error, "serve") from None
    with contextlib.ExitStack() as undo:
        path = None if unix is None else path_of("unix", unix)
        listening = listen(host, port, path)
        undo.callback(listening.close)
        if path is not None:
            undo.callback(path.unlink, missing_ok=True)
        runtime = undo.enter_context(
            load(
                bundle,
                backend=backend,
                precision=precision,
                threads=threads,
                signed_by=signed_by,
                limits=limits,
            )
        )
        runtime.warm_up()
        metrics = Metrics()
        costs = Costs(limits_of(runtime.bundle.manifest, batch))
        desk = Desk(runtime, costs, metrics, queue=queue, decoders=usable_cores())
        undo.callback(desk.close)
        feed = None
        if video is not None or text is not None:
            opened = partial(runtime.stream, video, text, every=every)
            waits = video is not None and is_live(video)  # a file that is absent stays so
            opened = partial(opened, isolate=True, wait_for_source=waits)
            feed = Feed(lambda told: opened(on_event=told), metrics.refused.add)
            undo.callback(feed.close)
        rooms = Rooms(runtime, desk, metrics, feed, request_rows, live)
        gate = Gate(
            application(rooms),
            token=token,
            hosts=hosts_of(host) if unix is None and token is None else None,
            body_mib=body_mib,
            seconds=_BODY_SECONDS,
            refused=metrics.refused.add,
        )
        if token is None and unix is None and not is_loopback(host):
            _log.warning("anybody who reaches %s may ask; name a --token-file", host)
        return Server(listening, gate, rooms, undo.pop_all())


class Server:
    """A server that runs; made by `serve`. Close it, or use it as a context manager."""

    def __init__(
        self,
        listening: socket.socket,
        gate: Gate,
        rooms: Rooms,
        held: contextlib.ExitStack,
    ) -> None:
        import uvicorn

        from trml_rt.serve.listening import CONNECTIONS, address_of

        self._listening, self._gate, self._rooms, self._held = listening, gate, rooms, held
        self._stopping = threading.Event()
        self._ready = threading.Event()
        config = uvicorn.Config(
            gate,
            http="h11",
            ws="wsproto",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            ws_max_size=_PICTURE,
        )
        self._uvicorn = uvicorn.Server(config)
        self.name = rooms.runtime.bundle.manifest.name
        """The name of the model, as the Open Inference Protocol has it."""
        self.address = address_of(listening)
        """Where it listens, such as http://127.0.0.1:8000 or unix:/run/trml.sock."""
        self._thread = threading.Thread(target=self._run, daemon=True, name="trml-rt serve")
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        import asyncio

        try:
            asyncio.run(self._serve())
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        import asyncio

        serving = asyncio.create_task(self._uvicorn.serve(sockets=[self._listening]))
        while not self._uvicorn.started and not serving.done():
            await asyncio.sleep(0.005)
        self._ready.set()
        await asyncio.get_running_loop().run_in_executor(None, self._stopping.wait)
        # Connections that are kept alive hear that they end with their next response. Whoever has
        # knocked meanwhile is let in. Then nobody is, and what was accepted is finished.
        self._rooms.ready = False
        self._gate.closing = True
        await asyncio.sleep(_FAREWELL)
        if self._rooms.feed is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._rooms.feed.close)
        self._uvicorn.should_exit = True
        while not serving.done():
            self._uvicorn.force_exit = self._stuck()
            await asyncio.wait([serving], timeout=_LOOK)
        await serving

    def _stuck(self) -> bool:
        """Say whether nothing has moved for longer than a clip and a body may take."""
        clip = self._rooms.runtime.limits.seconds if self._rooms.desk.inside else 0.0
        return time.monotonic() - self._gate.moved > clip + _BODY_SECONDS

    def wait(self) -> ServeReport:
        """Wait until the server has stopped, and return what it did."""
        self._thread.join()
        desk = self._rooms.desk
        return ServeReport(desk.accepted, desk.responded)

    def stop(self) -> None:
        """Let the server stop once every request that it took in is responded to; do not wait."""
        self._stopping.set()

    def close(self) -> None:
        """Stop, wait for that, and free the runtime; closing twice is fine."""
        self.stop()
        self.wait()
        self._held.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
