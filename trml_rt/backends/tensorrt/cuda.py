"""The few things of CUDA that the TensorRT back end needs, each call checked.

They come from the toolkit's own library where there is one, else from the package cuda-bindings.
A stream, events and graphs here, memory in `memory.py`; no torch.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from trml_rt.backends.tensorrt.libcudart import find_libcudart
from trml_rt.errors import BackendUnavailable, EnvironmentUnfit, import_fault

__all__ = [
    "CUDA_BINDINGS",
    "Cuda",
    "Gpu",
    "Stream",
    "cuda_runtime",
    "current_gpu",
    "origin",
]

CUDA_BINDINGS = "cuda-bindings>=12.9,<13"
"""The package to install: older CUDA serves newer drivers, but not the other way round."""


@dataclass(frozen=True)
class Gpu:
    """The GPU that this process would use, and CUDA's two versions."""

    name: str
    compute_capability: str
    multiprocessors: int
    integrated: bool
    number: int
    total_bytes: int
    free_bytes: int
    cuda_runtime: str
    cuda_driver: str


def cuda_runtime() -> Any:
    """Return CUDA's functions: those of the toolkit if the driver serves it, else cuda-bindings.

    Raises:
        BackendUnavailable: neither is here.
    """
    own = find_libcudart()
    if own is not None and own.fits_driver():
        return own
    try:
        from cuda.bindings import runtime
    except (ImportError, OSError) as error:
        import_fault(error, "cuda")  # an interrupted import is none
        if own is not None:
            return own  # its calls say that the driver is older
        raise BackendUnavailable(
            "CUDA cannot be loaded: /usr/local/cuda holds no libcudart.so.12 or .13, and "
            f'cuda-bindings neither ({error}); pip install "{CUDA_BINDINGS}", or take backend '
            '"onnxruntime"'
        ) from None
    return runtime


def origin(runtime: Any) -> str:
    """Say where the functions of CUDA came from, for people."""
    if own := getattr(runtime, "origin", None):
        return str(own)
    try:
        return f"cuda-bindings {importlib.metadata.version('cuda-bindings')}"
    except importlib.metadata.PackageNotFoundError:  # built on the device, or by another packager
        return "cuda-bindings of an unknown version"


def current_gpu(backend: str, runtime: Any | None = None) -> Gpu:
    """Describe the GPU that this process would use; `backend` is what asks for it.

    Raises:
        BackendUnavailable: no CUDA runtime is installed.
        EnvironmentUnfit: there is no driver or no GPU.
    """
    cuda = Cuda(cuda_runtime() if runtime is None else runtime)
    try:
        number = cuda.call("cudaGetDevice")
        properties = cuda.call("cudaGetDeviceProperties", number)
    except EnvironmentUnfit as error:
        raise EnvironmentUnfit(
            f"no GPU can be used ({error}); look at the driver: trml-rt doctor --backend {backend}"
        ) from None
    free, total = cuda.call("cudaMemGetInfo")
    name = properties.name.decode() if isinstance(properties.name, bytes) else str(properties.name)
    return Gpu(
        name=name.rstrip("\0"),
        compute_capability=f"{properties.major}.{properties.minor}",
        multiprocessors=properties.multiProcessorCount,
        integrated=bool(properties.integrated),
        number=number,
        total_bytes=total,
        free_bytes=free,
        cuda_runtime=_version(cuda.call("cudaRuntimeGetVersion")),
        cuda_driver=_version(cuda.call("cudaDriverGetVersion")),
    )


class Cuda:
    """Calls the CUDA runtime and turns every status but success into an error."""

    def __init__(self, runtime: Any) -> None:
        self.api = runtime

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function by name; return its result, a tuple of several, or None.

        Raises:
            EnvironmentUnfit: CUDA reports an error; names the function and CUDA's reason.
        """
        try:
            status, *results = getattr(self.api, function)(*arguments)
        except RuntimeError as error:  # older cuda-bindings, where there is no driver
            raise EnvironmentUnfit(f"CUDA: {function}: {error}") from None
        if int(status) != 0:
            self.api.cudaGetLastError()  # or TensorRT would take the failure for its own
            _, text = self.api.cudaGetErrorString(status)
            reason = text.decode() if isinstance(text, bytes) else str(text)
            raise EnvironmentUnfit(f"CUDA: {function}: {reason} (error {int(status)})")
        return tuple(results) if len(results) > 1 else (results[0] if results else None)

    @contextlib.contextmanager
    def on_device(self, number: int) -> Iterator[None]:
        """Make a device the calling thread's, and put its own back."""
        before = self.call("cudaGetDevice")
        if before == number:
            yield
            return
        self.call("cudaSetDevice", number)
        try:
            yield
        finally:
            self.call("cudaSetDevice", before)


