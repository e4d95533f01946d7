"""Run the TensorRT compiler in a process of its own, after looking at memory.

On a Jetson the GPU's memory is the system's, and the kernel answers a shortage by killing
whatever is largest. So the need is estimated first, one graph compiles at a time, and a compiler
that was killed is reported as just that.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trml_rt import errors
from trml_rt.backends.process import available_memory, free_swap, python_command
from trml_rt.backends.tensorrt.compiler import MEBIBYTE, PlanReport, PlanRequest
from trml_rt.errors import EnvironmentUnfit, TrmlError

_COMPILER = "trml_rt.backends.tensorrt.compiler"

__all__ = ["compile_apart", "memory_needed"]

# Measured with TensorRT for RTX on a CPU (benchmarks/results/tensorrt_compile.json): 228 MiB for
# the smallest graph; the towers of ViT-B/32 in FP32, 242 and 335 MiB, took 1111 and 1400. For each
# of 30 graphs the estimate was at least 200 MiB above the peak.
_BASE = {"tensorrt-rtx": 600 * MEBIBYTE, "tensorrt": 2400 * MEBIBYTE}
# Full TensorRT: not measured. Its own log tells 1749 MiB for the kernels that it chooses from
# (https://github.com/NVIDIA/TensorRT/issues/4493).
_TIMES_WEIGHTS = 5
_WIDENING = {"fp32": 1, "fp16": 2, "int8": 4}


def memory_needed(request: PlanRequest) -> int:
    """Return the bytes of system memory that compiling is expected to take at its peak.

    The workspace counts too where kernels are timed: a Jetson's GPU takes it from the system.
    """
    weights = _WIDENING[request.precision] * Path(request.graph).stat().st_size
    return _BASE[request.backend] + _TIMES_WEIGHTS * weights + _workspace(request)


def compile_apart(
    request: PlanRequest,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    *,
    check_memory: bool = True,
) -> PlanReport:
    """Compile one graph in a child process and return its report.

    `check_memory` looks first whether memory will suffice.

    Raises:
        EnvironmentUnfit: too little memory, TensorRT refuses, or the compiler was killed.
        VerificationFailed: the graph or the plan does not compute in the wanted precision.
    """
    if check_memory:
        _check_memory(request)
    with tempfile.TemporaryFile() as noise:
        child = subprocess.Popen(
            python_command(_COMPILER),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,  # a file: nobody reads it while the compiler talks
            text=True,
            start_new_session=True,  # Ctrl-C is for us; it ends when its input does
        )
        try:
            report = _converse(child, request, progress)
            code = child.wait()
        finally:
            child.kill()  # if we were interrupted, so is the compiler
            child.wait()
            assert child.stdout is not None
            child.stdout.close()
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # what it was not told any more
                child.stdin.close()
        if report is None or code != 0:
            noise.seek(0)
            raise EnvironmentUnfit(_death(request, code, noise.read().decode(errors="replace")))
    return report


def _check_memory(request: PlanRequest) -> None:
    """Refuse to compile where memory will not suffice; the compiler's own may be swapped out."""
    free = available_memory()
    if free is None:
        return
    needed, with_swap = memory_needed(request), free + free_swap()
    if with_swap < needed or free < _workspace(request):
        raise EnvironmentUnfit(
            f"compiling {request.graph} takes about {needed // MEBIBYTE} MiB and "
            f"{with_swap // MEBIBYTE} MiB are free, swap included; close other programs, add swap, "
            "build with a smaller --workspace, or try it with --no-memory-check"
        )


def _workspace(request: PlanRequest) -> int:
    """Return the bytes of scratch memory that kernels are timed with; a GPU's are not swapped."""
    return 0 if request.targets else request.workspace_mib * MEBIBYTE


def _converse(
    child: subprocess.Popen[str], request: PlanRequest, progress: Callable[[str, int, int], None]
) -> PlanReport | None:
    """Send the request, pass progress on, and return the report if there is one."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it died; its code says how
        child.stdin.write(json.dumps(asdict(request)) + "\n")
        child.stdin.flush()  # and it stays open: its end says that we are gone
    report = None
    for line in child.stdout:
        message = _parse(line)
        if "progress" in message:
            progress(*message["progress"])
        elif "report" in message:
            report = PlanReport(**message["report"])
        elif "error" in message:
            kind: type[TrmlError] = getattr(errors, message["error"]["kind"])
            raise kind(message["error"]["message"])
    return report


def _parse(line: str) -> dict[str, Any]:
    """Read one line of the child; whatever a library prints in between is no message."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _death(request: PlanRequest, code: int, noise: str) -> str:
    """Say how the compiler ended without a word of its own."""
    if code == -9:
        return (
            f"the compiler was killed while it compiled {request.graph}, most likely for want of "
            "memory; close other programs, add swap, or build with a smaller --workspace"
        )
    last = noise.strip().splitlines()[-1:] or ["it said nothing"]
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"the compiler ended with {how} while it compiled {request.graph}: {last[0]}"
