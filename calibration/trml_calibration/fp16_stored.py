"""Store the weights of an ONNX graph in FP16 while the arithmetic stays FP32.

Every large FP32 initialiser becomes an FP16 one followed by a Cast. ONNX Runtime folds these
casts when it loads the graph, so the file is half as big and nothing else changes. A graph that
*computes* in FP16 is another thing: ONNX Runtime's CPU kernels do not all take it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from trml_rt.errors import ArtefactMismatch

__all__ = ["store_fp16", "widen_fp16"]

# Small tensors are not worth a node each. Nor are vectors (biases, norms, one number a channel),
# which export does not round either.
_LEAST_ELEMENTS = 1024


def store_fp16(path: Path) -> None:
    """Rewrite the graph at `path` with its large FP32 weights stored in FP16.

    A tensor with a value that FP16 cannot hold (beyond 65504) stays FP32.

    Raises:
        ArtefactMismatch: the file is no ONNX graph, as a back end from outside may have written.
    """
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise ArtefactMismatch(f"{path}: not an ONNX graph ({error})") from None
    graph = model.graph
    casts = []
    for initializer in graph.initializer:
        if initializer.data_type != onnx.TensorProto.FLOAT:
            continue
        value = numpy_helper.to_array(initializer)
        if value.size < _LEAST_ELEMENTS or value.size == max(value.shape):
            continue
        if not np.abs(value).max() <= np.finfo(np.float16).max:
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(value.astype(np.float16), f"{name}_fp16"))
        casts.append(
            onnx.helper.make_node(
                "Cast", [f"{name}_fp16"], [name], f"{name}_to_fp32", to=onnx.TensorProto.FLOAT
            )
        )
    # A graph is in topological order, and these casts need nothing before them.
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, path)


def widen_fp16(model: onnx.ModelProto) -> None:
    """Store the weights of `model` in FP32 again, as they were before `store_fp16`."""
    graph = model.graph
    stored = {t.name: t for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT16}
    nodes = []
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in stored:
            tensor = stored[node.input[0]]
            value = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, node.output[0]))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
