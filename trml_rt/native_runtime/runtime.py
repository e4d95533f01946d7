"""Load the native library, open a bundle in it, and answer."""

from __future__ import annotations

import ctypes
import json
import os
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any

from trml_rt.answer import Answer, InputReport, Reason
from trml_rt.backends.check import Check
from trml_rt.bundle.arguments import check_one_of, check_threads, check_whole, path_of
from trml_rt.bundle.engine_folder import PRECISIONS, Precision
from trml_rt.bundle.folder import default_bundle
from trml_rt.errors import UsageError, closed, forked
from trml_rt.native_runtime.library import LOG, Info, Library, Options, Sample
from trml_rt.native_runtime.rows import LAYOUTS, Row, row_of

__all__ = ["NativeRuntime", "load", "probe"]

_BACKENDS = ("auto", "openvino", "tensorrt")


def load(
    bundle: str | os.PathLike[str] | None = None,
    *,
    backend: str = "auto",
    precision: Precision | None = None,
    threads: int | None = None,
    callers: int = 1,
    device: int = 0,
    signed_by: str | os.PathLike[str] | None = None,
    library: str | os.PathLike[str] | None = None,
) -> NativeRuntime:
    """Open a bundle in the native library; use the result as a context manager.

    Args:
        bundle: its folder; None takes `TRML_RT_BUNDLE` from the environment, else the bundle that
            ships inside the package.
        backend: "auto", "openvino" or "tensorrt", as the library takes them.
        precision: engines of this precision, which `trml-rt build` made for this device.
        threads: CPU threads of one engine; None: the back end chooses.
        callers: how many runtimes, this one and its clones, will answer at once.
        device: number of the CUDA device.
        signed_by: file of a public key; the bundle must be signed with the key that belongs to it.
        library: the file of the library; None takes `TRML_RT_LIBRARY` from the environment, else
            the one that is installed.

    Raises:
        ArtefactMismatch: the bundle is damaged, has no fitting engines of `precision`, or is not
            signed as `signed_by` wants it.
        EnvironmentUnfit: the library, its back end or the device is not here.
        UsageError: an argument makes no sense.
    """
    if precision is not None:
        check_one_of("precision", precision, PRECISIONS)
    check_threads(threads, callers)
    opened = Library(library)
    options = _options(bundle, backend, device)
    options.precision = None if precision is None else precision.encode()
    options.threads, options.callers = threads or 0, callers
    if signed_by is not None:
        options.signed_by = os.fsencode(path_of("signed_by", signed_by))
    handle = ctypes.c_void_p()
    opened.check(opened.c.trml_rt_open(ctypes.byref(options), ctypes.byref(handle)))
    return NativeRuntime(opened, handle)


def probe(
    bundle: str | os.PathLike[str] | None = None,
    *,
    backend: str = "auto",
    device: int = 0,
    library: str | os.PathLike[str] | None = None,
) -> list[Check]:
    """Return what the library has, whether this machine is fit for it, and what would answer.

    The arguments are as for `load`.

    Raises:
        EnvironmentUnfit: the library is not here.
        UsageError: there is no such back end.
    """
    opened = Library(library)
    options = _options(bundle, backend, device)
    report = ctypes.c_void_p()
    opened.check(opened.c.trml_rt_probe(ctypes.byref(options), ctypes.byref(report)))
    try:
        content = json.loads(opened.c.trml_rt_report_json(report))
    finally:
        opened.c.trml_rt_report_free(report)
    return [Check(**check) for check in content["checks"]]


