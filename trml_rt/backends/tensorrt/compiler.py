"""Compile one ONNX graph into a TensorRT plan. Run as a process of its own, one a graph.

The process reads one request, a line of JSON on stdin, and ends when stdin does. It writes one
JSON object a line on stdout: progress, then a report or an error. A compiler that runs out of
memory or crashes thus takes nobody with it, and its memory is free again before the next graph. The
plan on disk is the plan and nothing else, so that trtexec, DeepStream and Triton load it as well.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trml_rt.backends.process import peak_memory
from trml_rt.backends.tensorrt.layers import computed_in_network, count_layers, require
from trml_rt.backends.tensorrt.library import Log, construct, fault, import_tensorrt, new_log
from trml_rt.bundle.atomic import write_bytes
from trml_rt.errors import EnvironmentUnfit, TrmlError, UsageError

if TYPE_CHECKING:
    import tensorrt

__all__ = ["PlanReport", "PlanRequest", "capability", "compile_plan"]

MEBIBYTE = 1 << 20

WORKSPACE_MIB = 1024
"""The most scratch memory that a kernel may use where nobody says how much."""


@dataclass(frozen=True)
class PlanRequest:
    """What to compile, and how.

    Attributes:
        backend: "tensorrt" or "tensorrt-rtx".
        graph: the ONNX file.
        plan: the file to write.
        precision: what the graph must compute in: fp32, fp16 or int8.
        profile: smallest, best and largest shape of each input.
        workspace_mib: the most scratch memory that a kernel may use.
        optimization_level: 0 to 5; None leaves TensorRT's own.
        timing_cache: file to read and write; None does without. TensorRT for RTX has none.
        targets: compute capabilities to compile for, such as "8.9"; none: the GPU that is here.
            Only TensorRT for RTX compiles for a GPU that is not here.
    """

    backend: str
    graph: str
    plan: str
    precision: str
    profile: dict[str, tuple[list[int], list[int], list[int]]]
    workspace_mib: int = WORKSPACE_MIB
    optimization_level: int | None = None
    timing_cache: str | None = None
    targets: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PlanReport:
    """What came out: sizes, times, and the precision of the layers.

    `network` counts matrix products and convolutions as parsed; `layers` what the engine
    inspector reads from the plan, empty where the plan is for a GPU that is not here. `peak_mib`
    is None where the system does not tell.
    """

    bytes: int
    seconds: float
    peak_mib: int | None
    network: dict[str, int]
    layers: dict[str, int]
    log: list[str]


def compile_plan(
    request: PlanRequest, progress: Callable[[str, int, int], None] = lambda *_: None
) -> PlanReport:
    """Compile in this process; see `compile_apart` for one of its own.

    Raises:
        EnvironmentUnfit: TensorRT refuses, with its last words.
        VerificationFailed: the graph, or the plan, does not compute in the wanted precision.
    """
    start = time.perf_counter()
    library = import_tensorrt(request.backend)
    if TYPE_CHECKING:
        import tensorrt as trt
    else:
        trt = library
    log = new_log(library)
    builder = construct(log, "builder", lambda: trt.Builder(log.logger))
    # Bit 1 on 10.x, bit 0 on 11: never a literal.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    if network is None:  # an empty one counts as false
        raise fault(log, "makes no network")
    parser = construct(log, "parser", lambda: trt.OnnxParser(network, log.logger))
    if not parser.parse_from_file(request.graph):  # it owns the weights: keep it to the end
        errors = [str(parser.get_error(index)) for index in range(parser.num_errors)]
        raise fault(log, f"cannot parse {request.graph}: {'; '.join(errors)}")
    counts = computed_in_network(library, network)
    require(request.precision, counts, request.graph)
    config = _configured(library, builder, request, log)
    monitor = _monitor(library, progress)
    config.progress_monitor = monitor
    _load_timing_cache(config, request)

    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise fault(log, f"cannot compile {request.graph}")
    data = bytes(plan)
    layers: dict[str, int] = {}
    if not request.targets:
        layers = _read_back(library, data, request, log)
        require(request.precision, layers, request.plan)
    write_bytes(Path(request.plan), data)
    _save_timing_cache(config, request)
    peak = peak_memory()
    return PlanReport(
        bytes=len(data),
        seconds=round(time.perf_counter() - start, 2),
        peak_mib=None if peak is None else peak // MEBIBYTE,
        network=counts,
        layers=layers,
        log=log.everything(),
    )


def _configured(
    library: Any, builder: tensorrt.Builder, request: PlanRequest, log: Log
) -> tensorrt.IBuilderConfig:
    """Return the settings of the compiler, the shape profile among them."""
    if TYPE_CHECKING:
        import tensorrt as trt
    else:
        trt = library
    config = builder.create_builder_config()
    if config is None:
        raise fault(log, "makes no settings for its compiler")
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_mib * MEBIBYTE)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the engine inspector
    if request.optimization_level is not None:
        config.builder_optimization_level = request.optimization_level
    if request.precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)  # FP32 is the reference: no rounded operands
    _for_rtx(library, config, request)
    if config.add_optimization_profile(_profile(builder, request, log)) < 0:
        raise fault(log, f"refuses the shapes {request.profile} for {request.graph}")
    return config


def _profile(
    builder: tensorrt.Builder, request: PlanRequest, log: Log
) -> tensorrt.IOptimizationProfile:
    profile = builder.create_optimization_profile()
    if profile is None:  # an empty one counts as false
        raise fault(log, "makes no optimization profile")
    for name, (smallest, best, largest) in request.profile.items():
        profile.set_shape(name, tuple(smallest), tuple(best), tuple(largest))  # type: ignore[arg-type]
    return profile


def _for_rtx(trt: Any, config: Any, request: PlanRequest) -> None:
    """Set what only TensorRT for RTX has: targets, and memory that CUDA graphs can live with."""
    if request.backend != "tensorrt-rtx":
        if request.targets:
            raise UsageError("only tensorrt-rtx compiles for a GPU that is not here")
        return
    wanted = [capability(trt, target) for target in request.targets]
    wanted = wanted or [trt.ComputeCapability.CURRENT]
    config.num_compute_capabilities = len(wanted)
    for index, each in enumerate(wanted):
        config.set_compute_capability(each, index)
    config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)


def capability(trt: Any, target: str) -> Any:
    """Return what TensorRT for RTX calls a compute capability such as "8.9".

    Raises:
        EnvironmentUnfit: it does not compile for that.
    """
    capabilities, name = trt.ComputeCapability.__members__, "SM" + target.replace(".", "")
    if name not in capabilities:
        able = ", ".join(each for each in capabilities if each.startswith("SM"))
        raise EnvironmentUnfit(
            f"TensorRT for RTX {trt.__version__} does not compile for {name}; it does for {able}"
        )
    return capabilities[name]


def _load_timing_cache(config: tensorrt.IBuilderConfig, request: PlanRequest) -> None:
    """Give the compiler its timing cache; one that it refuses is begun anew."""
    if request.timing_cache is None or request.backend == "tensorrt-rtx":
        return
    path = Path(request.timing_cache)
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _save_timing_cache(config: tensorrt.IBuilderConfig, request: PlanRequest) -> None:
    if request.timing_cache is None or request.backend == "tensorrt-rtx":
        return
    cache = config.get_timing_cache()
    if cache is not None:
        write_bytes(Path(request.timing_cache), bytes(cache.serialize()))


def _read_back(trt: Any, plan: bytes, request: PlanRequest, log: Log) -> dict[str, int]:
    """Load the plan and count its layers by precision, at the best shapes."""
    runtime: tensorrt.Runtime = construct(log, "runtime", lambda: trt.Runtime(log.logger))
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise fault(log, f"does not load the plan that it made of {request.graph}")
    inspector = engine.create_engine_inspector()
    context = engine.create_execution_context()
    if context is None or inspector is None:
        raise fault(log, f"cannot describe the plan that it made of {request.graph}")
    for name, (_, best, _) in request.profile.items():
        if not context.set_input_shape(name, tuple(best)):
            raise fault(log, f"refuses the shape {best} for {name}")
    # Without a context the inspector tells no types of tensors whose shape is open.
    inspector.execution_context = context
    return count_layers(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def _monitor(trt: Any, progress: Callable[[str, int, int], None]) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # one class of two modules
        """Passes the outermost phase's steps on; inner phases are too many to read."""

        def __init__(self) -> None:
            super().__init__()
            self.outermost: tuple[str, int] | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self.outermost = (phase_name, num_steps)
                progress(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if self.outermost is not None and phase_name == self.outermost[0]:
                progress(phase_name, step + 1, self.outermost[1])
            return True

        def phase_finish(self, phase_name: str) -> None:
            if self.outermost is not None and phase_name == self.outermost[0]:
                self.outermost = None

    return Monitor()


def _say(kind: str, content: Any) -> None:
    sys.stdout.write(json.dumps({kind: content}) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """Wait for the end of stdin, which comes when the parent is gone, by kill -9 for instance."""
    os.read(sys.stdin.fileno(), 1)  # not `read`: its lock would still be held at exit
    os._exit(1)


def main() -> int:
    """Serve one request from stdin; see the module's own words."""
    request = PlanRequest(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        report = compile_plan(request, lambda *step: _say("progress", step))
    except TrmlError as error:
        _say("error", {"kind": type(error).__name__, "message": str(error)})
        return error.exit_code
    _say("report", asdict(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
