"""The few things of CUDA that the TensorRT back end needs, each call checked.

They come from the toolkit's own library where there is one, else from the package cuda-bindings.
Device memory, pinned and mapped host memory, a stream, events and graphs; no torch.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends.tensorrt.libcudart import find_libcudart
from trml_rt.errors import BackendUnavailable, EnvironmentUnfit, import_fault

__all__ = [
    "CUDA_BINDINGS",
    "Cuda",
    "Gpu",
    "Memory",
    "Slot",
    "Stream",
    "cuda_runtime",
    "current_gpu",
    "origin",
]

CUDA_BINDINGS = "cuda-bindings>=12.9,<13"
"""The package to install: older CUDA serves newer drivers, but not the other way round."""

_ALIGNMENT = 256  # bytes, what TensorRT wants of its scratch memory


@dataclass(frozen=True)
class Gpu:
    """The GPU that this process would use, and CUDA's two versions."""

    name: str
    compute_capability: str
    multiprocessors: int
    integrated: bool
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
    own = getattr(runtime, "origin", None)
    return own or f"cuda-bindings {importlib.metadata.version('cuda-bindings')}"


def current_gpu(backend: str, runtime: Any | None = None) -> Gpu:
    """Describe the GPU that this process would use; `backend` is what asks for it.

    Raises:
        BackendUnavailable: no CUDA runtime is installed.
        EnvironmentUnfit: there is no driver or no GPU.
    """
    cuda = Cuda(cuda_runtime() if runtime is None else runtime)
    try:
        properties = cuda.call("cudaGetDeviceProperties", cuda.call("cudaGetDevice"))
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
        status, *results = getattr(self.api, function)(*arguments)
        if int(status) != 0:
            _, text = self.api.cudaGetErrorString(status)
            reason = text.decode() if isinstance(text, bytes) else str(text)
            raise EnvironmentUnfit(f"CUDA: {function}: {reason} (error {int(status)})")
        return tuple(results) if len(results) > 1 else (results[0] if results else None)


@dataclass(frozen=True)
class Slot:
    """Memory of one tensor: where the GPU reads and writes it, and its bytes on the host.

    On an integrated GPU both are the same memory, `mapped`, and nothing is copied.
    """

    device: int
    host: NDArray[np.uint8]
    mapped: bool

    def put(self, array: NDArray[np.generic]) -> None:
        """Write an array to the host side."""
        data = np.ascontiguousarray(array)
        self.host[: data.nbytes].view(data.dtype).reshape(data.shape)[...] = data

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[np.generic]:
        """Return a copy of the host side as an array."""
        size = int(np.prod(shape)) * dtype.itemsize
        taken: NDArray[np.generic] = self.host[:size].view(dtype).reshape(shape).copy()
        return taken


class Memory:
    """Owns device and host allocations; `close` frees all of them."""

    def __init__(self, cuda: Cuda, *, integrated: bool) -> None:
        self._cuda = cuda
        self._integrated = integrated
        self._device: list[int] = []
        self._host: list[int] = []

    def device(self, size: int) -> int:
        """Return the address of `size` bytes of device memory."""
        address = int(self._cuda.call("cudaMalloc", max(size, _ALIGNMENT)))
        self._device.append(address)
        return address

    def slot(self, size: int) -> Slot:
        """Return memory for a tensor that travels between host and GPU."""
        api = self._cuda.api
        mapped = self._integrated
        flags = api.cudaHostAllocMapped if mapped else api.cudaHostAllocDefault
        address = int(self._cuda.call("cudaHostAlloc", max(size, _ALIGNMENT), flags))
        self._host.append(address)
        host = np.ctypeslib.as_array((ctypes.c_uint8 * max(size, _ALIGNMENT)).from_address(address))
        if mapped:
            device = int(self._cuda.call("cudaHostGetDevicePointer", address, 0))
        else:
            device = self.device(size)
        return Slot(device, host, mapped)

    def close(self) -> None:
        """Free everything; closing twice is fine."""
        while self._device:
            self._cuda.call("cudaFree", self._device.pop())
        while self._host:
            self._cuda.call("cudaFreeHost", self._host.pop())


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

    def copy(self, target: int, source: int, size: int, kind: str) -> None:
        """Copy `size` bytes; `kind` is HostToDevice, DeviceToHost or DeviceToDevice."""
        way = getattr(self._cuda.api.cudaMemcpyKind, f"cudaMemcpy{kind}")
        self._cuda.call("cudaMemcpyAsync", target, source, size, way, self._stream)

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
        finally:  # also after a failure, or the stream would stay in capture
            self._capturing = False
            graph = self._cuda.call("cudaStreamEndCapture", self._stream)
        runnable = self._cuda.call("cudaGraphInstantiate", graph, 0)
        self._cuda.call("cudaGraphDestroy", graph)
        return runnable

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
