"""Call the CUDA runtime of the toolkit that is installed, through ctypes.

It offers the functions that `cuda.py` calls under the names, arguments and results that
`cuda.bindings.runtime` has. JetPack's own library fits its driver. The wheels of cuda-bindings for
aarch64 are made for servers, and the newest of them for a newer driver.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_float,
    c_int,
    c_size_t,
    c_uint,
    c_ulonglong,
    c_void_p,
)
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

__all__ = ["FOLDERS", "Libcudart", "find_libcudart"]

FOLDERS = (Path("/usr/local/cuda/lib64"), Path("/usr/local/cuda/lib"))
"""Where a toolkit has its libraries."""

_NAMES = ("libcudart.so.13", "libcudart.so.12")
# Results come first among the arguments; `cudaStreamEndCapture` has its own method.
_FUNCTIONS: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "cudaDeviceGetAttribute": ((c_int,), (c_int, c_int)),
    "cudaDriverGetVersion": ((c_int,), ()),
    "cudaEventCreate": ((c_void_p,), ()),
    "cudaEventDestroy": ((), (c_void_p,)),
    "cudaEventElapsedTime": ((c_float,), (c_void_p, c_void_p)),
    "cudaEventRecord": ((), (c_void_p, c_void_p)),
    "cudaEventRecordWithFlags": ((), (c_void_p, c_void_p, c_uint)),
    "cudaFree": ((), (c_void_p,)),
    "cudaFreeHost": ((), (c_void_p,)),
    "cudaGetDevice": ((c_int,), ()),
    "cudaGetLastError": ((), ()),
    "cudaGraphDestroy": ((), (c_void_p,)),
    "cudaGraphExecDestroy": ((), (c_void_p,)),
    "cudaGraphInstantiate": ((c_void_p,), (c_void_p, c_ulonglong)),
    "cudaGraphLaunch": ((), (c_void_p, c_void_p)),
    "cudaHostAlloc": ((c_void_p,), (c_size_t, c_uint)),
    "cudaHostGetDevicePointer": ((c_void_p,), (c_void_p, c_uint)),
    "cudaMalloc": ((c_void_p,), (c_size_t,)),
    "cudaMemGetInfo": ((c_size_t, c_size_t), ()),
    "cudaMemcpyAsync": ((), (c_void_p, c_void_p, c_size_t, c_int, c_void_p)),
    "cudaMemsetAsync": ((), (c_void_p, c_int, c_size_t, c_void_p)),
    "cudaRuntimeGetVersion": ((c_int,), ()),
    "cudaSetDevice": ((), (c_int,)),
    "cudaStreamBeginCapture": ((), (c_void_p, c_int)),
    "cudaStreamCreateWithFlags": ((c_void_p,), (c_uint,)),
    "cudaStreamDestroy": ((), (c_void_p,)),
    "cudaStreamSynchronize": ((), (c_void_p,)),
    "cudaStreamWaitEvent": ((), (c_void_p, c_void_p, c_uint)),
}
# Numbers of cudaDeviceAttr. The struct of properties is another one in each major version.
_ATTRIBUTES = {"multiProcessorCount": 16, "integrated": 18, "major": 75, "minor": 76}
_NAME_BYTES = 256  # what that struct begins with, in all of them
_STRUCT_BYTES = 8192  # several times as much as it takes


class _Pointer(Structure):
    """`cudaPointerAttributes`, of which later versions append fields."""

    _fields_ = (
        ("type", c_int),
        ("device", c_int),
        ("devicePointer", c_void_p),
        ("hostPointer", c_void_p),
        ("reserved", c_ulonglong * 8),
    )


class Libcudart:
    """The CUDA runtime in one shared library.

    Args:
        path: the library, or a name that the loader looks up.

    Raises:
        OSError: it cannot be loaded.
        AttributeError: it lacks a function.
    """

    cudaHostAllocDefault, cudaHostAllocMapped = 0, 2  # noqa: N815
    cudaStreamNonBlocking = 1  # noqa: N815
    cudaEventRecordExternal = 1  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyDefault=4)  # noqa: N815
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815

    if TYPE_CHECKING:  # the functions of the table

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, path: str) -> None:
        self.origin = path
        self._library = ctypes.CDLL(path)
        for name, (results, arguments) in _FUNCTIONS.items():
            setattr(self, name, self._function(name, results, arguments))
        self._end = self._declare("cudaStreamEndCapture", c_void_p, POINTER(c_void_p))
        self._properties = self._declare("cudaGetDeviceProperties", c_void_p, c_int)
        self._pointer = self._declare("cudaPointerGetAttributes", POINTER(_Pointer), c_void_p)
        self._words = self._declare("cudaGetErrorString", c_int, returns=c_char_p)

    def fits_driver(self) -> bool:
        """Say whether the driver is as new as this runtime, or there is none."""
        _, driver = self.cudaDriverGetVersion()
        _, runtime = self.cudaRuntimeGetVersion()
        return not driver or bool(runtime // 1000 <= driver // 1000)

    def cudaGetErrorString(self, status: int) -> tuple[int, bytes]:  # noqa: N802
        """Return CUDA's words for a status."""
        return 0, self._words(status) or b"unknown"

    def cudaStreamEndCapture(self, stream: int) -> tuple[int, int | None]:  # noqa: N802
        """Return the graph, which is null if the capture failed."""
        graph = c_void_p()
        return self._end(stream, byref(graph)), graph.value

    def cudaGetDeviceProperties(self, device: int) -> tuple[int, SimpleNamespace]:  # noqa: N802
        """Return those properties of a device that `cuda.py` reads."""
        struct = ctypes.create_string_buffer(_STRUCT_BYTES)
        status = self._properties(struct, device)
        properties = SimpleNamespace(name=struct.raw[:_NAME_BYTES].split(b"\0")[0])
        for name, number in _ATTRIBUTES.items():
            failed, value = self.cudaDeviceGetAttribute(number, device)
            status = status or failed
            setattr(properties, name, value)
        return status, properties

    def cudaPointerGetAttributes(self, address: int) -> tuple[int, _Pointer]:  # noqa: N802
        """Return in which memory, and of which device, an address lies."""
        found = _Pointer()
        return self._pointer(byref(found), address), found

    def _declare(self, name: str, *arguments: Any, returns: Any = c_int) -> Any:
        function = getattr(self._library, name)
        function.argtypes, function.restype = arguments, returns
        return function

    def _function(self, name: str, results: tuple[Any, ...], arguments: tuple[Any, ...]) -> Any:
        function = self._declare(name, *map(POINTER, results), *arguments)

        def call(*given: Any) -> tuple[Any, ...]:
            made = [kind() for kind in results]
            status = function(*map(byref, made), *given)
            return status, *(each.value for each in made)

        return call


def find_libcudart() -> Libcudart | None:
    """Return the newest CUDA runtime of the toolkit that the driver can serve.

    Where the driver can serve none of them, it is the last one tried; the calls then say so.
    """
    found = None
    places = [str(folder / name) for name in _NAMES for folder in FOLDERS]
    for path in (*places, *_NAMES):
        try:
            found = Libcudart(path)
        except (OSError, AttributeError):
            continue
        if found.fits_driver():
            return found
    return found
