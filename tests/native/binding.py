"""libtrml_rt through ctypes: as much of trml_rt.h as the tests need."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

TERMINATED = ctypes.c_size_t(-1).value
FORMATS = {"rgb": 0, "bgr": 1, "gray": 2, "nv12": 3}
CHANNELS = {"rgb": 3, "bgr": 3, "gray": 1, "nv12": 1}


class Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("bundle", ctypes.c_char_p),
        ("backend", ctypes.c_char_p),
        ("precision", ctypes.c_char_p),
        ("threads", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("log", ctypes.c_void_p),
        ("log_user", ctypes.c_void_p),
        ("callers", ctypes.c_int32),
        ("signed_by", ctypes.c_char_p),
    ]


class Frame(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("stride", ctypes.c_size_t),
        ("uv", ctypes.c_void_p),
        ("uv_stride", ctypes.c_size_t),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("format", ctypes.c_int),
        ("matrix", ctypes.c_int),
        ("memory", ctypes.c_int),
    ]


class Sample(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("text", ctypes.c_char_p),
        ("text_length", ctypes.c_size_t),
        ("frames", ctypes.POINTER(Frame)),
        ("frame_count", ctypes.c_size_t),
        ("frame_size", ctypes.c_size_t),
        ("cuda_stream", ctypes.c_void_p),
    ]


class NativeError(Exception):
    """A call failed; `status` is the C status, `reason` the word of an unusable input."""

    def __init__(self, message: str, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Library:
    """One loaded libtrml_rt."""

    def __init__(self, path: str | Path) -> None:
        self.c = ctypes.CDLL(str(path))
        for name in ("version", "last_error", "last_reason", "result_json"):
            getattr(self.c, f"trml_rt_{name}").restype = ctypes.c_char_p
        self.c.trml_rt_result_json.argtypes = [ctypes.c_void_p]
        for name in ("close", "result_free"):
            getattr(self.c, f"trml_rt_{name}").argtypes = [ctypes.c_void_p]
            getattr(self.c, f"trml_rt_{name}").restype = None

    def check(self, status: int) -> None:
        if status:
            message = self.c.trml_rt_last_error().decode()
            raise NativeError(message, status, self.c.trml_rt_last_reason().decode())

    def open(self, bundle: Path | str, **settings: Any) -> Handle:
        options = Options(ctypes.sizeof(Options), str(bundle).encode(), **settings)
        handle = ctypes.c_void_p()
        self.check(self.c.trml_rt_open(ctypes.byref(options), ctypes.byref(handle)))
        return Handle(self, handle)


class Handle:
    """An open bundle; a context manager."""

    def __init__(self, library: Library, handle: ctypes.c_void_p) -> None:
        self._library = library
        self._handle = handle

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.c.trml_rt_close(self._handle)

    def infer(
        self,
        text: str | bytes | None = None,
        frames: Sequence[np.ndarray] = (),
        *,
        format: str = "rgb",
        degrade: bool = False,
    ) -> dict[str, Any]:
        return self.infer_batch([(text, frames)], format=format, degrade=degrade, batch=False)[0]

    def infer_batch(
        self,
        rows: Sequence[tuple[str | bytes | None, Sequence[np.ndarray]]],
        *,
        format: str = "rgb",
        degrade: bool = False,
        batch: bool = True,
    ) -> list[dict[str, Any]]:
        c, count = self._library.c, len(rows)
        samples, results = (Sample * count)(), (ctypes.c_void_p * count)()
        kept = []  # what the structs point at
        for sample, (text, frames) in zip(samples, rows, strict=True):
            data = text.encode() if isinstance(text, str) else text
            views = (Frame * max(1, len(frames)))()
            for view, frame in zip(views, frames, strict=False):
                height, width = frame.shape[:2]
                if format == "nv12":
                    height = height * 2 // 3
                view.data, view.stride = frame.ctypes.data, frame.strides[0]
                view.width, view.height, view.format = width, height, FORMATS[format]
            kept.append((data, views, frames))
            sample.struct_size, sample.frame_size = ctypes.sizeof(Sample), ctypes.sizeof(Frame)
            sample.text, sample.text_length = data, len(data) if data is not None else 0
            sample.frames, sample.frame_count = views, len(frames)
        call = (self._handle, samples) + ((ctypes.c_size_t(count),) if batch else ())
        function = c.trml_rt_infer_batch if batch else c.trml_rt_infer
        self._library.check(function(*call, ctypes.c_uint32(degrade), results))
        answers = []
        for result in results:
            answers.append(json.loads(c.trml_rt_result_json(result)))
            c.trml_rt_result_free(result)
        return answers
