"""Start a process that decodes, talk with it, and end it; what it says is never trusted.

Messages are lines of JSON on a socket, frames lie in memory that both share. Nothing is unpickled,
and a child can neither shrink the memory under our feet nor send a line without end.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import select
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends.process import python_command
from trml_rt.errors import EnvironmentUnfit, blames_machine

__all__ = ["Child", "ChildEnded"]

_LONGEST = 1 << 20  # bytes of a line
_START = 60.0  # seconds in which a child has begun, on a slow device that swaps
# Threads of linear algebra, which decoding has no use for, each take address space.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class ChildEnded(Exception):
    """The child is gone; `code` is its return code, `last` the last line that it wrote."""

    def __init__(self, code: int, last: str) -> None:
        how = [] if code == 0 and last else [_how(code)]
        super().__init__(": ".join([*how, last] if last else how))
        self.code = code
        self.last = last

    @property
    def killed(self) -> bool:
        """Whether somebody else killed it: most likely the system, for want of memory."""
        return self.code == -signal.SIGKILL


class Child:
    """One child process that runs `module`, which speaks through `within.settle`.

    The child ends when this object or this process does, however that happens.

    Args:
        module: what it runs.
        settings: what the module gets first.
        shared: bytes of memory for frames.
        stdin: a file descriptor that becomes its standard input; None gives it an empty one.

    Raises:
        EnvironmentUnfit: it cannot be started.
    """

    def __init__(
        self, module: str, settings: Mapping[str, Any], *, shared: int, stdin: int | None = None
    ) -> None:
        if not hasattr(os, "memfd_create"):
            raise EnvironmentUnfit(
                "a process that decodes shares memory as Linux has it; leave isolate out here"
            )
        self._owner = os.getpid()
        self._heard = bytearray()
        with contextlib.ExitStack() as undo, blames_machine("the decoder's process"):
            self._socket, theirs = socket.socketpair()
            undo.callback(self._socket.close)
            self._poll = select.poll()  # `select.select` refuses descriptors of 1024 and more
            self._poll.register(self._socket, select.POLLIN)
            with theirs:
                lives, self._life = os.pipe()
                undo.callback(os.close, self._life)
                try:
                    memory = _sealed(shared)
                    undo.callback(os.close, memory)
                    self._noise = os.memfd_create("trml-rt-noise")
                    undo.callback(os.close, self._noise)
                    self._memory = mmap.mmap(memory, 0, access=mmap.ACCESS_READ)
                    undo.callback(self._memory.close)
                    given = json.dumps({"socket": theirs.fileno(), "life": lives, "memory": memory})
                    self._process = subprocess.Popen(
                        python_command(module, given),
                        stdin=subprocess.DEVNULL if stdin is None else stdin,
                        stdout=self._noise,
                        stderr=self._noise,
                        pass_fds=(theirs.fileno(), lives, memory),
                        start_new_session=True,  # Ctrl-C is for us
                        env={**os.environ, **_ENVIRONMENT},
                    )
                finally:
                    os.close(lives)
            os.close(memory)
            undo.pop_all()
        held = (self._socket, self._memory, self._life, self._noise)
        self.end = weakref.finalize(self, _end, self._process, self._owner, *held)
        """Kill it, and give back all that it held; a second time does nothing."""
        _children.add(self)
        self._begin(settings)

    @property
    def usable(self) -> bool:
        """Whether it runs, and this process started it; a fork has only a copy of this object."""
        return self._owner == os.getpid() and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def _begin(self, settings: Mapping[str, Any]) -> None:
        try:
            self.tell(settings)  # not on the command line, which every user of the machine can read
            ready = self.hear(_START)
        except ChildEnded as error:
            self.end()
            raise EnvironmentUnfit(
                f"the decoder's process did not start ({error}); install trml-rt again"
            ) from None
        except BaseException:  # Ctrl-C
            self.end()
            raise
        if ready is None:
            self.end()
            raise EnvironmentUnfit(
                f"the decoder's process did not start in {_START:.0f} s; close other programs"
            )

    def kill(self) -> None:
        """Kill it, from whatever thread; who listens to it learns that it is gone."""
        self._process.kill()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send one message; that the child is gone is known when it is heard."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def hear(self, seconds: float | None) -> dict[str, Any] | None:
        """Return the next message, None if none comes within `seconds`; None waits for ever.

        Raises:
            ChildEnded: the child is gone, or talks nonsense.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while (at := self._heard.find(b"\n")) < 0:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._poll.poll(None if left is None else math.ceil(left * 1e3)):
                return None
            try:
                more = self._socket.recv(1 << 16)
            except ConnectionResetError:
                more = b""
            if not more:
                raise self._gone()
            self._heard += more
            if len(self._heard) > _LONGEST:
                raise self._babbles()
        line = bytes(self._heard[:at])
        del self._heard[: at + 1]
        with contextlib.suppress(ValueError, RecursionError):
            message = json.loads(line)
            if isinstance(message, dict):
                return message
        raise self._babbles()

    def frames(self, count: int, shape: tuple[int, ...], at: int = 0) -> NDArray[np.uint8]:
        """Return a copy of `count` frames of `shape` in the shared memory, from byte `at` on."""
        size = count * math.prod(shape)
        with memoryview(self._memory) as memory, memory[at : at + size] as part:
            return np.array(part, np.uint8).reshape(count, *shape)

    def _gone(self) -> ChildEnded:
        """Return how it ended, now that it hung up."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return self._babbles()
        size = os.fstat(self._noise).st_size
        noise = os.pread(self._noise, 2000, max(0, size - 2000)).decode(errors="replace")
        return ChildEnded(code, "".join(noise.strip().splitlines()[-1:]))

    def _babbles(self) -> ChildEnded:
        """End a child that no longer keeps to its lines."""
        self._process.kill()
        self._process.wait()
        return ChildEnded(0, "it sent what is no message")


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _sealed(size: int) -> int:
    """Return memory of a fixed size as a file descriptor."""
    import fcntl

    memory = os.memfd_create("trml-rt-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, max(1, size))
    fcntl.fcntl(
        memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    )
    return memory


def _end(process: subprocess.Popen[bytes], owner: int, *held: Any) -> None:
    if os.getpid() == owner:
        process.kill()
        process.wait()
    # In a fork this lets go of what tells the child that its parent lives.
    for each in held:
        os.close(each) if isinstance(each, int) else each.close()


_children: weakref.WeakSet[Child] = weakref.WeakSet()


def _let_go() -> None:
    for child in list(_children):
        child.end()


os.register_at_fork(after_in_child=_let_go)
