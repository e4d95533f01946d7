"""ONNX Runtime on the CPU: the back end that runs everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trml_rt.backends import Tensors
from trml_rt.errors import ArtefactMismatch, BackendUnavailable
from trml_rt.manifest import EngineSpec, TensorSpec
from trml_rt.strict import refuse

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["OnnxRuntimeBackend", "OnnxRuntimeEngine"]

_DTYPES = {
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(float)": "float32",
    "tensor(bool)": "bool",
}


class OnnxRuntimeBackend:
    """Loads ONNX graphs into ONNX Runtime sessions on the CPU.

    Args:
        threads: threads that one engine may use; None leaves the choice to ONNX Runtime
            (one a physical core).
    """

    name = "onnxruntime"

    def __init__(self, threads: int | None = None) -> None:
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

    def load(self, engine: EngineSpec, path: Path) -> OnnxRuntimeEngine:
        """Load the graph at `path`; its inputs and outputs must be those of `engine` (R13).

        Raises:
            ArtefactMismatch: ONNX Runtime refuses the graph, or its tensors differ.
        """
        options = self._ort.SessionOptions()
        options.log_severity_level = 4  # an error also comes as an exception, once
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        try:
            session = self._ort.InferenceSession(
                path, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except self._refusals as error:
            reason = str(error).strip().splitlines()[0]
            raise ArtefactMismatch(f"{path}: ONNX Runtime cannot load it: {reason}") from None
        problems = [
            *_differences("input", engine.inputs, session.get_inputs()),
            *_differences("output", engine.outputs, session.get_outputs()),
        ]
        if problems:
            refuse(str(path), problems)
        return OnnxRuntimeEngine(session, engine)


class OnnxRuntimeEngine:
    """One ONNX Runtime session; safe to run from several threads at once."""

    def __init__(self, session: onnxruntime.InferenceSession, engine: EngineSpec) -> None:
        self._session: onnxruntime.InferenceSession | None = session
        self._outputs = [tensor.name for tensor in engine.outputs]

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph and return its outputs by name, in arrays of the caller's own."""
        if self._session is None:
            raise RuntimeError("engine is closed")
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))

    def close(self) -> None:
        """Free the session; closing twice is fine."""
        self._session = None


def _differences(
    side: str, stated: list[TensorSpec], found: list[onnxruntime.NodeArg]
) -> list[str]:
    """List how the tensors of a graph differ from the manifest's, in names and types."""
    want = {tensor.name: tensor.dtype for tensor in stated}
    have = {arg.name: _DTYPES.get(arg.type, arg.type) for arg in found}
    return [
        f"{side} {name!r}: {want.get(name, 'nothing')} stated, {have.get(name, 'nothing')} found"
        for name in sorted(want.keys() | have.keys())
        if want.get(name) != have.get(name)
    ]
