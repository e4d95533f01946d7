"""The Open Inference Protocol, version 2: what it asks as rows, and answers as its tensors.

Inputs are `text` and `video`, of which either may be absent. In a request of several rows an empty
element says that its row has none. Tensors are JSON, or follow it as bytes, as the extension for
binary data has it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt._version import __version__
from trml_rt.answer import Answer
from trml_rt.runtime import Runtime
from trml_rt.serve.asked import ask_of, bad, deadline_of, parsed
from trml_rt.serve.desk import Ask

__all__ = ["LENGTH", "Asked", "model_metadata", "read", "response", "server_metadata"]

LENGTH = "inference-header-content-length"
"""The header that says where JSON ends and binary data begins."""

_VERSION = "1"
_DEPTH = 8  # of lists within lists
_PARAMETERS = ("degrade", "deadline_ms", "timeout", "binary_data_output")


@dataclass(frozen=True)
class Asked:
    """A request: its rows, and which outputs it wants, each as binary data or not."""

    rows: list[Ask]
    id: str | None
    outputs: dict[str, bool]


def server_metadata() -> dict[str, Any]:
    """Return what `GET /v2` answers."""
    return {"name": "trml-rt", "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(runtime: Runtime) -> dict[str, Any]:
    """Return what `GET /v2/models/NAME` answers."""
    manifest = runtime.bundle.manifest
    return {
        "name": manifest.name,
        "versions": [_VERSION],
        "platform": "trml_rt",
        "inputs": [
            {"name": "text", "datatype": "BYTES", "shape": [-1]},
            {"name": "video", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1, *shape]}
            for name, (datatype, shape) in _outputs(runtime).items()
        ],
    }


def _outputs(runtime: Runtime) -> dict[str, tuple[str, list[int]]]:
    """Return the outputs of the model: of each its type, and its shape behind the rows."""
    outputs: dict[str, tuple[str, list[int]]] = {"label": ("BYTES", []), "score": ("FP32", [])}
    if runtime.task == "classification":
        outputs["probabilities"] = ("FP32", [len(runtime.labels)])
    return outputs | {"answer": ("BYTES", [])}


def read(body: bytes, length: str | None, runtime: Runtime) -> Asked:
    """Return what the body of a request asks.

    Args:
        body: JSON, perhaps with binary data behind it.
        length: the bytes of JSON, as the header says them; None: all.
        runtime: what will answer.

    Raises:
        Refused: it makes no sense.
    """
    if length is not None and not (length.isdigit() and int(length) <= len(body)):
        raise bad(f"{LENGTH}: must be a number of bytes that the body has")
    end = len(body) if length is None else int(length)
    content, binary = parsed(body[:end]), _Binary(body[end:])
    parameters = _object(content.get("parameters", {}), "parameters")
    if unknown := sorted(parameters.keys() - {*_PARAMETERS}):
        raise bad(f"unknown parameters {', '.join(unknown)}; there are {', '.join(_PARAMETERS)}")
    columns: dict[str, list[Any]] = {}
    for tensor in _objects(content.get("inputs"), "inputs"):
        name = tensor.get("name")
        if name not in ("text", "video"):
            raise bad(f"input {name!r}: there is none of that name; send text, video or both")
        if name in columns:
            raise bad(f"input {name}: is given twice")
        columns[name] = _column(name, tensor, binary)
    binary.check_end()
    counts = {name: len(column) for name, column in columns.items()}
    if len({*counts.values()}) != 1:
        raise bad(f"inputs have different numbers of rows: {counts}" if counts else "no input")
    [count] = {*counts.values()}
    common = {"degrade": parameters.get("degrade", False), "deadline_ms": _deadline(parameters)}
    options = ask_of({k: v for k, v in common.items() if v is not None})
    rows = [
        Ask(
            columns["text"][at] if "text" in columns else None,
            columns["video"][at] if "video" in columns else None,
            options.degrade,
            options.deadline_ms,
        )
        for at in range(count)
    ]
    identity = content.get("id")
    if not isinstance(identity, str | None):
        raise bad("id: must be a string")
    return Asked(rows, identity, _wanted(content, parameters, runtime))


def _deadline(parameters: Mapping[str, Any]) -> float | None:
    """Return the deadline; `timeout`, in microseconds, is what Triton's clients call it."""
    if (timeout := deadline_of(parameters.get("timeout"))) is not None:
        return timeout / 1e3
    return deadline_of(parameters.get("deadline_ms"))


def _wanted(
    content: Mapping[str, Any], parameters: Mapping[str, Any], runtime: Runtime
) -> dict[str, bool]:
    known = _outputs(runtime)
    binary = parameters.get("binary_data_output", False)
    if "outputs" not in content:
        return dict.fromkeys(known, bool(binary))
    wanted: dict[str, bool] = {}
    for output in _objects(content["outputs"], "outputs"):
        name = output.get("name")
        if name not in known:
            raise bad(f"output {name!r}: there is none of that name; there are {', '.join(known)}")
        own = _object(output.get("parameters", {}), "parameters")
        wanted[name] = bool(own.get("binary_data", binary))
    return wanted


