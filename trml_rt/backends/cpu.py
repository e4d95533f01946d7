"""This CPU: its name, and the instruction sets that kernels choose between.

The C++ reader tells the same (native/src/engines/device.cpp).
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["best_feature", "cpu_features", "describe_device", "half_type"]

_CPUINFO = Path("/proc/cpuinfo")

# The instruction sets that the kernels of ONNX Runtime and OpenVINO choose between.
_FEATURES = (
    *("sse4_1", "avx", "avx2", "f16c", "fma", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("avx_vnni", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve"),
)


def cpu_features() -> str:
    """Return the instruction sets of this CPU that kernels choose between, as one string.

    Read from /proc/cpuinfo; "unknown" where that does not exist.
    """
    flags = _line("flags", "Features")
    if flags is None:
        return "unknown"
    return " ".join(flag for flag in _FEATURES if flag in flags.split())


def best_feature(features: str) -> str:
    """Return the one of these instruction sets that names an engine folder."""
    there = features.split()
    return next((f for f in ("avx512f", "avx2", "sve", "asimd") if f in there), "generic")


def half_type() -> str | None:
    """Return the half precision that this CPU has units for, "bf16" or "f16"; None: neither.

    AVX512-FP16 does not count: f16 was seen to be slower there than FP32.
    """
    features = cpu_features().split()
    if "avx512_bf16" in features or "amx_bf16" in features:
        return "bf16"
    return "f16" if "asimdhp" in features else None


def describe_device() -> dict[str, str]:
    """Return what decides which of several engines is fastest here, beside the engines."""
    return {
        "CPU": _line("model name", "CPU part") or "unknown",
        "CPU features": cpu_features(),
        "CPUs": str(os.cpu_count()),
        "system": f"{platform.system().lower()} {platform.machine()}",
    }


def _line(*names: str) -> str | None:
    """Return the value of the first line of /proc/cpuinfo that has one of these names."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return None
