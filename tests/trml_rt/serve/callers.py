"""Clients of a server, on the standard library and wsproto alone."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import struct
from typing import Any, NamedTuple
from urllib.parse import urlsplit

BOUNDARY = "a-boundary"


class Reply(NamedTuple):
    """A response of HTTP."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    """A connection over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connect(server: Any) -> http.client.HTTPConnection:
    """Return a connection to a server."""
    if server.address.startswith("unix:"):
        return UnixConnection(server.address.removeprefix("unix:"))
    return http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)


def call(server: Any, path: str, body: Any = None, *, method: str = "", **headers: str) -> Reply:
    """Ask once; a dict is sent as JSON, and words of a header's name are joined by a dash."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, dict):
        body = json.dumps(body).encode()
        named = {"Content-Type": "application/json", **named}
    connection = connect(server)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, named)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


def form(**fields: str | bytes) -> dict[str, Any]:
    """Return body and headers of a form; bytes are files."""
    parts = []
    for name, value in fields.items():
        file = f'; filename="{name}.bin"' if isinstance(value, bytes) else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        data = value if isinstance(value, bytes) else value.encode()
        parts.append(head.encode() + data + b"\r\n")
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return {"body": body, "Content_Type": f"multipart/form-data; boundary={BOUNDARY}"}


def encoded(data: bytes) -> str:
    """Return bytes as JSON has them."""
    return base64.b64encode(data).decode()


class LiveSocket:
    """A WebSocket to a server."""

    def __init__(self, server: Any, path: str, protocols: tuple[str, ...] = (), **headers: str):
        import wsproto  # of the extra serve

        self._kinds = wsproto.events
        host = urlsplit(server.address)
        self._socket = socket.create_connection((host.hostname, host.port), timeout=30)
        self._events: list[Any] = []
        self._connection = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._send(
            self._kinds.Request(
                host=host.netloc,
                target=path,
                subprotocols=list(protocols),
                extra_headers=extra,
            )
        )
        self.opened = self._next()
        self.accepted = isinstance(self.opened, self._kinds.AcceptConnection)
        self.rejected = not self.accepted
        if self.rejected:
            self._socket.close()

    def _send(self, event: Any) -> None:
        self._socket.sendall(self._connection.send(event))

    def _next(self) -> Any:
        while not self._events:
            data = self._socket.recv(1 << 16)
            self._connection.receive_data(data or None)
            self._events += self._connection.events()
        return self._events.pop(0)

    def frame(self, picture: bytes, t: float) -> None:
        """Send a picture with its time."""
        self._send(self._kinds.BytesMessage(struct.pack("!d", t) + picture))

    def say(self, **content: Any) -> None:
        """Send JSON."""
        self._send(self._kinds.TextMessage(json.dumps(content)))

    def hear(self) -> dict[str, Any] | int:
        """Return the next message, or the code with which the server closes."""
        text = ""
        while True:
            event = self._next()
            if isinstance(event, self._kinds.CloseConnection):
                self._socket.close()
                return event.code
            if isinstance(event, self._kinds.TextMessage):
                text += event.data
                if event.message_finished:
                    return json.loads(text)

    def hear_until(self, wanted: Any) -> dict[str, Any]:
        """Return the first message for which `wanted` holds."""
        while True:
            message = self.hear()
            assert isinstance(message, dict), message
            if wanted(message):
                return message

    def close(self) -> None:
        """Go away without a word."""
        self._socket.close()
