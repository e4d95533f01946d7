"""This process and its children: their memory, how a child is started, what a fork must spare."""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from pathlib import Path

__all__ = ["available_memory", "never_free_in_children", "peak_memory", "python_command"]


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs `module` as a program in a Python of its own.

    The child searches the same folders as this process. `python -m` would search the working
    directory first, and so run a stranger's `numpy.py` that lies beside a bundle.
    """
    folders = [path for path in sys.path if path]  # an empty one means the working directory
    start = (
        f"import sys; sys.path[:] = {folders!r}; import runpy; "
        f"del sys.argv[0]; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-c", start, module, *arguments]


def peak_memory() -> int | None:
    """Return the most resident memory that this process has held, in bytes; None if unknown.

    Read from /proc, and not from `getrusage`: the figure of `getrusage` begins with what the
    parent process held when it forked.
    """
    return _kibibytes("/proc/self/status", "VmHWM")


def available_memory() -> int | None:
    """Return the bytes that a new process could take without swapping; None if unknown."""
    return _kibibytes("/proc/meminfo", "MemAvailable")


_alive: weakref.WeakSet[object] = weakref.WeakSet()


def never_free_in_children(thing: object) -> None:
    """Keep forked children from freeing `thing`: that joins threads which only the parent has."""
    _alive.add(thing)


def _keep_for_ever() -> None:
    for thing in _alive:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_for_ever)


def _kibibytes(file: str, field: str) -> int | None:
    """Return the value of a line such as `VmHWM:  1234 kB`, in bytes."""
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(values[0]) * 1024 if values else None
