"""Frames in a GPU's memory, and how they become the pixels that a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["DeviceFrame", "ReadsDeviceFrames", "Shaping", "Weights"]


@dataclass(frozen=True)
class DeviceFrame:
    """A frame in CUDA memory: uint8, and any layout.

    Attributes:
        address: of its first pixel.
        height: in pixels.
        width: in pixels.
        row: bytes from one row to the next.
        pixel: bytes from one pixel to the next.
        colours: where red, green and blue are, in bytes from the pixel.
        stream: the CUDA stream that writes it, if any.
        owner: what must live for as long as the frame is read.
    """

    address: int
    height: int
    width: int
    row: int
    pixel: int
    colours: tuple[int, int, int]
    stream: int | None
    owner: Any


@dataclass(frozen=True)
class Weights:
    """One direction of resizing; only those places of the result that show the picture.

    Attributes:
        first: the first pixel of the frame that counts for each place, (places,) int32.
        count: how many count, (places,) int32.
        values: their weights in 22 bits of fraction, (places, widest) int32.
        begin: where the places begin in the result; the rest is padding.
        length: of the result, in pixels.
    """

    first: NDArray[np.int32]
    count: NDArray[np.int32]
    values: NDArray[np.int32]
    begin: int
    length: int

    @property
    def stretch(self) -> tuple[int, int]:
        """The pixels of the frame that count at all: from, to."""
        return int(self.first.min()), int((self.first + self.count).max())


@dataclass(frozen=True)
class Shaping:
    """How frames of one size become pixels.

    Attributes:
        across: the weights of rows.
        down: the weights of columns.
        down_first: whether columns are resized before rows.
        fill: the grey level of the padding.
    """

    across: Weights
    down: Weights
    down_first: bool
    fill: int


@runtime_checkable
class ReadsDeviceFrames(Protocol):
    """A back end that takes frames in a GPU's memory."""

    def read_frame(self, frame: DeviceFrame, shaping: Shaping) -> NDArray[np.uint8]:
        """Return the pixels of a frame, (height, width, 3), in host memory.

        Raises:
            UsageError: it does not lie in the memory of this GPU.
            EnvironmentUnfit: CUDA fails, or what compiles its kernels is not there.
        """
