"""Where a server listens, by which names it is called, and the token that it wants."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any

from trml_rt.errors import EnvironmentUnfit, UsageError

__all__ = ["CONNECTIONS", "address_of", "hosts_of", "is_loopback", "listen", "token_in"]

CONNECTIONS = 1024
"""That may be open at once, and that may knock at once."""

_HERE = ("localhost", "127.0.0.1", "::1")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def token_in(path: Path) -> str:
    """Return the token that is the first line of a file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        lines = []
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); correct token_file") from None
    token = lines[0].strip() if lines else ""
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{path}: its first line is no token; write letters, digits and -._~+/ there"
        )
    return token


def listen(host: str, port: int, unix: Path | None) -> socket.socket:
    """Return a socket that listens.

    Raises:
        EnvironmentUnfit: the place is taken, or not of this machine.
        UsageError: the host is no address, or a file stands where the socket should.
    """
    place = f"{unix}" if unix is not None else f"{host} port {port}"
    try:
        if unix is not None:
            _remove_stale(unix)
            listening = socket.socket(socket.AF_UNIX)
            where: Any = os.fspath(unix)
        else:
            family, kind, protocol, _, where = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            # Only of a socket that is said to be TCP does asyncio send small parts at once.
            listening = socket.socket(family, kind, protocol)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except (socket.gaierror, UnicodeError):
        raise UsageError(f"host: {host!r} is no address of a machine; correct it") from None
    try:
        listening.bind(where)
        listening.listen(CONNECTIONS)
    except OSError as error:
        listening.close()
        hint = "stop what listens there, or choose another" * (error.errno == errno.EADDRINUSE)
        raise EnvironmentUnfit(
            f"{place}: nobody can listen there ({error.strerror or error}); "
            f"{hint or 'choose another'}"
        ) from None
    return listening


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return  # there is none, or binding says what is wrong
    if not is_socket:
        raise UsageError(f"{path}: is there already, and no socket; name another path")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError:
            return


def address_of(listening: socket.socket) -> str:
    """Return where a socket listens, such as http://127.0.0.1:8000 or unix:/run/trml-rt.sock."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Say whether only programs of this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hosts_of(host: str) -> Collection[str] | None:
    """Return by which names a browser may call; a page of strangers could have any other one."""
    return {*_HERE, host.lower()} if is_loopback(host) else None
