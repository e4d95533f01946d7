"""OpenVINO on the CPU: graphs compiled ahead for this CPU, and the portable graphs in FP32.

FP32 engines compute in FP32 throughout. FP16 engines compute in bf16 or f16, whichever this CPU has
units for; INT8 engines compute what is not quantised in it too, or in FP32 where it has none.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from trml_rt.backends import CompileJob, CompileOptions, CompileReport, Tensors
from trml_rt.backends.check import Check
from trml_rt.backends.cpu import best_feature, cpu_features, half_type
from trml_rt.backends.process import give_back_memory, never_free_in_children
from trml_rt.backends.tensors import differences
from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.files import FileLike
from trml_rt.bundle.manifest import EngineSpec
from trml_rt.bundle.records import refuse
from trml_rt.errors import (
    ArtefactMismatch,
    BackendUnavailable,
    EnvironmentUnfit,
    VerificationFailed,
    blames_machine,
    closed,
    import_fault,
    install_command,
    lacks_resource,
)

__all__ = [
    "OpenVinoBackend",
    "OpenVinoEngine",
    "built_for",
    "checks",
    "compile_graph",
    "device",
    "key_prefix",
    "open_backend",
]

_DTYPES = {"i32": "int32", "u8": "uint8", "f32": "float32", "boolean": "bool"}
_HEAD = re.compile(rb"computes in (f32|bf16|f16)\n")
_LONGEST_HEAD = 20
_LATENCY = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}

# The kinds of layers of a compiled model that hold matrix products or convolutions.
_PRODUCTS = {"FullyConnected", "MatMul", "Convolution", "Deconvolution"}

_TELEMETRY = "openvino_telemetry"
_importing = threading.Lock()
_in_process: dict[str, int] = {}  # which process was the first to use OpenVINO here


def open_backend(
    name: str,  # noqa: ARG001
    threads: int | None,
    callers: int,
    *,
    compiled: bool,
) -> OpenVinoBackend:
    """Open the back end; see `BackendModule`."""
    return OpenVinoBackend(threads, callers, compiled=compiled)


def built_for(name: str, options: CompileOptions) -> dict[str, str]:  # noqa: ARG001
    """Return what a compiled model belongs to: this build of OpenVINO and this CPU."""
    return {
        "builder options": " ".join(f"{key}={value}".lower() for key, value in _LATENCY.items()),
        "back end version": str(_import().get_version()),
        "CPU features": cpu_features(),
        "half precision": half_type() or "none",
    }


def key_prefix(built_for: Mapping[str, str]) -> str:
    """Return the best instruction set and the version, such as `cpu-avx2_ov2026.4.1`."""
    version = built_for["back end version"].partition("-")[0]
    return f"cpu-{best_feature(built_for['CPU features'])}_ov{version}"


def compile_graph(name: str, job: CompileJob) -> CompileReport:  # noqa: ARG001
    """Write the graph as OpenVINO compiles it for this CPU, and count what computes in which type.

    The first line of the file names the type in which what is not INT8 computes: OpenVINO must
    be told it again when it loads the model.

    Raises:
        EnvironmentUnfit: memory is lacking.
        ArtefactMismatch: OpenVINO refuses the graph.
        VerificationFailed: no product computes in the type that was asked for.
    """
    half = half_type()
    kind = "f32" if half is None or job.computes == "fp32" else half
    compiled = OpenVinoBackend().compile(job.graph, kind)
    layers = _count_products(compiled)
    asked = {"fp32": ("f32",), "fp16": ("bf16", "f16"), "int8": ("i8", "u8")}[job.computes]
    if layers and not layers.keys() & set(asked):
        raise VerificationFailed(
            f"{job.graph}: OpenVINO computes none of its products in {' or '.join(asked)}, but in "
            f"{', '.join(layers)}; take another precision"
        )
    content = io.BytesIO()
    content.write(f"computes in {kind}\n".encode())
    compiled.export_model(content)
    write_bytes(job.target, content.getvalue())
    return CompileReport(layers=layers)


def checks(name: str, required: bool) -> list[Check]:
    """Check that OpenVINO loads and finds this CPU."""
    try:
        openvino = _import()
        capable = openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")
    except BackendUnavailable as error:
        return [Check(f"back end {name}", False, str(error), required, install_command(name))]
    except RuntimeError as error:
        return [Check(f"back end {name}", False, _reason(error), required)]
    half = half_type() or "none, so no fp16"
    return [Check(f"back end {name}", True, f"{capable}, half precision: {half}", required)]


def device(name: str) -> dict[str, str]:  # noqa: ARG001
    """Return nothing: a benchmark names the CPU anyway."""
    return {}


def _import() -> Any:
    """Import OpenVINO, without the package by which its own import reports to its vendor.

    Raises:
        BackendUnavailable: it is not installed, or its libraries do not load.
    """
    with _importing:
        # It would send an event, and write an id under HOME. OpenVINO does without it if absent.
        silenced = sys.modules.setdefault(_TELEMETRY, None) is None  # type: ignore[arg-type]
        try:
            import openvino
        except (ImportError, OSError) as error:
            fault = import_fault(error, "openvino")
        else:
            if hasattr(openvino, "Core"):
                return openvino
            fault = "is not installed (the openvino found holds no library)"
        finally:
            if silenced:
                sys.modules.pop(_TELEMETRY, None)
    raise BackendUnavailable(
        f'OpenVINO {fault}; {install_command("openvino")}, or take backend "onnxruntime"'
    ) from None


class OpenVinoBackend:
    """Loads compiled models, or portable graphs.

    Args:
        threads: threads that one call may use; None leaves the choice to OpenVINO (one a
            physical core).
        callers: how many calls are meant to run at once.
        compiled: the files come from `compile_graph`, and are no ONNX graphs.

    Raises:
        BackendUnavailable: OpenVINO is not installed.
        EnvironmentUnfit: this process was forked from one that has used OpenVINO.
    """

    name = "openvino"

    def __init__(
        self, threads: int | None = None, callers: int = 1, *, compiled: bool = False
    ) -> None:
        openvino = _import()
        if _in_process.setdefault("first", os.getpid()) != os.getpid():
            raise EnvironmentUnfit(
                "OpenVINO was used before a fork, and hangs in the child at times; start processes "
                'by spawn, or take backend "onnxruntime"'
            )
        self._core = openvino.Core()
        never_free_in_children(self._core)
        self._threads, self._callers = threads, callers
        self._compiled = compiled

    def load(self, engine: EngineSpec, path: FileLike) -> OpenVinoEngine:
        """Load the compiled model or graph at `path`; its tensors must be those of `engine` (R13).

        Raises:
            ArtefactMismatch: it cannot be read, OpenVINO refuses it, or its tensors differ.
            EnvironmentUnfit: memory, threads or open files are lacking.
        """
        compiled = self._import(path) if self._compiled else self.compile(path, "f32")
        give_back_memory()
        problems = [
            *differences("input", engine.inputs, _told(compiled.inputs)),
            *differences("output", engine.outputs, _told(compiled.outputs)),
        ]
        if problems:
            refuse(str(path), problems)
        return OpenVinoEngine(compiled, engine, str(path))

    def compile(self, path: FileLike, kind: str) -> Any:
        """Compile the ONNX graph at `path`; what is not INT8 in it computes in `kind`."""
        with _told_apart(str(path)):
            model = self._core.read_model(path.read_bytes())  # a path would have to be UTF-8
            compiled = self._core.compile_model(model, "CPU", self._settings(kind))
            return _checked(compiled, kind)

    def _import(self, path: FileLike) -> Any:
        with _told_apart(str(path)):
            with path.open("rb") as file:
                found = _HEAD.fullmatch(file.readline(_LONGEST_HEAD))
                if found is None:
                    raise ArtefactMismatch(f"{path}: not a model that `trml-rt build` compiled")
                kind = found[1].decode()
                compiled = self._core.import_model(file.read(), "CPU", self._settings(kind))
            return _checked(compiled, kind)

    def _settings(self, kind: str) -> dict[str, str]:
        settings = {**_LATENCY, "INFERENCE_PRECISION_HINT": kind}
        settings["NUM_STREAMS"] = str(self._callers)  # each runs one call, on its share of threads
        if self._threads is not None:
            settings["INFERENCE_NUM_THREADS"] = str(self._threads * self._callers)
        return settings


class OpenVinoEngine:
    """One compiled model; safe to run from several threads at once."""

    def __init__(self, compiled: Any, engine: EngineSpec, path: str) -> None:
        self._compiled: Any | None = compiled
        self._path = path
        self._outputs = [tensor.name for tensor in engine.outputs]
        self._idle: list[Any] = []  # requests that no thread runs; as many as ran at once

    def run(self, inputs: Tensors) -> Tensors:
        """Run the model and return its outputs by name, in arrays of the caller's own."""
        compiled = self._compiled  # another thread may close this engine; ours lives on till then
        if compiled is None:
            raise closed()
        with _told_apart(self._path, "run"):
            try:
                request = self._idle.pop()
            except IndexError:
                request = compiled.create_infer_request()
                never_free_in_children(request)
            given = request.infer(inputs)
            outputs = {name: given[name] for name in self._outputs}
        if self._compiled is not None:
            self._idle.append(request)
        return outputs

    def close(self) -> None:
        """Free the model; closing twice is fine."""
        self._compiled = None
        self._idle.clear()


