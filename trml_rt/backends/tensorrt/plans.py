"""What the table of back ends asks of TensorRT and of TensorRT for RTX.

TensorRT for RTX also compiles for a GPU that is elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from trml_rt.backends import CompileJob, CompileOptions, CompileReport
from trml_rt.backends.check import Check
from trml_rt.backends.tensorrt.backend import TensorRtBackend
from trml_rt.backends.tensorrt.child import compile_apart
from trml_rt.backends.tensorrt.compiler import (
    WORKSPACE_MIB,
    PlanReport,
    PlanRequest,
    capability,
)
from trml_rt.backends.tensorrt.cuda import current_gpu
from trml_rt.backends.tensorrt.doctor import nvidia_checks
from trml_rt.backends.tensorrt.layers import computes_in
from trml_rt.backends.tensorrt.library import import_tensorrt
from trml_rt.bundle.manifest import Axes, Axis, EngineSpec

__all__ = [
    "built_for",
    "checks",
    "compile_graph",
    "device",
    "key_prefix",
    "open_backend",
    "profile_of",
]

_log = logging.getLogger(__name__)

_SHORT = {"tensorrt": "trt", "tensorrt-rtx": "rtx"}
# A timing cache belongs to one GPU, TensorRT and CUDA.
_OWNER = ("back end version", "GPU", "multiprocessors", "CUDA")


def open_backend(
    name: str,
    threads: int | None,  # noqa: ARG001
    callers: int,  # noqa: ARG001
    *,
    compiled: bool,  # noqa: ARG001
) -> TensorRtBackend:
    """Open the back end on the GPU that is here; it loads compiled plans only."""
    return TensorRtBackend(name)


def built_for(name: str, options: CompileOptions) -> dict[str, str]:
    """Return what a plan belongs to.

    A plan of full TensorRT belongs to one GPU model, TensorRT and CUDA version. A plan of
    TensorRT for RTX belongs to a compute capability: its kernels are made when it loads.

    Raises:
        BackendUnavailable: TensorRT or a CUDA runtime is not installed.
        EnvironmentUnfit: there is no GPU, or TensorRT's version is not supported.
    """
    level = "default" if options.optimization_level is None else options.optimization_level
    return {
        "builder options": f"workspace_mib={_workspace(options)} optimization_level={level}",
        "back end version": import_tensorrt(name).__version__,
        **_device(name, options.target),
    }


def key_prefix(built_for: Mapping[str, str]) -> str:
    """Return compute capability and version, such as `sm89_rtx1.7.1`."""
    short = _SHORT[built_for["back end"]]
    device = f"sm{built_for['compute capability'].replace('.', '')}"
    return f"{device}_{short}{built_for['back end version']}"


def compile_graph(name: str, job: CompileJob) -> CompileReport:
    """Compile one graph into a plan, in a process of its own."""

    def step(phase: str, done: int, of: int) -> None:
        _log.info("%s: %s, %d of %d", job.engine, phase.lower(), done, of)

    cache = None
    if name == "tensorrt":
        fields = built_for(name, job.options)
        owner = json.dumps([fields[field] for field in _OWNER])
        digest = hashlib.sha256(owner.encode()).hexdigest()[:16]
        cache = str(job.keep / f".timing-{digest}")
    report = compile_apart(
        PlanRequest(
            backend=name,
            graph=str(job.graph),
            plan=str(job.target),
            precision=job.computes,
            profile=profile_of(job.spec, job.axes),
            workspace_mib=_workspace(job.options),
            optimization_level=job.options.optimization_level,
            timing_cache=cache,
            targets=[] if job.options.target is None else [job.options.target],
        ),
        step,
        check_memory=job.options.memory_check is not False,
    )
    lines = _lines(job.engine, report)
    if computes_in(job.computes, report.layers) is None:
        lines.append(
            f"{job.engine}: TensorRT's inspector tells no types of this plan; only the parsed "
            f"network shows that it computes in {job.computes}"
        )
        _log.warning("%s", lines[-1])
    return CompileReport(report.network, report.layers, lines)


def checks(name: str, required: bool) -> list[Check]:
    """Check JetPack, CUDA, the GPU and this TensorRT."""
    return nvidia_checks(name, required)


def device(name: str) -> dict[str, str]:
    """Return the GPU's name."""
    return {"gpu": current_gpu(name).name}


def profile_of(engine: EngineSpec, axes: Axes) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """Return the smallest, best and largest shape of each input of an engine."""
    axis_of: dict[str, Axis] = {"batch": axes.batch, "tokens": axes.tokens, "frames": axes.frames}

    def sizes(shape: list[Any], which: str) -> list[int]:
        return [getattr(axis_of[d], which) if isinstance(d, str) else d for d in shape]

    return {
        tensor.name: (
            sizes(tensor.shape, "min"),
            sizes(tensor.shape, "opt"),
            sizes(tensor.shape, "max"),
        )
        for tensor in engine.inputs
    }


def _workspace(options: CompileOptions) -> int:
    return WORKSPACE_MIB if options.workspace_mib is None else options.workspace_mib


def _device(name: str, target: str | None) -> dict[str, str]:
    if target is not None:
        capability(import_tensorrt(name), target)
        return {"compute capability": target}
    gpu = current_gpu(name)
    if name == "tensorrt-rtx":
        return {"compute capability": gpu.compute_capability}
    return {
        "compute capability": gpu.compute_capability,
        "GPU": gpu.name,
        "multiprocessors": str(gpu.multiprocessors),
        "CUDA": gpu.cuda_driver,
    }


def _lines(engine: str, report: PlanReport) -> list[str]:
    """Return what the compiler said of an engine, for people."""
    peak = (
        "peak of memory unknown"
        if report.peak_mib is None
        else f"{report.peak_mib} MiB at the peak"
    )
    return [
        f"== {engine}: {report.bytes} bytes in {report.seconds} s, {peak}; "
        f"products as parsed: {report.network}; layers as built: {report.layers}",
        *report.log,
    ]
