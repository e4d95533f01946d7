"""Let ONNX Runtime read the FP16 weights of a graph from its file, instead of copying them first.

A graph holds its weights inside. ONNX Runtime reads the whole file into memory, and then widens
what is stored in FP16, so that both are there at once. It can also map weights that lie in another
file. So it gets the graph without them, and the file itself as that other file.

Only FP16 weights that a Cast widens are left out. They are read while the graph loads, and never
after, so that nobody who writes to the file later can change an engine or end the process.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

from trml_rt.bundle.files import FileLike

__all__ = ["graph_without_weights"]

# Numbers of fields in onnx.proto.
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_NODE_INPUT, _NODE_TYPE = 1, 4
_TENSOR_TYPE, _TENSOR_NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 2, 8, 9, 13, 14

_FLOAT16 = 10
_EXTERNAL = 1
_LEAST_BYTES = 4096  # less is not worth a mapping
_MOST_LEFT = 1 / 16  # of the file: ONNX Runtime keeps a graph that it gets as bytes


class _Field(NamedTuple):
    """A field of a message: its number, and where it and its content lie."""

    number: int
    start: int
    content: int
    end: int


def graph_without_weights(path: FileLike, name: str) -> bytes | None:
    """Return the ONNX graph at `path` with its FP16 weights pointing into the file `name`.

    None where they are not nearly all of it, or where the file cannot be understood: whoever loads
    it will say.

    Args:
        path: the graph.
        name: its name in the folder that ONNX Runtime is told; it may be no link there.
    """
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return _rewritten(data, name)
    except (OSError, ValueError, IndexError):
        return None


def _rewritten(data: mmap.mmap, name: str) -> bytes | None:
    top = list(_fields(data, 0, len(data)))
    [graph] = [field for field in top if field.number == _GRAPH]
    inside = list(_fields(data, graph.content, graph.end))
    widened: set[bytes] = set()
    elsewhere: set[bytes] = set()
    for node in inside:
        if node.number == _NODE:
            inputs, kind = _node(data, node)
            (widened if kind == b"Cast" else elsewhere).update(inputs)
    parts, left_out = [], 0
    for field in inside:
        tensor = None
        if field.number == _INITIALIZER:
            tensor = _pointing(data, field, name, widened - elsewhere)
        left_out += tensor is not None
        parts.append(data[field.start : field.end] if tensor is None else tensor)
    if not left_out or sum(map(len, parts)) > _MOST_LEFT * len(data):
        return None
    return b"".join(
        _message(_GRAPH, b"".join(parts)) if field is graph else data[field.start : field.end]
        for field in top
    )


def _node(data: mmap.mmap, node: _Field) -> tuple[list[bytes], bytes]:
    """Return the inputs of a node, and its operator."""
    inputs, kind = [], b""
    for field in _fields(data, node.content, node.end):
        if field.number == _NODE_INPUT:
            inputs.append(data[field.content : field.end])
        elif field.number == _NODE_TYPE:
            kind = data[field.content : field.end]
    return inputs, kind


def _pointing(data: mmap.mmap, initializer: _Field, name: str, widened: set[bytes]) -> bytes | None:
    """Return an initialiser that points to its content in the file, or None to leave it whole."""
    raw, kind, called, rest = None, 0, b"", []
    for field in _fields(data, initializer.content, initializer.end):
        if field.number == _RAW_DATA:
            raw = field
            continue
        if field.number == _TENSOR_TYPE:
            kind, _ = _varint(data, field.content)
        elif field.number == _TENSOR_NAME:
            called = data[field.content : field.end]
        rest.append(data[field.start : field.end])
    if raw is None or raw.end - raw.content < _LEAST_BYTES:
        return None
    if kind != _FLOAT16 or called not in widened:
        return None
    place = {"location": name, "offset": raw.content, "length": raw.end - raw.content}
    for key, value in place.items():
        entry = _message(1, key.encode()) + _message(2, str(value).encode())
        rest.append(_message(_EXTERNAL_DATA, entry))
    rest.append(_as_varint(_DATA_LOCATION << 3) + _as_varint(_EXTERNAL))
    return _message(_INITIALIZER, b"".join(rest))


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[_Field]:
    """Yield the fields of the message that lies between `at` and `end`.

    Raises:
        ValueError: there is no message.
        IndexError: it is cut off.
    """
    while at < end:
        start = at
        tag, at = _varint(data, at)
        kind = tag & 7
        content = at
        if kind == 2:
            size, content = _varint(data, at)
            at = content + size
        elif kind == 0:
            _, at = _varint(data, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"no field of kind {kind}")
        if at > end:
            raise ValueError("a field is longer than its message")
        yield _Field(tag >> 3, start, content, at)


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """Return the number at `at`, and where it ends."""
    number = 0
    for place in range(10):
        byte = data[at + place]
        number |= (byte & 127) << 7 * place
        if byte < 128:
            return number, at + place + 1
    raise ValueError("a number is too long")


def _as_varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _message(number: int, content: bytes) -> bytes:
    return _as_varint(number << 3 | 2) + _as_varint(len(content)) + content
