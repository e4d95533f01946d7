"""Read a pickle of arrays, strings, numbers, lists and dicts without trusting it.

A pickle is a program, and numpy believes what it is told by one: a type of objects that denies
being one, or a list shorter than the shape it is given, makes it follow addresses out of the
file. So a pickle gets no function of numpy's. What it may name are the stand-ins below, which
look at what they are handed and build each array from its plain bytes.
"""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trml_rt.errors import ArtefactMismatch, UsageError

__all__ = ["load_plain"]

_TYPE = re.compile("[?biufcSUO][0-9]*")


class _Type:
    """Stands in for `numpy.dtype`: one plain type by its code, such as f8, U12 or O8."""

    def __init__(self, code: str, *_: object) -> None:
        if not _TYPE.fullmatch(code):
            raise ArtefactMismatch(f"has an array of the type {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, order, subarray, names, fields, *_ = state  # the code tells sizes and flags
        if not subarray is names is fields is None:
            raise ArtefactMismatch("has an array whose type is put together of others")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands in for `numpy.ndarray`: an array that is made empty and filled afterwards."""

    value = np.empty(0)

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, shape, kind, fortran, data = state
        if kind.dtype.hasobject:
            flat = np.empty(len(data), dtype=object)
            for index, item in enumerate(data):  # at once, numpy would unfold lists of lists
                flat[index] = item
        else:
            flat = np.frombuffer(data, kind.dtype)
        if kind.dtype.kind == "U":
            codes = np.frombuffer(data, np.dtype("u4").newbyteorder(kind.dtype.byteorder))
            if codes.max(initial=0) > sys.maxunicode:
                raise ArtefactMismatch("has a string of what is no character")
        self.value = flat.reshape(shape, order="F" if fortran else "C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.value, dtype) if copy else np.asarray(self.value, dtype)


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(
    data: Any, kind: _Type, shape: Sequence[int], order: str, axes: Sequence[int] | None = None
) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", data))
    if axes is not None:
        array.value = array.value.transpose(axes)
    return array


def _scalar(kind: _Type, data: bytes) -> Any:
    return _from_buffer(data, kind, (1,), "C").value[0]


def _bytes(text: str = "", _: str = "latin-1") -> bytes:
    return text.encode("latin-1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _bytes,  # how protocol 2 writes bytes
    ("__builtin__", "bytes"): _bytes,  # and how it writes none
}
for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
    _STAND_INS[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _STAND_INS[f"{_core}.multiarray", "scalar"] = _scalar
    _STAND_INS[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _PlainUnpickler(pickle.Unpickler):
    """Builds arrays, strings, numbers, lists and dicts, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise ArtefactMismatch(f"asks for {module}.{name}")
        return _STAND_INS[module, name]

    def persistent_load(self, identity: Any) -> Any:
        raise ArtefactMismatch(f"refers to something outside of it ({identity!r})")


def load_plain(path: Path) -> Any:
    """Return the content of the pickle `path`; its arrays are what `numpy.asarray` reads.

    Raises:
        UsageError: `path` cannot be read.
        ArtefactMismatch: it asks for anything but arrays, strings, numbers, lists and dicts,
            or is damaged. Nothing of it has run.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file).load()
    except OSError as problem:
        raise UsageError(f"{path}: cannot be read ({problem.strerror})") from None
    except ArtefactMismatch as problem:
        raise ArtefactMismatch(
            f"{path}: is refused: it {problem}; a data set needs plain arrays, strings and dicts"
        ) from None
    except Exception as problem:  # noqa: BLE001 - damaged bytes raise whatever they like
        raise ArtefactMismatch(f"{path}: is no whole pickle ({problem})") from None
