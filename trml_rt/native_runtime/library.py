"""The functions and structs of libtrml_rt, as `native/include/trml_rt/trml_rt.h` has them."""

from __future__ import annotations

import ctypes
import logging
import os

from trml_rt.bundle.arguments import path_of
from trml_rt.errors import (
    ArtefactMismatch,
    EnvironmentUnfit,
    InputUnusable,
    TrmlError,
    UsageError,
    VerificationFailed,
)

__all__ = ["LOG", "Frame", "Info", "Library", "Options", "Sample"]

_log = logging.getLogger("trml_rt.native_runtime")

_ABI = 1
_NAME = f"libtrml_rt.so.{_ABI}"
_KINDS = {
    kind.exit_code: kind
    for kind in (UsageError, EnvironmentUnfit, VerificationFailed, ArtefactMismatch)
}
_UNUSABLE = InputUnusable.exit_code
_WARNING = 2

LogFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)


def _log_line(_user: int | None, level: int, line: bytes) -> None:
    at = logging.WARNING if level == _WARNING else logging.INFO
    _log.log(at, "%s", line.decode(errors="replace"))


LOG = LogFunction(_log_line)  # kept for good: any handle may call it, from any thread


class Options(ctypes.Structure):
    """What `trml_rt_open` and `trml_rt_probe` are told."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("bundle", ctypes.c_char_p),
        ("backend", ctypes.c_char_p),
        ("precision", ctypes.c_char_p),
        ("threads", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("log", LogFunction),
        ("log_user", ctypes.c_void_p),
        ("callers", ctypes.c_int32),
        ("signed_by", ctypes.c_char_p),
    )


class Frame(ctypes.Structure):
    """One frame over pixels of the caller."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("stride", ctypes.c_size_t),
        ("uv", ctypes.c_void_p),
        ("uv_stride", ctypes.c_size_t),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("format", ctypes.c_int32),
        ("matrix", ctypes.c_int32),
        ("memory", ctypes.c_int32),
    )


class Sample(ctypes.Structure):
    """One row: a text, frames, or both."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("text", ctypes.c_char_p),
        ("text_length", ctypes.c_size_t),
        ("frames", ctypes.POINTER(Frame)),
        ("frame_count", ctypes.c_size_t),
        ("frame_size", ctypes.c_size_t),
        ("cuda_stream", ctypes.c_void_p),
    )


class Info(ctypes.Structure):
    """What the model of a handle takes and gives."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("frames", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("context", ctypes.c_int32),
        ("label_count", ctypes.c_int32),
        ("backend", ctypes.c_char_p),
        ("regression", ctypes.c_int32),
        ("low", ctypes.c_double),
        ("high", ctypes.c_double),
    )


class Library:
    """The functions of one libtrml_rt, and its errors as those of this package.

    Args:
        path: the file; None takes `TRML_RT_LIBRARY` from the environment, else the installed one.

    Raises:
        EnvironmentUnfit: it cannot be loaded, or is of another ABI.
        UsageError: `path` is no path.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        given = os.environ.get("TRML_RT_LIBRARY") or _NAME if path is None else path
        name = str(path_of("library", given))
        try:
            self.c = ctypes.CDLL(name)
            found = self.c.trml_rt_abi_version()
        except (OSError, AttributeError) as error:
            raise EnvironmentUnfit(
                f"{name}: cannot be loaded ({error}); build and install the native library, or "
                "name its file with TRML_RT_LIBRARY"
            ) from None
        if found != _ABI:
            raise EnvironmentUnfit(
                f"{name}: has ABI {found}, this package speaks {_ABI}; install both of one version"
            )
        self._declare()

    def _declare(self) -> None:
        text, address, size = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
        for name, returned, taken in (
            ("last_error", text, ()),
            ("last_reason", text, ()),
            ("open", ctypes.c_int, (address, address)),
            ("clone", ctypes.c_int, (address, address)),
            ("close", ctypes.c_int, (address,)),
            ("get_info", ctypes.c_int, (address, address)),
            ("get_label", text, (address, size)),
            ("warm_up", ctypes.c_int, (address,)),
            ("probe", ctypes.c_int, (address, address)),
            ("report_json", text, (address,)),
            ("report_free", ctypes.c_int, (address,)),
            ("infer", ctypes.c_int, (address, address, ctypes.c_uint32, address)),
            ("infer_batch", ctypes.c_int, (address, address, size, ctypes.c_uint32, address)),
            ("result_json", text, (address,)),
            ("result_score", ctypes.c_double, (address,)),
            ("result_probability", text, (address, size, address)),
            ("result_free", ctypes.c_int, (address,)),
        ):
            function = getattr(self.c, f"trml_rt_{name}")
            function.restype, function.argtypes = returned, taken

    def check(self, status: int) -> None:
        """Raise the error of a failed call, with the words of the library."""
        if not status:
            return
        message = self.c.trml_rt_last_error().decode(errors="replace")
        if status == _UNUSABLE:
            raise InputUnusable(message, reason=self.c.trml_rt_last_reason().decode())
        raise _KINDS.get(status, TrmlError)(message)