class _Binary:
    """The bytes behind the JSON, which tensors take in their order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, name: str, size: Any) -> bytes:
        """Return the next `size` bytes."""
        if type(size) is not int or not 0 <= size <= len(self._data) - self._at:
            raise bad(f"input {name}: binary_data_size is not what the body has")
        self._at += size
        return self._data[self._at - size : self._at]

    def check_end(self) -> None:
        """Refuse bytes that no tensor takes."""
        if self._at != len(self._data):
            raise bad("the body has bytes that belong to no input; state binary_data_size")


def _column(name: str, tensor: Mapping[str, Any], binary: _Binary) -> list[Any]:
    """Return the elements of one input, one a row; None where a row has none."""
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 1 << 31 for n in shape):
        raise bad(f"input {name}: shape must be a list of whole numbers")
    parameters = _object(tensor.get("parameters", {}), "parameters")
    raw = None
    if "binary_data_size" in parameters:
        raw = binary.take(name, parameters["binary_data_size"])
    elif "data" not in tensor:
        raise bad(f"input {name}: has neither data nor binary_data_size; no other way is served")
    datatype = tensor.get("datatype")
    if name == "video" and datatype == "UINT8":
        return _frames(shape, tensor.get("data"), raw)
    if datatype != "BYTES":
        raise bad(f"input {name}: datatype must be BYTES{' or UINT8' * (name == 'video')}")
    if raw is None:
        texts = list(_flat(tensor["data"]))
        asks = [ask_of({name: each or None}) for each in texts]
        elements = [ask.text if name == "text" else ask.video for ask in asks]
    else:
        elements = [_text(each) if name == "text" else each or None for each in _elements(raw)]
    if len(elements) != math.prod(shape):
        raise bad(f"input {name}: has {len(elements)} elements, and its shape says {shape}")
    return elements


def _elements(raw: bytes) -> Iterator[bytes]:
    """Yield the elements of BYTES in binary: each has its length before it."""
    at = 0
    while at < len(raw):
        size = struct.unpack_from("<I", raw, at)[0] if at + 4 <= len(raw) else len(raw)
        at += 4
        if at + size > len(raw):
            raise bad("an input of BYTES breaks off within an element")
        yield raw[at : at + size]
        at += size


def _text(data: bytes) -> str | None:
    try:
        text = data.decode() or None
    except UnicodeDecodeError:
        raise bad("input text: is not UTF-8") from None
    return ask_of({"text": text}).text


def _frames(shape: Sequence[int], data: Any, raw: bytes | None) -> list[NDArray[np.uint8]]:
    """Return the clips of an input of UINT8: (frames, height, width, 3), or several of them."""
    if not 3 <= len(shape) <= 5 or shape[-1] not in (1, 3):
        raise bad(f"input video: shape {list(shape)} must be (rows, frames, height, width, 3)")
    if raw is not None:
        flat = np.frombuffer(raw, np.uint8)
    else:
        try:
            flat = np.array(list(_flat(data)), dtype=np.uint8)
        except (TypeError, ValueError, OverflowError):
            raise bad("input video: data of UINT8 must be whole numbers, 0 to 255") from None
    if flat.size != math.prod(shape) or not flat.size:
        raise bad(f"input video: has {flat.size} numbers, and its shape says {list(shape)}")
    clips = flat.reshape(shape)
    return list(clips) if len(shape) == 5 else [clips]


def _flat(data: Any, depth: int = 0) -> Iterator[Any]:
    if depth > _DEPTH:
        raise bad("data of an input is nested more deeply than any shape")
    for each in data if isinstance(data, list) else [data]:
        if isinstance(each, list):
            yield from _flat(each, depth + 1)
        else:
            yield each


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad(f"{name}: must be an object")
    return value


def _objects(value: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise bad(f"{name}: must be a list of objects")
    return [_object(each, f"each of {name}") for each in value]


def response(
    answers: Sequence[Answer], asked: Asked, runtime: Runtime
) -> tuple[bytes, dict[str, str]]:
    """Return the body of a response, and its headers."""
    columns: dict[str, list[Any]] = {
        "label": [answer.label for answer in answers],
        "score": [answer.score for answer in answers],
        "probabilities": [p for answer in answers for p in (answer.probabilities or {}).values()],
        "answer": [answer.to_json() for answer in answers],
    }
    known, outputs, binary = _outputs(runtime), [], b""
    for name, as_bytes in asked.outputs.items():
        datatype, shape = known[name]
        output: dict[str, Any] = {"name": name, "datatype": datatype}
        output["shape"] = [len(answers), *shape]
        if as_bytes:
            data = _bytes(columns[name])
            output["parameters"] = {"binary_data_size": len(data)}
            binary += data
        else:
            output["data"] = columns[name]
        outputs.append(output)
    content: dict[str, Any] = {
        "model_name": runtime.bundle.manifest.name,
        "model_version": _VERSION,
        "outputs": outputs,
    }
    content |= {} if asked.id is None else {"id": asked.id}
    head = json.dumps(content).encode()
    if not binary:
        return head, {"Content-Type": "application/json"}
    length = {LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}
    return head + binary, length


def _bytes(column: Sequence[Any]) -> bytes:
    """Return a column in binary: numbers as FP32, strings each with its length before it."""
    if column and isinstance(column[0], float):
        return np.array(column, "<f4").tobytes()
    encoded = [text.encode() for text in column]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)
