"""Memory of tensors on the GPU and on the host: device, pinned and mapped memory."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends.tensorrt.cuda import Cuda

__all__ = ["Memory", "Slot"]

_ALIGNMENT = 256  # bytes, what TensorRT wants of its scratch memory


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
