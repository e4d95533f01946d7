"""ONNX Runtime on the CPU: the back end that runs everywhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trml_rt.backends import CompileJob, CompileOptions, CompileReport, Tensors
from trml_rt.backends.check import Check
from trml_rt.backends.cpu import best_feature, cpu_features
from trml_rt.backends.onnx_weights import graph_without_weights
from trml_rt.backends.process import (
    give_back_memory,
    never_free_in_children,
    usable_cores,
)
from trml_rt.backends.tensors import differences
from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.files import CheckedFile, FileLike
from trml_rt.bundle.manifest import EngineSpec
from trml_rt.bundle.records import refuse
from trml_rt.errors import (
    ArtefactMismatch,
    BackendUnavailable,
    closed,
    import_fault,
    lacking,
    lacks_resource,
)

if TYPE_CHECKING:
    import onnxruntime

__all__ = [
    "OnnxRuntimeBackend",
    "OnnxRuntimeEngine",
    "built_for",
    "checks",
    "compile_graph",
    "device",
    "key_prefix",
    "open_backend",
]

_DTYPES = {
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(float)": "float32",
    "tensor(bool)": "bool",
}

# This optimiser quantises the FP32 filters of an INT8 graph, with one scale for all channels. With
# ONNX Runtime 1.32 that was seen to cost an encoder 0.1 of its cosine.
_DISABLED = ["WeightBiasQuantization"]

_WEIGHTS_IN = "session.model_external_initializers_file_folder_path"


def open_backend(
    name: str,  # noqa: ARG001
    threads: int | None,
    callers: int,
    *,
    compiled: bool,
) -> OnnxRuntimeBackend:
    """Open the back end; see `BackendModule`."""
    if callers > 1:
        # All callers run in one session. Each brings its own thread, and they share the others,
        # so no core has two threads that work, and one caller alone has the others to itself.
        in_all = usable_cores() if threads is None else callers * threads
        threads = max(1, in_all - callers + 1)
    return OnnxRuntimeBackend(threads, optimised=compiled)


def built_for(name: str, options: CompileOptions) -> dict[str, str]:  # noqa: ARG001
    """Return what an optimised graph belongs to: ONNX Runtime's version and this CPU."""
    onnxruntime = _import()
    return {
        "builder options": "graph_optimization_level=all",
        "back end version": onnxruntime.__version__,
        "CPU features": cpu_features(),
    }


def key_prefix(built_for: Mapping[str, str]) -> str:
    """Return the best instruction set and the version, such as `cpu-avx2_ort1.32.0`."""
    best = best_feature(built_for["CPU features"])
    return f"cpu-{best}_ort{built_for['back end version']}"


def compile_graph(name: str, job: CompileJob) -> CompileReport:  # noqa: ARG001
    """Write the graph as ONNX Runtime's optimiser leaves it on this CPU."""
    OnnxRuntimeBackend().optimise(job.graph, job.target)
    return CompileReport()


def checks(name: str, required: bool) -> list[Check]:  # noqa: ARG001
    """Check that ONNX Runtime loads; it is always required."""
    try:
        onnxruntime = _import()
    except BackendUnavailable as error:
        return [Check("back end onnxruntime", False, str(error), remedy="pip install onnxruntime")]
    providers = onnxruntime.get_available_providers()
    served = "CPUExecutionProvider" in providers
    return [Check("back end onnxruntime", served, ", ".join(providers)), _telemetry()]


def _telemetry() -> Check:
    """Say whether ONNX Runtime may report to its vendor; `import trml_rt` forbids it."""
    variable = "ORT_DISABLE_TELEMETRY"
    value = os.environ.get(variable, "")
    off = value in ("1", "true")  # of seven values that were tried, these stop it
    remedy = None if off else f"unset {variable}"
    return Check(
        "ONNX Runtime telemetry",
        off,
        f"{'off' if off else 'on'}, {variable}={value}",
        required=False,
        remedy=remedy,
    )


def device(name: str) -> dict[str, str]:  # noqa: ARG001
    """Return nothing: a benchmark names the CPU anyway."""
    return {}


def _import() -> Any:
    """Import ONNX Runtime.

    Raises:
        BackendUnavailable: it is not installed, or its libraries do not load.
    """
    try:
        import onnxruntime
    except ImportError as error:
        what = import_fault(error, "onnxruntime")
        raise BackendUnavailable(f"ONNX Runtime {what}; pip install onnxruntime") from None
    return onnxruntime