def _checked(compiled: Any, kind: str) -> Any:
    """Return a compiled model that computes in `kind`, as OpenVINO was told."""
    given = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if given != kind:  # it takes another one without a word
        raise EnvironmentUnfit(
            f"OpenVINO computes in {given} here, and not in {kind}; take another precision, or "
            "upgrade OpenVINO"
        )
    never_free_in_children(compiled)
    return compiled


@contextlib.contextmanager
def _told_apart(path: str, verb: str = "load") -> Iterator[None]:
    """Tell a fault of the machine from one of the file at `path`, and name it in one sentence."""
    with blames_machine(path):
        try:
            yield
        except OSError as error:
            if lacks_resource(error):
                raise
            raise ArtefactMismatch(f"{path}: cannot be read ({error.strerror})") from None
        except RuntimeError as error:
            if lacks_resource(error):
                raise MemoryError(_reason(error)) from error
            raise ArtefactMismatch(f"{path}: OpenVINO cannot {verb} it: {_reason(error)}") from None


def _reason(error: RuntimeError) -> str:
    """Return the last line of an error of OpenVINO; those before it say where it was raised."""
    return (str(error).strip().splitlines() or ["no reason was given"])[-1]


def _count_products(compiled: Any) -> dict[str, int]:
    """Return how many products and convolutions of a compiled model compute in which type."""
    counts: Counter[str] = Counter()
    for layer in compiled.get_runtime_model().get_ordered_ops():
        told = layer.get_rt_info()
        if told["layerType"].astype(str) in _PRODUCTS:
            counts[told["runtimePrecision"].astype(str)] += 1
    return dict(sorted(counts.items()))


def _told(ports: Any) -> dict[str, tuple[str, list[int | str | None]]]:
    """Return type and shape of a model's tensors by name."""
    told: dict[str, tuple[str, list[int | str | None]]] = {}
    for port in ports:
        kind = port.get_element_type().get_type_name()
        shape = [size.get_length() if size.is_static else None for size in port.get_partial_shape()]
        told[port.get_any_name()] = (_DTYPES.get(kind, kind), shape)
    return told
