"""Make a graph as a compiler for GPUs wants it, whatever it is to compute in.

Weights that are stored in FP16 behind a cast are stored in FP32 again: a compiler may take a
convolution for one whose kernel is computed, which is slow or refused. A uint8 input goes to Cast
only: TensorRT documents uint8 for inputs and outputs of a network, and not for Shape.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from trml_calibration.fp16_stored import widen_fp16

__all__ = ["to_plain", "uint8_users"]


def to_plain(source: Path, target: Path) -> None:
    """Write the plain form of the graph at `source` to `target`; what it computes stays the same.

    A node that uses more of a uint8 input than its shape stays as it is; `trml-rt lint` names it.
    """
    model = onnx.load(source)
    widen_fp16(model)
    nodes = list(model.graph.node)
    for name, users in uint8_users(model).items():
        cast = next((node for node in model.graph.node if _casts(node, name)), None)
        if cast is None:
            continue
        for node in users:
            if node.op_type == "Shape":
                node.input[0] = cast.output[0]
        nodes = [cast, *(node for node in nodes if node is not cast)]
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    onnx.save(model, target)


def uint8_users(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return the nodes that take a uint8 input and are no Cast, by the name of the input."""
    return {
        value.name: [
            node for node in model.graph.node if value.name in node.input and node.op_type != "Cast"
        ]
        for value in model.graph.input
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    }


def _casts(node: onnx.NodeProto, name: str) -> bool:
    return node.op_type == "Cast" and node.input[0] == name