class OnnxRuntimeBackend:
    """Loads ONNX graphs into ONNX Runtime sessions on the CPU.

    Args:
        threads: threads that one engine may use; None leaves the choice to ONNX Runtime
            (one a physical core).
        optimised: the graphs come from `optimise`, so that loading need not do it again.
    """

    name = "onnxruntime"

    def __init__(self, threads: int | None = None, *, optimised: bool = False) -> None:
        self._ort = _import()
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        # Its exceptions share no base class but Exception.
        self._refusals = (
            *(state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf),
            *(state.NotImplemented, state.RuntimeException, RuntimeError, ValueError),
        )
        self._threads = threads
        self._optimised = optimised

    def load(self, engine: EngineSpec, path: FileLike) -> OnnxRuntimeEngine:
        """Load the graph at `path`; its inputs and outputs must be those of `engine` (R13).

        Raises:
            ArtefactMismatch: ONNX Runtime refuses the graph, or its tensors differ.
        """
        options = self._ort.SessionOptions()
        if self._optimised:
            # Basic, not none: weights stored in FP16 are still to be widened, once.
            options.graph_optimization_level = self._ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        # Its own path: ONNX Runtime refuses weights behind a link that leaves the folder.
        whole = Path(str(path)).resolve()
        lean = graph_without_weights(path, whole.name) if _is_utf8(whole) else None
        if lean is not None:
            options.add_session_config_entry(_WEIGHTS_IN, os.fspath(whole.parent))
        session = self._session(path, options, lean)
        if lean is not None and isinstance(path, CheckedFile):
            path.refuse_replaced()
        give_back_memory()
        problems = [
            *differences("input", engine.inputs, _told(session.get_inputs())),
            *differences("output", engine.outputs, _told(session.get_outputs())),
        ]
        if problems:
            refuse(str(path), problems)
        return OnnxRuntimeEngine(session, engine, self._refusals)

    def optimise(self, source: Path, target: Path, *, basic: bool = False) -> None:
        """Write the graph at `source` to `target` as ONNX Runtime's optimiser leaves it here.

        Args:
            source: the graph.
            target: the file to write.
            basic: only what holds on every CPU: constants folded, weights widened.

        Raises:
            ArtefactMismatch: ONNX Runtime refuses the graph.
            OSError: `target` cannot be written.
        """
        options = self._ort.SessionOptions()
        level = self._ort.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_ENABLE_BASIC if basic else level.ORT_ENABLE_ALL
        with tempfile.TemporaryDirectory() as folder:
            written = target if _is_utf8(target) else Path(folder) / "graph.onnx"
            options.optimized_model_filepath = os.fspath(written)
            try:
                self._session(source, options)
            except ArtefactMismatch:
                # ONNX Runtime calls a full disk a fault of the graph.
                write_bytes(written, bytes(2 * source.stat().st_size))
                written.unlink()
                raise
            if written != target:
                write_bytes(target, written.read_bytes())

    def _session(
        self, path: FileLike, options: onnxruntime.SessionOptions, lean: bytes | None = None
    ) -> onnxruntime.InferenceSession:
        options.log_severity_level = 4  # an error also comes as an exception, once
        # Threads of a session spin a while after a run, and take the cores from the engine that
        # runs next: ten texts in a row took 64 ms on two cores, and take 38
        # (benchmarks/results/spinning.json).
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # Without VNNI a CPU adds pairs of int8 products in 16 bits, which saturates: seen to cost a
        # small transformer 0.02 of its cosine. This takes uint8 weights there, slower and exact.
        options.add_session_config_entry("session.x64quantprecision", "1")
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        graph = lean or (os.fspath(path) if _is_utf8(path) else path.read_bytes())
        try:
            return self._ort.InferenceSession(
                graph,
                sess_options=options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=_DISABLED,
            )
        except self._refusals as error:
            reason = _first_line(error).replace(os.fspath(path), str(path))
            if _is_shortage(reason):
                raise lacking(f"{path}:", "load it", reason) from None
            raise ArtefactMismatch(f"{path}: ONNX Runtime cannot load it: {reason}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _is_shortage(reason: str) -> bool:
    """Say whether the machine lacks memory, which ONNX Runtime tells by words alone."""
    return lacks_resource(RuntimeError(reason))


def _is_utf8(path: FileLike) -> bool:
    """Say whether ONNX Runtime, which takes a path as UTF-8, means the file that the system means.

    It does not where the name is no text, nor where the locale has another encoding.
    """
    try:
        return os.fspath(path).encode() == os.fsencode(path)
    except UnicodeEncodeError:
        return False


class OnnxRuntimeEngine:
    """One ONNX Runtime session; safe to run from several threads at once."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        engine: EngineSpec,
        refusals: tuple[type[Exception], ...],
    ) -> None:
        self._session: onnxruntime.InferenceSession | None = session
        never_free_in_children(session)
        self._refusals = refusals
        self._outputs = [tensor.name for tensor in engine.outputs]

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph and return its outputs by name, in arrays of the caller's own."""
        session = self._session  # another thread may close this engine; ours lives on till the end
        if session is None:
            raise closed()
        try:
            return dict(zip(self._outputs, session.run(self._outputs, inputs), strict=True))
        except self._refusals as error:
            reason = _first_line(error)
            if _is_shortage(reason):
                raise lacking("ONNX Runtime:", "run an engine", reason) from None
            raise ArtefactMismatch(f"ONNX Runtime cannot run an engine: {reason}") from None

    def close(self) -> None:
        """Free the session; closing twice is fine."""
        self._session = None


def _told(arguments: list[onnxruntime.NodeArg]) -> dict[str, tuple[str, list[int | str | None]]]:
    """Return type and shape of a graph's tensors by name."""
    return {each.name: (_DTYPES.get(each.type, each.type), each.shape) for each in arguments}
