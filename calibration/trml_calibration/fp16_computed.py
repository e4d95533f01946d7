"""Make a graph that computes in FP16, with islands of FP32, for strongly typed networks.

Inputs and outputs keep their types. Islands are LayerNormalization, softmax, the L2 norm at the
end, and every node that an outlier pass shows to pass values near FP16's limit; a cast stands on
each border. ONNX Runtime's CPU back end does not use this form: it stores in FP16 and computes
in FP32 (`fp16_stored.store_fp16`).

Of an INT8 graph, what is not quantised computes in FP16. A strongly typed network takes the type
of Q/DQ from their scales. Up to TensorRT 10.12 a scale must have the type of the floats beside
it; since 10.13 an FP32 scale may stand beside FP16, never the other way round (NvInfer.h). So a
scale has the type of its floats here: QuantizeLinear that of what it is given, DequantizeLinear
that of what takes it, and no cast comes between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from trml_calibration.fp16_stored import widen_fp16
from trml_calibration.graph import Feed, load_basic, watch
from trml_calibration.lint import SCALES_OPSET
from trml_rt.errors import ArtefactMismatch

__all__ = ["ISLANDS", "to_fp16"]

ISLANDS = frozenset(
    {
        *("LayerNormalization", "Softmax", "ReduceL2", "ReduceMean", "ReduceSum", "Pow", "Sqrt"),
        *("Range", "IsNaN", "CumSum", "ArgMax", "Sign"),
    }
)
"""Operators that always compute in FP32: sums of squares overflow, long sums lose places."""

# A quarter leaves room for inputs that the outlier pass has not seen.
_LIMIT = 0.25 * float(np.finfo(np.float16).max)
_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
_LEAST_SCALE = np.finfo(np.float16).tiny


def to_fp16(
    source: Path, target: Path, *, feeds: Sequence[Feed] = (), keep: Iterable[str] = ()
) -> list[str]:
    """Write the FP16 form of the graph at `source` to `target` and return its FP32 islands.

    Args:
        source: an FP32 graph, or the portable INT8 form of one; weights stored in FP16 behind
            a cast are taken as FP32.
        target: the file to write.
        feeds: real inputs for the outlier pass; a node that gives or takes a value beyond a
            quarter of FP16's largest stays FP32. Without them only weights are looked at.
        keep: names of more nodes to leave in FP32.

    Raises:
        ArtefactMismatch: the graph holds subgraphs, which this does not convert, or Q/DQ of an
            operator set that has no FP16 scales.
    """
    model = _load(source)
    kinds = _types(model)
    if any(a.HasField("g") for node in model.graph.node for a in node.attribute):
        raise ArtefactMismatch(f"{source}: holds subgraphs, which the FP16 form does not know")
    large = _large_tensors(model, kinds, feeds)
    kept = set(keep)
    islands = [
        node.name
        for node in model.graph.node
        if _has_float(node, kinds)
        and (
            node.op_type in ISLANDS
            or node.name in kept
            or large.intersection((*node.input, *node.output))
        )
    ]
    _convert(model, kinds, set(islands))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)
    return islands


def _load(source: Path) -> ModelProto:
    """Return the graph at `source` with FP32 weights, and scales that FP16 holds.

    ONNX Runtime's optimiser is kept from graphs with Q/DQ: it would add more of them.
    """
    model = onnx.load(source)
    if not any(node.op_type in _QUANTISERS for node in model.graph.node):
        return load_basic(source)
    version = next(o.version for o in model.opset_import if o.domain == "")
    if version < SCALES_OPSET:
        raise ArtefactMismatch(
            f"{source}: opset {version}, and FP16 scales on Q/DQ need {SCALES_OPSET}; "
            "export the bundle anew"
        )
    widen_fp16(model)
    _fit_scales(model)
    return model


def _fit_scales(model: ModelProto) -> None:
    """Give every scale of Q/DQ a value that FP16 holds, and weights the integers that fit it.

    Filters that training left without a use have weights, and so scales, of almost nothing.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    fitted = {}
    for node in model.graph.node:
        if node.op_type not in _QUANTISERS:
            continue
        data, name = node.input[:2]
        scale = numpy_helper.to_array(tensors[name])
        fitted[name] = np.maximum(scale, _LEAST_SCALE).astype(np.float16).astype(np.float32)
        if data in tensors:
            weights = numpy_helper.to_array(tensors[data])
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [-1 if place == axis % weights.ndim else 1 for place in range(weights.ndim)]
            ratio = (scale / fitted[name]).reshape(shape if scale.ndim else ())
            fitted[data] = np.rint(weights * ratio).astype(np.int8)
    for name, value in fitted.items():
        tensors[name].CopyFrom(numpy_helper.from_array(value, name))


def _convert(model: ModelProto, kinds: dict[str, int], islands: set[str]) -> None:
    """Retype the graph in place: every float tensor has one type, borders get casts."""
    retyping = _Retyping(model.graph, kinds)
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":  # made where its output is taken
            retyping.add(node, in_fp32=node.name in islands)
    retyping.write()


