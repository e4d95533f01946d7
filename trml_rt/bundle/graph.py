"""Look into the bytes of an ONNX graph before any runtime does: all of it must lie in them (R17).

ONNX lets a tensor lie in another file, by its path, which no hash covers, and which a runtime reads
wherever it leads. So a graph with such a tensor is refused. The walk goes through the fields of the
protobuf messages that may hold tensors, and skips the weights. The C++ reader has the same rules
(native/src/bundle/graph.cpp), which the conformance files prove.
"""

from __future__ import annotations

from collections.abc import Iterator

from trml_rt.errors import ArtefactMismatch

__all__ = ["check_graph"]

# The fields of each message of ONNX that lead to a tensor, by their numbers in onnx.proto.
_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_MOST_DEPTH = 100  # as deep as protobuf itself reads

# A model begins with its version, which no text and no other format of a model does but these two,
# that name themselves at byte 4.
_FIRST = b"\x08"
_OTHERS = (b"ORTM", b"TFL3")


def check_graph(data: bytes, source: str) -> None:
    """Refuse bytes that are no ONNX graph, or one of which a part lies in another file (R17).

    Raises:
        ArtefactMismatch: with `source` at the head of the message.
    """
    try:
        if not data.startswith(_FIRST) or data[4:8] in _OTHERS:
            raise ValueError
        outside = _leads_outside(data)
    except ValueError:
        raise ArtefactMismatch(f"{source}: not an ONNX graph; export the bundle again") from None
    if outside:
        raise ArtefactMismatch(
            f"{source}: a tensor of the graph lies in another file; save the graph with its "
            "weights inside, and export the bundle again"
        )


def _leads_outside(data: bytes) -> bool:
    """Say whether a tensor lies in another file; ValueError for bytes that are no protobuf."""
    messages = [("model", 0, len(data), 1)]
    while messages:
        kind, start, end, depth = messages.pop()
        if depth > _MOST_DEPTH:
            raise ValueError
        parts = _PARTS[kind]
        for number, wire, value, stop in _fields(data, start, end):
            if kind == "tensor":
                if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value):
                    return True
            elif wire == _BYTES and number in parts:
                messages.append((parts[number], value, stop, depth + 1))
    return False


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the number, the wire type, and the value or the place of each field of a message."""
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise ValueError
        value = at
        if wire == _VARINT:
            value, at = _varint(data, at, end)
        elif wire == _BYTES:
            length, value = _varint(data, at, end)
            at = value + length
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:  # groups, which no message of ONNX has
            raise ValueError
        if at > end:
            raise ValueError
        yield number, wire, value, at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    number = shift = 0
    while True:
        if at >= end or shift > 63:
            raise ValueError
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & (1 << 64) - 1, at
        shift += 7
