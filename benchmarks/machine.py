"""Describe the machine and the versions that a measurement was made with."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from trml_rt.backends.cpu import cpu_features

__all__ = ["describe", "report"]


def describe(packages: tuple[str, ...]) -> dict[str, Any]:
    """Return CPU, system and the versions of `packages`, for a result file."""
    return {
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "cpu_features": cpu_features(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
    }


def report(result: dict[str, Any], path: Path | None) -> None:
    """Print `result` as JSON and, if a path is given, write it there."""
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if path is not None:
        path.write_text(text, encoding="utf-8")


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
