"""Texts and arrays of the caller as the structs that the native library reads."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.errors import InputUnusable, UsageError
from trml_rt.native_runtime.library import Frame, Sample

__all__ = ["LAYOUTS", "Row", "row_of"]

LAYOUTS = {"rgb": 0, "bgr": 1, "gray": 2, "nv12": 3}
"""The layouts of a frame, with their numbers in C."""


class Row:
    """One sample as C has it, and what its pointers lead to."""

    def __init__(self, text: Any, frames: Any, layout: str) -> None:
        if text is not None and not isinstance(text, str):
            raise UsageError(f"text: must be a str, not {type(text).__name__}")
        # Halves of surrogate pairs become what the library refuses, with their place.
        self._text = None if text is None else text.encode("utf-8", "surrogatepass")
        self._arrays = [] if frames is None else _frames(frames, layout)
        self._views = (Frame * len(self._arrays))(*(_view(a, layout) for a in self._arrays))
        if frames is not None and not self._arrays:
            message = "video: there is no frame in it; give at least one"
            raise InputUnusable(message, reason="too_short")
        if text == "":  # of zero length it would count as absent, as C has it
            self._text = b" "
        self.sample = Sample(
            ctypes.sizeof(Sample),
            self._text,
            len(self._text or b""),
            self._views,
            len(self._arrays),
            ctypes.sizeof(Frame),
            None,
        )


def row_of(number: int, sample: Any) -> tuple[Any, Any]:
    """Return the text and the frames of a row of a batch.

    Raises:
        UsageError: it is none; the message has its number.
    """
    if isinstance(sample, str):
        return sample, None
    if isinstance(sample, tuple) and len(sample) == 2:
        return sample[0], sample[1]
    if isinstance(sample, Mapping) and sample and sample.keys() <= {"text", "frames"}:
        return sample.get("text"), sample.get("frames")
    raise UsageError(
        f"sample {number}: must be a text, (text, frames) or a dict with the keys text and frames"
    )


def _frames(frames: Any, layout: str) -> list[NDArray[np.uint8]]:
    """Return the frames as arrays whose rows lie in one piece."""
    planes = 3 if layout in ("rgb", "bgr") else 2
    if isinstance(frames, Sequence) and not isinstance(frames, str | bytes):
        given = [*frames]
    elif hasattr(frames, "__array__"):
        array = np.asarray(frames)
        given = [array] if array.ndim == planes else [*array] if array.ndim else [array]
    else:
        raise UsageError(_wrong(frames, layout))
    arrays = []
    for frame in given:
        if not hasattr(frame, "__array__"):
            raise UsageError(_wrong(frame, layout))
        array = np.asarray(frame)
        if array.dtype != np.uint8 or array.ndim != planes or not array.size:
            raise UsageError(_wrong(array, layout))
        if planes == 3 and array.shape[2] != 3:
            raise UsageError(_wrong(array, layout))
        if layout == "nv12" and array.shape[0] % 3:
            raise UsageError(_wrong(array, layout))
        row = array.shape[1] * (3 if planes == 3 else 1)
        inner = (3, 1) if planes == 3 else (1,)
        packed = array.strides[1:] == inner and array.strides[0] >= row
        arrays.append(array if packed else np.ascontiguousarray(array))
    return arrays


def _wrong(frame: Any, layout: str) -> str:
    shape = getattr(frame, "shape", None)
    dtype = getattr(frame, "dtype", type(frame).__name__)
    what = type(frame).__name__ if shape is None else f"{dtype} {tuple(shape)}"
    wanted = {
        "gray": "(height, width)",
        "nv12": "(height + height / 2, width)",
    }.get(layout, "(height, width, 3)")
    return f"video: got {what}; give frames as uint8 arrays of shape {wanted}"


def _view(array: NDArray[np.uint8], layout: str) -> Frame:
    height = array.shape[0] * 2 // 3 if layout == "nv12" else array.shape[0]
    return Frame(
        array.ctypes.data,
        array.strides[0],
        None,
        0,
        array.shape[1],
        height,
        LAYOUTS[layout],
    )