class Stream:
    """A stream, marks along it that measure time, and graphs captured from it.

    Args:
        cuda: the CUDA runtime.
        marks: how many marks there are.
    """

    def __init__(self, cuda: Cuda, marks: int) -> None:
        self._cuda = cuda
        self._capturing = False
        self._stream: Any = cuda.call("cudaStreamCreateWithFlags", cuda.api.cudaStreamNonBlocking)
        self._events = [cuda.call("cudaEventCreate") for _ in range(marks)]

    @property
    def handle(self) -> int:
        """The stream as the number that TensorRT takes."""
        return int(self._stream)

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy `size` bytes; CUDA sees by the addresses on which side they lie."""
        way = self._cuda.api.cudaMemcpyKind.cudaMemcpyDefault
        self._cuda.call("cudaMemcpyAsync", target, source, size, way, self._stream)

    def follow(self, other: int) -> None:
        """Let what comes wait for what another stream holds by now, by way of the first mark."""
        self._cuda.call("cudaEventRecord", self._events[0], other)
        self._cuda.call("cudaStreamWaitEvent", self._stream, self._events[0], 0)

    def clear(self, target: int, size: int) -> None:
        """Set `size` bytes to zero."""
        self._cuda.call("cudaMemsetAsync", target, 0, size, self._stream)

    def mark(self, number: int) -> None:
        """Note the time at which the stream comes to this point."""
        event = self._events[number]
        if self._capturing:  # a node of the graph, to be read after each launch
            flag = self._cuda.api.cudaEventRecordExternal
            self._cuda.call("cudaEventRecordWithFlags", event, self._stream, flag)
        else:
            self._cuda.call("cudaEventRecord", event, self._stream)

    def milliseconds(self) -> list[float]:
        """Return the times between neighbouring marks, once the stream is done."""
        pairs = zip(self._events, self._events[1:], strict=False)
        return [float(self._cuda.call("cudaEventElapsedTime", *pair)) for pair in pairs]

    def capture(self, work: Callable[[], None]) -> Any:
        """Return the graph of what `work` puts into the stream; nothing of it runs.

        Raises:
            EnvironmentUnfit: something in `work` cannot be captured.
        """
        modes = self._cuda.api.cudaStreamCaptureMode
        self._cuda.call(
            "cudaStreamBeginCapture", self._stream, modes.cudaStreamCaptureModeThreadLocal
        )
        self._capturing = True
        try:
            work()
        except BaseException:
            self._abandon_capture()
            raise
        finally:
            self._capturing = False
        graph = self._cuda.call("cudaStreamEndCapture", self._stream)
        try:
            return self._cuda.call("cudaGraphInstantiate", graph, 0)
        finally:
            self._cuda.call("cudaGraphDestroy", graph)

    def _abandon_capture(self) -> None:
        """End a capture that failed; its graph, if the capture itself is valid, goes too."""
        with contextlib.suppress(EnvironmentUnfit):
            if graph := self._cuda.call("cudaStreamEndCapture", self._stream):
                self._cuda.call("cudaGraphDestroy", graph)

    def launch(self, graph: Any) -> None:
        """Put a captured graph into the stream."""
        self._cuda.call("cudaGraphLaunch", graph, self._stream)

    def forget(self, graph: Any) -> None:
        """Free a captured graph."""
        self._cuda.call("cudaGraphExecDestroy", graph)

    def wait(self) -> None:
        """Wait until the stream is done.

        Raises:
            EnvironmentUnfit: something in it failed.
        """
        self._cuda.call("cudaStreamSynchronize", self._stream)

    def close(self) -> None:
        """Free marks and stream; closing twice is fine."""
        while self._events:
            self._cuda.call("cudaEventDestroy", self._events.pop())
        if self._stream is not None:
            self._cuda.call("cudaStreamDestroy", self._stream)
            self._stream = None


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
