"""ONNX graphs of which a part lies in another file, and bytes that are no ONNX graph."""

from __future__ import annotations

__all__ = ["field", "no_graphs", "outside"]


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    digits = [number >> shift & 127 for shift in range(0, max(1, number.bit_length()), 7)]
    return bytes([*(digit | 128 for digit in digits[:-1]), digits[-1]])


def field(number: int, value: int | bytes) -> bytes:
    """Return one field of a protobuf message: a number, or bytes, a text or a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


_VERSION = field(1, 8)
_GRAPH = field(2, b"a graph")
_ENTRY = field(1, b"location") + field(2, b"../../secret")


def outside() -> dict[str, bytes]:
    """Return a graph for each place in which a tensor may name another file."""
    tensor = field(2, 1) + field(8, b"w") + field(13, _ENTRY) + field(14, 1)

    def model(graph: bytes) -> bytes:
        return _VERSION + field(7, _GRAPH + graph)

    def node(attribute: bytes) -> bytes:
        return field(1, field(4, b"Constant") + field(5, attribute))

    inner = field(5, tensor)
    function = field(7, field(5, field(5, tensor)))
    return {
        "an initializer": model(field(5, tensor)),
        "data_location alone": model(field(5, field(14, 1))),
        "external_data alone": model(field(5, field(13, _ENTRY))),
        "the last of many": model(field(5, field(8, b"w") + field(9, b"\0" * 300)) * 9 + inner),
        "a sparse one's values": model(field(15, field(1, tensor))),
        "a sparse one's places": model(field(15, field(2, tensor))),
        "an attribute": model(node(field(5, tensor))),
        "a list of tensors": model(node(field(10, tensor))),
        "a sparse attribute": model(node(field(22, field(1, tensor)))),
        "a list of sparse tensors": model(node(field(23, field(1, tensor)))),
        "a subgraph": model(node(field(6, inner))),
        "a list of subgraphs": model(node(field(11, node(field(6, inner))))),
        "a function": model(b"") + field(25, function),
        "a function's default": model(b"") + field(25, field(11, field(5, tensor))),
        "training, at first": model(b"") + field(20, field(1, inner)),
        "training, each step": model(b"") + field(20, field(2, inner)),
        "a second graph": model(b"") + field(7, inner),
    }


def no_graphs() -> dict[str, bytes]:
    """Return bytes that are no ONNX graph, and that some runtime might take for a model."""
    deep = b""
    for _ in range(60):
        deep = field(1, field(5, field(6, deep)))
    return {
        "nothing": b"",
        "a text": b'ir_version: 8 graph { name: "a graph" }',
        "XML": b"<?xml version='1.0'?><net/>",
        "no version first": field(7, _GRAPH) + _VERSION,
        "ONNX Runtime's own format": b"\x08\0\0\0ORTM",
        "TensorFlow Lite": b"\x08\0\0\0TFL3",
        "broken off in a tag": _VERSION + b"\xba",
        "broken off in a length": _VERSION + b"\x3a\xff",
        "broken off in a message": _VERSION + b"\x3a\x7f" + _GRAPH,
        "broken off in a number": _VERSION + b"\x09\0\0",
        "a length beyond 64 bits": _VERSION + b"\x3a" + b"\xff" * 10 + b"\x01",
        "a group": _VERSION + b"\x3b\x3c",
        "a field without number": _VERSION + b"\x02\0",
        "nested too deeply": _VERSION + field(7, deep),
    }
