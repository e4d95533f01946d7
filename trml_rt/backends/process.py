"""This process and its children: memory, cores, how a child is started, what a fork spares."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import weakref
from pathlib import Path

__all__ = [
    "available_memory",
    "free_swap",
    "give_back_memory",
    "never_free_in_children",
    "peak_memory",
    "python_command",
    "usable_cores",
]


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


def free_swap() -> int:
    """Return the bytes of swap that are free; 0 if unknown."""
    return _kibibytes("/proc/meminfo", "SwapFree") or 0


def give_back_memory() -> None:
    """Give the system what this process has freed, where the C library would keep it for later.

    Loading a graph leaves as much behind as half of the engine that it makes.
    """
    trim = getattr(ctypes.pythonapi, "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(ctypes.c_size_t(0))


_alive: weakref.WeakSet[object] = weakref.WeakSet()


def never_free_in_children(thing: object) -> None:
    """Keep forked children from freeing `thing`: that joins threads which only the parent has."""
    _alive.add(thing)


def _keep_for_ever() -> None:
    for thing in _alive:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_for_ever)


def usable_cores() -> int:
    """Return how many physical cores this process may use, 1 at least.

    Its affinity counts, and on Linux the quota of its control groups.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = {_siblings(cpu) for cpu in os.sched_getaffinity(0)}
    return math.ceil(min(len(cores), _quota()))


def _siblings(cpu: int) -> str:
    """Return the CPUs that are one core with `cpu`, or that one alone where nothing is known."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return _read(path) or str(cpu)


def _quota() -> float:
    """Return how many CPUs the control groups of this process allow at a time."""
    quotas = [math.inf]
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        if line.startswith("0::"):  # version 2, where the groups above bound a group, too
            group = Path("/sys/fs/cgroup" + line.removeprefix("0::"))
            for folder in (group, *group.parents):
                most, _, period = _read(folder / "cpu.max").partition(" ")
                if most.isdigit():
                    quotas.append(int(most) / int(period))
    return min(quotas)


def _read(path: Path) -> str:
    """Return a file of the system, "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _kibibytes(file: str, field: str) -> int | None:
    """Return the value of a line such as `VmHWM:  1234 kB`, in bytes."""
    lines = _read(Path(file)).splitlines()
    values = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(values[0]) * 1024 if values else None
