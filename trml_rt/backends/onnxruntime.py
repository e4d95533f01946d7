"""ONNX Runtime on the CPU: the back end that runs everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trml_rt.backends import Tensors
from trml_rt.backends.tensors import differences
from trml_rt.bundle.manifest import EngineSpec
from trml_rt.bundle.records import refuse
from trml_rt.errors import ArtefactMismatch, BackendUnavailable, UsageError

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["OnnxRuntimeBackend", "OnnxRuntimeEngine"]

_DTYPES = {
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(float)": "float32",
    "tensor(bool)": "bool",
}


# It gives the filters that an INT8 graph keeps in FP32 one int8 scale for all channels, unasked:
# seen to cost an encoder 0.1 of its cosine, with 1.32.
_DISABLED = ["WeightBiasQuantization"]


class OnnxRuntimeBackend:
    """Loads ONNX graphs into ONNX Runtime sessions on the CPU.

    Args:
        threads: threads that one engine may use; None leaves the choice to ONNX Runtime
            (one a physical core).
        optimised: the graphs come from `optimise`, so that loading need not do it again.
    """

    name = "onnxruntime"

    def __init__(self, threads: int | None = None, *, optimised: bool = False) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise BackendUnavailable(
                'ONNX Runtime is not installed; pip install "trml-rt"'
            ) from None
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        self._ort = onnxruntime
        # Its exceptions share no base class but Exception.
        self._refusals = (
            *(state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf),
            *(state.NotImplemented, state.RuntimeException, RuntimeError, ValueError),
        )
        self._threads = threads
        self._optimised = optimised

    def load(self, engine: EngineSpec, path: Path) -> OnnxRuntimeEngine:
        """Load the graph at `path`; its inputs and outputs must be those of `engine` (R13).

        Raises:
            ArtefactMismatch: ONNX Runtime refuses the graph, or its tensors differ.
        """
        options = self._ort.SessionOptions()
        if self._optimised:
            # Basic, not none: weights stored in FP16 are still to be widened, once.
            options.graph_optimization_level = self._ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        session = self._session(path, options)
        problems = [
            *differences("input", engine.inputs, _told(session.get_inputs())),
            *differences("output", engine.outputs, _told(session.get_outputs())),
        ]
        if problems:
            refuse(str(path), problems)
        return OnnxRuntimeEngine(session, engine, self._refusals)

    def optimise(self, source: Path, target: Path) -> None:
        """Write the graph at `source` to `target` as ONNX Runtime's optimiser leaves it here.

        Raises:
            ArtefactMismatch: ONNX Runtime refuses the graph.
        """
        options = self._ort.SessionOptions()
        options.graph_optimization_level = self._ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(target)
        self._session(source, options)

    def _session(
        self, path: Path, options: onnxruntime.SessionOptions
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
        try:
            return self._ort.InferenceSession(
                path,
                sess_options=options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=_DISABLED,
            )
        except self._refusals as error:
            reason = str(error).strip().splitlines()[0]
            raise ArtefactMismatch(f"{path}: ONNX Runtime cannot load it: {reason}") from None


class OnnxRuntimeEngine:
    """One ONNX Runtime session; safe to run from several threads at once."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        engine: EngineSpec,
        refusals: tuple[type[Exception], ...],
    ) -> None:
        self._session: onnxruntime.InferenceSession | None = session
        self._refusals = refusals
        self._outputs = [tensor.name for tensor in engine.outputs]

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph and return its outputs by name, in arrays of the caller's own."""
        session = self._session  # another thread may close this engine; ours lives on till the end
        if session is None:
            raise UsageError("this runtime is closed; load the bundle again")
        try:
            return dict(zip(self._outputs, session.run(self._outputs, inputs), strict=True))
        except self._refusals as error:
            reason = str(error).strip().splitlines()[0]
            raise ArtefactMismatch(f"ONNX Runtime cannot run an engine: {reason}") from None

    def close(self) -> None:
        """Free the session; closing twice is fine."""
        self._session = None


def _told(arguments: list[onnxruntime.NodeArg]) -> dict[str, tuple[str, list[int | str | None]]]:
    """Return type and shape of a graph's tensors by name."""
    return {each.name: (_DTYPES.get(each.type, each.type), each.shape) for each in arguments}
