"""The child's side: it ends with its parent, keeps to its limits, and speaks in lines of JSON."""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import resource
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Channel", "settle"]

_NOISE = 1 << 20  # bytes that it may write to files, which are its own last words


class Channel:
    """How a child hears and speaks.

    Args:
        channel: the socket to the parent.
        memory: what both share.
    """

    def __init__(self, channel: socket.socket, memory: NDArray[np.uint8]) -> None:
        self._socket = channel
        self._lines = channel.makefile("rb")
        self.memory = memory

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield what the parent says, until it goes."""
        for line in self._lines:
            yield json.loads(line)

    def say(self, message: Mapping[str, Any]) -> None:
        """Send one message; without a parent there is nothing left to do."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            os._exit(1)


def settle() -> tuple[Channel, dict[str, Any]]:
    """Take over what the parent gave; return the channel and the settings."""
    given = json.loads(sys.argv[1])
    _end_with(given["life"])
    # Shared as long as the process lives.
    memory = np.frombuffer(mmap.mmap(given["memory"], 0), np.uint8)
    os.close(given["memory"])
    channel = Channel(socket.socket(fileno=given["socket"]), memory)
    return channel, next(iter(channel))


def bound_memory(size: int) -> None:
    """Let this process take `size` bytes more than it has now; leave no core file behind."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = now + size if hard == resource.RLIM_INFINITY else min(hard, now + size)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_NOISE, _NOISE))


def _end_with(life: int) -> None:
    """Have the kernel end this process when the parent's end of the pipe `life` closes.

    PR_SET_PDEATHSIG would end it with the thread that started it, which may be a short one. The
    signal of an asynchronous file ends a process too, also one that hangs in a decoder.
    """
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    try:
        gone = os.read(life, 1) == b""
    except OSError as error:
        gone = error.errno != errno.EAGAIN
    if gone:
        os._exit(1)