class NativeRuntime:
    """One model, ready to answer; made by `load`.

    Calls from several threads wait in line: give each thread a `clone`.
    """

    def __init__(self, library: Library, handle: ctypes.c_void_p) -> None:
        self._library = library
        self._handle = handle
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._close = weakref.finalize(self, library.c.trml_rt_close, handle)
        info = Info(ctypes.sizeof(Info))
        library.check(library.c.trml_rt_get_info(handle, ctypes.byref(info)))
        label = library.c.trml_rt_get_label
        self.task = "regression" if info.regression else "classification"
        """What is answered: "regression" or "classification"."""
        self.labels = tuple(label(handle, i).decode() for i in range(info.label_count))
        """The labels that an answer may have, in order."""
        self.range = (info.low, info.high) if info.regression else None
        """What scores lie in, for regression, else None."""
        self.frames = info.frames
        """The most frames of a clip that are used."""
        self.size = (info.height, info.width)
        """Height and width of a frame as the model takes it, in pixels."""
        self.backend = info.backend.decode()
        """The back end that answers: "openvino" or "tensorrt"."""

    def __repr__(self) -> str:
        state = "" if self._close.alive else ", closed"
        return f"<NativeRuntime: {self.task} on {self.backend}{state}>"

    def __enter__(self) -> NativeRuntime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the model, unless clones use it; closing twice is fine."""
        with self._lock:
            self._close()

    def clone(self) -> NativeRuntime:
        """Return a second runtime on the same engines, for another thread."""
        twin = ctypes.c_void_p()
        with self._lock:
            self._check_open()
            self._library.check(self._library.c.trml_rt_clone(self._handle, ctypes.byref(twin)))
        return NativeRuntime(self._library, twin)

    def warm_up(self) -> float:
        """Load every engine and run each engine set; return the milliseconds that it took."""
        start = time.perf_counter()
        with self._lock:
            self._check_open()
            self._library.check(self._library.c.trml_rt_warm_up(self._handle))
        return 1000 * (time.perf_counter() - start)

    def infer(
        self,
        text: str | None = None,
        frames: Any = None,
        *,
        degrade: bool = False,
        layout: str = "rgb",
    ) -> Answer:
        """Answer on one text, the frames of one clip, or both.

        Args:
            text: the text itself.
            frames: uint8, (frames, height, width, 3), or (height, width, 3) for one; or a list of
                frames, which may differ in size. Of more than the model takes, those in the middle
                of equal parts are used.
            degrade: count an unusable input as missing, and say so in the answer, where it would be
                an error otherwise.
            layout: of a frame: "rgb" or "bgr", (height, width, 3); "gray", (height, width); "nv12",
                (height + height / 2, width), the rows of Y above those of U and V.

        Raises:
            UsageError: neither is given, or a frame has another shape or type.
            InputUnusable: an input is given but cannot be used.
            ArtefactMismatch: a file of the bundle is damaged.
            EnvironmentUnfit: the machine lacks what the back end needs.
        """
        return self._infer([(text, frames)], degrade, layout, batch=False)[0]

    def infer_batch(
        self,
        samples: Sequence[Any],
        *,
        degrade: bool = False,
        layout: str = "rgb",
    ) -> list[Answer]:
        """Answer on many samples, each with its own inputs present.

        Args:
            samples: each a text, a tuple (text, frames), or a dict with the keys `text` and
                `frames`; what is absent is None or left out.
            degrade: as in `infer`, for each row.
            layout: as in `infer`, for each row.

        Raises:
            UsageError: a row is no sample, or as for `infer`; the message has the row's number.
            InputUnusable: as for `infer`.
            ArtefactMismatch: as for `infer`.
        """
        if not isinstance(samples, Sequence) or isinstance(samples, str | bytes):
            raise UsageError(f"samples must be a list of samples, not {type(samples).__name__}")
        rows = [row_of(number, sample) for number, sample in enumerate(samples)]
        return self._infer(rows, degrade, layout, batch=True)

    def _infer(
        self, rows: list[tuple[Any, Any]], degrade: bool, layout: str, *, batch: bool
    ) -> list[Answer]:
        check_one_of("layout", layout, tuple(LAYOUTS))
        kept = [Row(text, frames, layout) for text, frames in rows]  # until the call has ended
        samples = (Sample * len(rows))(*(row.sample for row in kept))
        results = (ctypes.c_void_p * len(rows))()
        c, flags = self._library.c, ctypes.c_uint32(bool(degrade))
        with self._lock:
            self._check_open()
            if batch:
                count = ctypes.c_size_t(len(rows))
                status = c.trml_rt_infer_batch(self._handle, samples, count, flags, results)
            else:
                status = c.trml_rt_infer(self._handle, samples, flags, results)
        self._library.check(status)
        try:
            return [self._answer(result) for result in results]
        finally:
            for result in results:
                c.trml_rt_result_free(result)

    def _answer(self, result: int | None) -> Answer:
        c = self._library.c
        content = json.loads(c.trml_rt_result_json(result))
        if (named := content.get("probabilities")) is not None:
            value = ctypes.c_double()
            for index, name in enumerate(named):  # not rounded
                c.trml_rt_result_probability(result, ctypes.c_size_t(index), ctypes.byref(value))
                named[name] = value.value
        inputs = {
            name: InputReport(**report | {"reason": Reason(reason) if reason else None})
            for name, report in content.pop("inputs").items()
            for reason in (report.get("reason"),)
        }
        return Answer(
            **content | {"score": c.trml_rt_result_score(result), "probabilities": named},
            inputs=inputs,
            range=self.range,
        )

    def _check_open(self) -> None:
        if self._process != os.getpid():
            raise forked()
        if not self._close.alive:
            raise closed()


def _options(bundle: str | os.PathLike[str] | None, backend: str, device: int) -> Options:
    check_one_of("back end", backend, _BACKENDS)
    check_whole("device", device)
    if bundle is None:
        bundle = os.environ.get("TRML_RT_BUNDLE") or default_bundle()
    return Options(
        ctypes.sizeof(Options),
        os.fsencode(path_of("bundle", bundle)),
        backend.encode(),
        device=device,
        log=LOG,
    )
