"""Frames in CUDA memory become pixels there, by the kernels of frames.cu.

The pixels come back to the host, where those of every other frame are, so that batches, kept
vectors and records know of one kind only. They are few: 150 kB a frame of 224 x 224. On an
integrated GPU they are in memory that both see, and nothing is copied between the two.
None of this has run on a GPU yet.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends.shaping import DeviceFrame, Shaping, Weights
from trml_rt.backends.tensorrt import kernels
from trml_rt.backends.tensorrt.cuda import Cuda, Gpu, Stream
from trml_rt.backends.tensorrt.kernels import Driver, Frame, Places
from trml_rt.backends.tensorrt.memory import Memory, Slot
from trml_rt.errors import EnvironmentUnfit, UsageError

__all__ = ["FrameReader"]

_MOST_SIZES = 8  # of frames whose weights are kept
_BLOCK = (32, 8)
_UNKNOWN, _DEVICE = 0, 2  # numbers of cudaMemoryType


@dataclass(frozen=True)
class _Size:
    """What is kept for frames of one size."""

    memory: Memory
    first: Places
    second: Places
    down_first: bool
    between: int
    out: Slot
    shape: tuple[int, int, int]


class FrameReader:
    """Reads frames one after the other; threads wait in line.

    Args:
        cuda: the CUDA runtime.
        gpu: where frames lie.
    """

    def __init__(self, cuda: Cuda, gpu: Gpu) -> None:
        self._cuda, self._gpu = cuda, gpu
        self._lock = threading.Lock()
        self._sizes: OrderedDict[tuple[int, int], _Size] = OrderedDict()
        self._opened = contextlib.ExitStack()
        self._driver: Driver | None = None
        # What is open goes with this object; at the end of a process the driver frees it all.
        release = weakref.finalize(self, _release, cuda, gpu.number, self._sizes, self._opened)
        release.atexit = False

    def read(self, frame: DeviceFrame, shaping: Shaping) -> NDArray[np.uint8]:
        """Return the pixels of a frame, (height, width, 3).

        Raises:
            UsageError: it does not lie in the memory of this GPU.
            EnvironmentUnfit: CUDA fails, or NVRTC is not there.
        """
        with self._lock, self._cuda.on_device(self._gpu.number):
            self._check(frame)
            if self._driver is None:
                self._open()
            try:
                size = self._size(frame, shaping)
                self._run(frame, size, shaping.fill)
            finally:  # also after a failure: what is in the stream uses this memory
                self._stream.wait()
            return size.out.take(size.shape, np.dtype(np.uint8)).astype(np.uint8, copy=False)

    def _check(self, frame: DeviceFrame) -> None:
        """Refuse addresses that a kernel would fall over, and CUDA with it."""
        corner = (frame.height - 1) * frame.row + (frame.width - 1) * frame.pixel
        for address in (frame.address, frame.address + corner + max(frame.colours)):
            try:
                found = self._cuda.call("cudaPointerGetAttributes", address)
            except EnvironmentUnfit:
                found = None
            if found is None or int(found.type) == _UNKNOWN:
                raise UsageError(
                    "video: a frame that is said to lie on a GPU does not, or not all of it; pass "
                    "it as an array of numpy"
                )
            if int(found.type) == _DEVICE and found.device != self._gpu.number:
                raise UsageError(
                    f"video: a frame lies on GPU {found.device}, and the engines on "
                    f"{self._gpu.number}; copy it there"
                )

    def _open(self) -> None:
        major = int(self._cuda.call("cudaRuntimeGetVersion")) // 1000
        driver = kernels.find_driver()
        architecture = f"sm_{self._gpu.compute_capability.replace('.', '')}"
        code = kernels.find_nvrtc(major).compile(kernels.source(), "frames.cu", architecture)
        module = driver.load(code)
        self._opened.callback(driver.unload, module)
        self._first = driver.function(module, "trml_rt_first_pass")
        self._second = driver.function(module, "trml_rt_second_pass")
        self._stream = Stream(self._cuda, 1)
        self._opened.callback(self._stream.close)
        self._driver = driver

    def _size(self, frame: DeviceFrame, shaping: Shaping) -> _Size:
        key = (frame.height, frame.width)
        if key not in self._sizes:
            if len(self._sizes) == _MOST_SIZES:  # nothing waits in the stream yet
                self._sizes.popitem(last=False)[1].memory.close()
            memory = Memory(self._cuda, integrated=self._gpu.integrated)
            try:
                self._sizes[key] = self._new_size(shaping, memory)
            except BaseException:
                memory.close()
                raise
        self._sizes.move_to_end(key)
        return self._sizes[key]

    def _new_size(self, shaping: Shaping, memory: Memory) -> _Size:
        both = [shaping.across, shaping.down]
        axes = both[::-1] if shaping.down_first else both
        numbers = [_numbers(weights) for weights in axes]
        every = np.concatenate(numbers)
        slot = memory.slot(every.nbytes)
        slot.put(every)
        first = _places(axes[0], slot.device)
        second = _places(axes[1], slot.device + numbers[0].nbytes)
        between = memory.device((second.stop - second.start) * first.size * 3)
        shape = (shaping.down.length, shaping.across.length, 3)
        out = memory.slot(shape[0] * shape[1] * 3)
        if not slot.mapped:
            self._stream.copy(slot.device, slot.host.ctypes.data, every.nbytes)
        return _Size(memory, first, second, shaping.down_first, between, out, shape)

    def _run(self, frame: DeviceFrame, size: _Size, fill: int) -> None:
        if frame.stream is not None:
            self._stream.follow(frame.stream)
        first, second, out = size.first, size.second, size.out
        turned, between = ctypes.c_int(size.down_first), ctypes.c_void_p(size.between)
        rows, columns, _ = size.shape
        beside = second.stop - second.start
        of_first = [_frame(frame), first, second, turned, between]
        self._launch(self._first, first.size, beside, of_first)
        target = ctypes.c_void_p(out.device)
        of_second = [between, first, second, turned, ctypes.c_int(fill), target]
        self._launch(self._second, columns, rows, of_second)
        if not out.mapped:
            self._stream.copy(out.host.ctypes.data, out.device, rows * columns * 3)

    def _launch(self, kernel: int, width: int, height: int, arguments: list[Any]) -> None:
        """Put a kernel into the stream, a thread for each of width x height places."""
        assert self._driver is not None
        grid = (-(-width // _BLOCK[0]), -(-height // _BLOCK[1]))
        self._driver.launch(kernel, grid, _BLOCK, self._stream.handle, arguments)


def _release(
    cuda: Cuda, number: int, sizes: dict[Any, _Size], opened: contextlib.ExitStack
) -> None:
    with cuda.on_device(number), opened:
        for size in sizes.values():
            size.memory.close()


def _frame(frame: DeviceFrame) -> Frame:
    red, green, blue = frame.colours
    return Frame(
        data=frame.address,
        stride=frame.row,
        width=frame.width,
        height=frame.height,
        bytes=frame.pixel,
        red=red,
        green=green,
        blue=blue,
    )


def _numbers(weights: Weights) -> NDArray[np.int32]:
    """Return what `Places` points at, one after the other."""
    return np.concatenate([weights.first, weights.count, weights.values.ravel()])


def _places(weights: Weights, address: int) -> Places:
    size = len(weights.first)
    start, stop = weights.stretch
    return Places(
        first=address,
        count=address + 4 * size,
        weights=address + 8 * size,
        widest=weights.values.shape[1],
        start=start,
        stop=stop,
        size=size,
        begin=weights.begin,
        length=weights.length,
    )
