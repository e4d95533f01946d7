"""Count in which precision a network computes: as parsed, and as built.

Precision lives in the graph, and the network is strongly typed, so what the parser made must be
what was asked for; whether the built engine kept it is read back with the engine inspector. Both
are needed: builds whose precision was silently ignored are this field's commonest mistake.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trml_rt.errors import VerificationFailed

if TYPE_CHECKING:
    import tensorrt

__all__ = ["computed_in_network", "computes_in", "count_layers", "require"]

# Words that the inspector of 10.x and 11.x uses for a type, or that a kernel's name holds.
_WORDS = {
    "int8": re.compile(r"(?<![a-z0-9])(int8|i8)", re.IGNORECASE),
    "fp16": re.compile(r"(?<![a-z0-9])(half|fp16|f16|h16)", re.IGNORECASE),
    "fp32": re.compile(r"(?<![a-z0-9])(float(?!16)|fp32|f32|tf32)", re.IGNORECASE),
}
_KEYS = ("Format/Datatype", "Format", "DataType", "Datatype", "Type", "TacticName")
_OTHER = re.compile(r"\b(bool|int32|int64|uint8)\b", re.IGNORECASE)


def computed_in_network(trt: Any, network: tensorrt.INetworkDefinition) -> dict[str, int]:
    """Count the matrix products and convolutions of a parsed network by the type they compute in.

    A product whose two operands come out of DequantizeLinear counts as int8: that is what
    TensorRT fuses them into. Weights that are only stored in FP16, behind a cast, count as fp32.
    """
    kinds = trt.LayerType
    heavy = (kinds.MATRIX_MULTIPLY, kinds.CONVOLUTION, kinds.DECONVOLUTION, kinds.EINSUM)
    # 10.3 has no layers of its own for the last two.
    names = ("SHUFFLE", "IDENTITY", "CONSTANT", "CAST", "SQUEEZE", "UNSQUEEZE")
    moving = [getattr(kinds, name) for name in names if hasattr(kinds, name)]
    types = {trt.DataType.HALF: "fp16", trt.DataType.FLOAT: "fp32", trt.DataType.INT8: "int8"}
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    maker = {
        layer.get_output(number).name: layer
        for layer in layers
        for number in range(layer.num_outputs)
    }

    def quantized(tensor: tensorrt.ITensor | None) -> bool:
        layer = maker.get(tensor.name) if tensor is not None else None
        while layer is not None and layer.type in moving and layer.num_inputs:
            layer = maker.get(layer.get_input(0).name)  # a transposed weight is still one
        return layer is not None and layer.type == kinds.DEQUANTIZE

    counts: Counter[str] = Counter()
    for layer in layers:
        if layer.type in heavy:
            first, second = layer.get_input(0), layer.get_input(1)
            exact = types.get(first.dtype, str(first.dtype))
            counts["int8" if quantized(first) and quantized(second) else exact] += 1
    return dict(sorted(counts.items()))


def count_layers(description: str) -> dict[str, int]:
    """Count the layers in an engine inspector's JSON by the narrowest type that each touches.

    Layers of integers, shapes and booleans alone count as "other", those whose types the
    inspector does not tell as "unknown".
    """
    counts: Counter[str] = Counter()
    for layer in json.loads(description).get("Layers", []):
        words = [*_words(layer)]
        precisions = [name for name, pattern in _WORDS.items() if any(map(pattern.search, words))]
        if precisions:
            counts[precisions[0]] += 1
        else:
            counts["other" if any(map(_OTHER.search, words)) else "unknown"] += 1
    return dict(sorted(counts.items()))


def require(precision: str, counts: dict[str, int], where: str) -> None:
    """Refuse a build of `precision` in which nothing computes in it.

    Raises:
        VerificationFailed: with the counts.
    """
    if computes_in(precision, counts) is not False:
        return
    counted = ", ".join(f"{count} {name}" for name, count in counts.items())
    raise VerificationFailed(
        f"{where}: asked for {precision}, but no layer computes in {precision} ({counted})"
    )


def computes_in(precision: str, counts: dict[str, int]) -> bool | None:
    """Say whether something computes in `precision`; None where the counts do not tell.

    An inspector may tell no types at all: of an engine that it cannot see into.
    """
    if precision == "fp32" or counts.get(precision) or not counts:
        return True  # a graph without products has nothing to compute in another precision
    return None if counts.keys() <= {"unknown", "other"} and "unknown" in counts else False


def _words(layer: Any) -> Iterator[str]:
    """Give every word about types in one layer's record, however deep it lies."""
    if not isinstance(layer, dict):
        return
    for key, value in layer.items():
        if isinstance(value, str):
            if key in _KEYS:
                yield value
        elif isinstance(value, list):
            for item in value:
                yield from _words(item)
        else:
            yield from _words(value)