class _Retyping:
    """The nodes of a graph, one after another, in the types that they shall have."""

    def __init__(self, graph: GraphProto, kinds: dict[str, int]) -> None:
        self._graph, self._kinds = graph, kinds
        self._fixed = {value.name for value in (*graph.input, *graph.output)}
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._dequantisers = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
        self._type_of = {name: kinds[name] for name in self._fixed if name in kinds}
        self._casts: dict[tuple[str, int], str] = {}
        self._weight_types: dict[tuple[str, int], None] = {}  # in the order of their use
        self._nodes: list[NodeProto] = []

    def add(self, node: NodeProto, *, in_fp32: bool) -> None:
        """Take the next node; what it takes is cast before it, an output of the graph after it."""
        kind: int = _FLOAT if in_fp32 else _HALF
        if kind == _HALF and node.op_type == "QuantizeLinear":
            kind = self._type_of.get(node.input[0], _HALF)
        if not _has_float(node, self._kinds):
            self._keep_weights(node.input)
            self._nodes.append(node)
            return
        for place, name in enumerate(node.input):
            if self._kinds.get(name) == _FLOAT:
                node.input[place] = self._taken(name, kind)
            else:
                self._keep_weights([name])
        if node.op_type == "Cast":
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i == _FLOAT:
                    attribute.i = kind
        casts = [self._given(node, place, kind) for place in range(len(node.output))]
        self._nodes += [node, *(cast for cast in casts if cast is not None)]

    def write(self) -> None:
        """Put the nodes, and the weights in the types that they are taken in, into the graph."""
        graph = self._graph
        del graph.node[:]
        graph.node.extend(self._nodes)
        del graph.value_info[:]
        del graph.initializer[:]
        for name, kind in self._weight_types:
            if kind == _HALF and self._weights[name].data_type == _FLOAT:
                value = numpy_helper.to_array(self._weights[name]).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(value, f"{name}_fp16"))
            else:
                graph.initializer.append(self._weights[name])

    def _keep_weights(self, names: Iterable[str]) -> None:
        """Note which of `names` are weights that are taken in their own type."""
        for name in names:
            if name in self._weights:
                self._weight_types[name, self._weights[name].data_type] = None

    def _taken(self, name: str, kind: int) -> str:
        """Return the tensor `name` in the type `kind`, through a cast if need be."""
        if name in self._weights:
            self._weight_types[name, kind] = None
            return name if kind == _FLOAT else f"{name}_fp16"
        if name in self._dequantisers:
            return self._dequantised(name, kind)
        if self._type_of[name] == kind:
            return name
        if (name, kind) not in self._casts:
            cast = f"{name}_to_{'fp16' if kind == _HALF else 'fp32'}"
            self._casts[name, kind] = cast
            self._nodes.append(helper.make_node("Cast", [name], [cast], f"{cast}_cast", to=kind))
        return self._casts[name, kind]

    def _dequantised(self, name: str, kind: int) -> str:
        """Return the output `name` of a DequantizeLinear, made in the type `kind`."""
        if (name, kind) not in self._casts:
            node = NodeProto()
            node.CopyFrom(self._dequantisers[name])
            self._keep_weights((node.input[0], *node.input[2:]))
            node.input[1] = self._taken(node.input[1], kind)
            if kind == _HALF:
                node.name, node.output[0] = f"{node.name}_fp16", f"{name}_fp16"
            self._casts[name, kind] = node.output[0]
            self._nodes.append(node)
        return self._casts[name, kind]

    def _given(self, node: NodeProto, place: int, kind: int) -> NodeProto | None:
        """Note the type of an output; return the cast of an output of the graph, which is FP32."""
        name = node.output[place]
        if self._kinds.get(name) != _FLOAT:
            return None
        if name not in self._fixed or kind != _HALF:
            self._type_of[name] = kind
            return None
        node.output[place] = half = f"{name}_fp16"
        self._type_of[half] = _HALF
        self._casts[name, _HALF] = half
        return helper.make_node("Cast", [half], [name], f"{name}_cast", to=_FLOAT)


def _types(model: ModelProto) -> dict[str, int]:
    """Return the element type of every tensor."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    infos = (*graph.input, *graph.output, *graph.value_info)
    kinds = {info.name: info.type.tensor_type.elem_type for info in infos}
    return kinds | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _has_float(node: NodeProto, kinds: dict[str, int]) -> bool:
    return any(kinds.get(name) == _FLOAT for name in (*node.input, *node.output))


def _large_tensors(model: ModelProto, kinds: dict[str, int], feeds: Sequence[Feed]) -> set[str]:
    """Return the tensors that come near FP16's limit: weights, and activations on `feeds`."""
    large = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == _FLOAT
        and (value := np.abs(numpy_helper.to_array(tensor))).size
        and not value.max() <= _LIMIT
    }
    if not feeds:
        return large
    floats = sorted(
        {name for node in model.graph.node for name in node.output if kinds.get(name) == _FLOAT}
    )
    run = watch(model, floats, optimised=False)
    for feed in feeds:
        for name, value in run(feed).items():
            if value.size and not np.abs(value).max() <= _LIMIT:
                large.add(name)
    return large
