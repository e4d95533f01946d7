"""Arrays in a GPU's memory, as other libraries show them: `__cuda_array_interface__` or DLPack.

Nothing of CUDA is called here: these are addresses, sizes and streams. A test on stand-ins holds
what becomes of them; nothing here has run on a GPU.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trml_rt.backends.shaping import DeviceFrame
from trml_rt.errors import UsageError

__all__ = ["DeviceArray", "device_array"]

_CUDA = (2, 13)  # DLPack's numbers of CUDA memory and of managed CUDA memory
_LEGACY_STREAM = 1  # the default stream, in both protocols
_UNSIGNED = 1  # DLPack's code of unsigned integers


@dataclass(frozen=True)
class DeviceArray:
    """A uint8 array in CUDA memory; strides in bytes."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    stream: int | None
    owner: Any
    dtype: str = "uint8"

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> DeviceArray:
        place = self.address + index * self.strides[0]
        return DeviceArray(place, self.shape[1:], self.strides[1:], self.stream, self.owner)

    def frame(self, *, bgr: bool) -> DeviceFrame:
        """Return an array of (height, width) or (height, width, channels) as a frame."""
        height, width = self.shape[:2]
        row, pixel = self.strides[:2]
        step = self.strides[2] if self.ndim == 3 and self.shape[2] > 1 else 0
        colours = (2 * step, step, 0) if bgr else (0, step, 2 * step)
        return DeviceFrame(
            self.address, height, width, row, pixel, colours, self.stream, self.owner
        )


def device_array(value: Any) -> DeviceArray | None:
    """Return what lies in CUDA memory as an array, or None for what lies elsewhere.

    Raises:
        UsageError: it is no array of uint8, or does not say where it lies.
    """
    try:
        interface = getattr(value, "__cuda_array_interface__", None)
        if interface is not None:
            return _of_interface(interface, value)
        if hasattr(value, "__dlpack_device__") and int(value.__dlpack_device__()[0]) in _CUDA:
            return _of_dlpack(value.__dlpack__(stream=_LEGACY_STREAM))
    except UsageError:
        raise
    except (TypeError, ValueError, LookupError, RuntimeError, BufferError) as error:
        raise UsageError(
            f"video: {type(value).__name__} cannot be read as an array on a GPU ({error}); copy it "
            "to the CPU"
        ) from None
    return None


def _of_interface(interface: Any, owner: Any) -> DeviceArray:
    if str(interface["typestr"]).lstrip("|<>=") != "u1" or interface.get("mask") is not None:
        masked = " with a mask" if interface.get("mask") is not None else ""
        raise _not_uint8(f"{interface['typestr']}{masked}")
    shape = tuple(map(int, interface["shape"]))
    strides = interface.get("strides")
    if strides is not None and len(strides) != len(shape):
        raise ValueError(f"{len(strides)} strides of {len(shape)} axes")
    stream = interface.get("stream")
    return DeviceArray(
        int(interface["data"][0] or 0),
        shape,
        _packed(shape) if strides is None else tuple(map(int, strides)),
        None if stream is None else int(stream),
        owner,
    )


class _Tensor(ctypes.Structure):
    """The beginning of DLPack's DLManagedTensor, which is its DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


def _of_dlpack(capsule: Any) -> DeviceArray:
    """Read a capsule without taking it: it stays the owner, and frees its tensor itself."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    tensor = _Tensor.from_address(pointer(capsule, b"dltensor"))
    if (tensor.code, tensor.bits, tensor.lanes) != (_UNSIGNED, 8, 1):
        raise _not_uint8(f"a type of {tensor.bits} bits")
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else _packed(shape)
    address = (tensor.data or 0) + tensor.byte_offset
    return DeviceArray(address, shape, strides, _LEGACY_STREAM, capsule)


def _packed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _not_uint8(what: str) -> UsageError:
    return UsageError(f"video: frames on a GPU must be uint8, not {what}; convert them there")
