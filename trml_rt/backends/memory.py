"""How much memory this process has held, and how much the machine has free."""

from __future__ import annotations

from pathlib import Path

__all__ = ["available_memory", "peak_memory"]


def peak_memory() -> int | None:
    """Return the most resident memory that this process has held, in bytes; None if unknown.

    Read from /proc, and not from `getrusage`: the figure of `getrusage` begins with what the
    parent process held when it forked.
    """
    return _kibibytes("/proc/self/status", "VmHWM")


def available_memory() -> int | None:
    """Return the bytes that a new process could take without swapping; None if unknown."""
    return _kibibytes("/proc/meminfo", "MemAvailable")


def _kibibytes(file: str, field: str) -> int | None:
    """Return the value of a line such as `VmHWM:  1234 kB`, in bytes."""
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(values[0]) * 1024 if values else None
