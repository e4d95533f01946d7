"""libtrml_rt through ctypes: of trml_rt.h what the tests need and `native_runtime` has not."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trml_rt.native_runtime.library import Frame, Options, Sample
from trml_rt.native_runtime.rows import LAYOUTS

TERMINATED = ctypes.c_size_t(-1).value
STATES = ("connecting", "running", "stalled", "retrying", "ended", "failed")
NO_TIME = -1e300
CHANNELS = {"rgb": 3, "bgr": 3, "gray": 1, "nv12": 1}


EVENT_FN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
CLOCK_FN = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_void_p)


class StreamOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("window", ctypes.c_int32),
        ("policy", ctypes.c_int32),
        ("buffer", ctypes.c_int32),
        ("anytime", ctypes.c_int32),
        ("every", ctypes.c_double),
        ("max_staleness", ctypes.c_double),
        ("hold", ctypes.c_double),
        ("offset", ctypes.c_double),
        ("stall_after", ctypes.c_double),
        ("freeze_after", ctypes.c_double),
        ("max_gap", ctypes.c_double),
        ("deadline_ms", ctypes.c_double),
        ("whole_windows", ctypes.c_int32),
        ("on_event", EVENT_FN),
        ("event_user", ctypes.c_void_p),
        ("clock", CLOCK_FN),
        ("clock_user", ctypes.c_void_p),
    ]


class Event(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("input", ctypes.c_int32),
        ("state", ctypes.c_int32),
        ("epoch", ctypes.c_int64),
        ("reason", ctypes.c_char_p),
        ("message", ctypes.c_char_p),
        ("json", ctypes.c_char_p),
    ]


CAUSES = ("between", "buffer", "stale", "deadline", "unchanged", "decode_error", "unfinished")


class Totals(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        *((name, ctypes.c_uint64) for name in ("seen", "answered", "waiting", *CAUSES)),
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
        for name in ("result_score", "result_probability"):
            getattr(self.c, f"trml_rt_{name}").argtypes = [ctypes.c_void_p]
        self.c.trml_rt_result_score.restype = ctypes.c_double
        self.c.trml_rt_result_probability.restype = ctypes.c_char_p
        self.c.trml_rt_result_probability.argtypes += [ctypes.c_size_t, ctypes.c_void_p]
        for name in ("close", "result_free", "stream_close", "stream_free"):
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

    def stream(self, *, clock: Callable[[], float] | None = None, **rules: Any) -> Stream:
        return Stream(self._library, self._handle, clock, rules)

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
                view.width, view.height, view.format = width, height, LAYOUTS[format]
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


class Stream:
    """A stream on an open bundle, with the arguments and the answers of Python's."""

    def __init__(
        self,
        library: Library,
        handle: ctypes.c_void_p,
        clock: Callable[[], float] | None,
        rules: dict[str, Any],
    ) -> None:
        self._library, self._stream = library, ctypes.c_void_p()
        self.told: list[dict[str, Any]] = []
        self._on_event = EVENT_FN(self._tell)  # as long as the library calls it
        self._clock = CLOCK_FN(lambda _: clock()) if clock else CLOCK_FN()
        given = {name: value for name, value in rules.items() if value is not None}
        given["policy"] = ("freshest", "every").index(given.get("policy", "freshest"))
        given["whole_windows"] = not given.pop("keep_vectors", True)
        options = StreamOptions(
            ctypes.sizeof(StreamOptions), on_event=self._on_event, clock=self._clock, **given
        )
        self._call("open", handle, ctypes.byref(options), ctypes.byref(self._stream))

    def _call(self, name: str, *arguments: Any) -> None:
        self._library.check(getattr(self._library.c, f"trml_rt_stream_{name}")(*arguments))

    def _tell(self, _: Any, event: int) -> None:
        self.told.append(json.loads(Event.from_address(event).json))

    def push_frame(self, frame: np.ndarray, t: float, format: str = "rgb") -> bool:
        frame, taken = np.ascontiguousarray(frame), ctypes.c_int32()
        height, width = frame.shape[:2]
        view = Frame(frame.ctypes.data, width=width, height=height, format=LAYOUTS[format])
        size = ctypes.c_size_t(ctypes.sizeof(Frame))
        where = (ctypes.byref(view), size, ctypes.c_double(t), ctypes.byref(taken))
        self._call("push_frame", self._stream, *where)
        return bool(taken)

    def push_text(self, text: str, t: float | None = None, end: float | None = None) -> bool:
        data, taken = text.encode(), ctypes.c_int32()
        times = [ctypes.c_double(NO_TIME if each is None else each) for each in (t, end)]
        what = (data, ctypes.c_size_t(len(data)), *times)
        self._call("push_text", self._stream, *what, ctypes.byref(taken))
        return bool(taken)

    def push_state(self, state: str, message: str | None = None) -> None:
        words = None if message is None else message.encode()
        self._call("push_state", self._stream, 1 + STATES.index(state), words)

    def end_texts(self) -> None:
        self._call("end_texts", self._stream)

    def end(self) -> None:
        self._call("end", self._stream)

    def close(self) -> None:
        self._library.c.trml_rt_stream_close(self._stream)

    def free(self) -> None:
        self._library.c.trml_rt_stream_free(self._stream)

    def poll(self, timeout: float = 0.0) -> dict[str, Any] | None:
        """Return the next answer as plain values, its numbers to the last bit beside them."""
        c, result = self._library.c, ctypes.c_void_p()
        self._call("poll", self._stream, ctypes.c_double(timeout), ctypes.byref(result))
        if not result:
            return None
        record = json.loads(c.trml_rt_result_json(result))
        record["ms"] = list(record["ms"])
        named, value = {}, ctypes.c_double()
        while name := c.trml_rt_result_probability(result, len(named), ctypes.byref(value)):
            named[name.decode()] = value.value.hex()
        record["bits"] = {"score": c.trml_rt_result_score(result).hex(), "probabilities": named}
        c.trml_rt_result_free(result)
        return record

    def totals(self) -> dict[str, Any]:
        totals = Totals(ctypes.sizeof(Totals))
        self._call("totals", self._stream, ctypes.byref(totals))
        sums = {name: getattr(totals, name) for name in ("seen", "answered", "waiting")}
        dropped = {name: getattr(totals, name) for name in CAUSES}
        return sums | {"dropped": {name: count for name, count in dropped.items() if count}}
