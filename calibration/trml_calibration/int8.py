"""Make INT8 graphs from an FP32 graph and the ranges of its activations.

onnxruntime.quantization does the arithmetic and places Q/DQ; which nodes it may touch, and in
which form, is decided here. Two forms come of the same ranges:

* `portable`: symmetric int8, zero point 0, one scale a channel of a weight, Q/DQ on the inputs
  of matrix products and convolutions only. TensorRT's parser takes nothing else.
* `cpu`: uint8 activations with a zero point. On a chain of convolutions the activations stay
  quantised from one to the next, because ONNX Runtime has no integer convolution that gives
  floats; a word table is looked up as int8, so that it is never widened as a whole.

Neither puts Q/DQ around LayerNorm, softmax or GELU, and biases stay FP32.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Set

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from trml_calibration.ranges import Ranges
from trml_calibration.refine import Channels, correct_biases, drop_unused

__all__ = ["layers", "quantise", "tensors_to_watch"]

_PRODUCTS = ("MatMul", "Gemm")
_PASSING = ("Clip", "Relu")  # keep a convolution's output quantised, in the cpu form
_LEAST_TABLE = 1 << 16  # elements from which a word table is worth storing as int8


def layers(graph: ModelProto) -> list[str]:
    """Return the names of the nodes with weights that may be quantised, in running order."""
    weights = {tensor.name for tensor in graph.graph.initializer}
    chained = _chained(graph)
    return [
        node.name
        for node in graph.graph.node
        if (node.op_type in _PRODUCTS and node.input[1] in weights and node.input[0] not in weights)
        or (node.op_type == "Conv" and node.input[1] in weights and node.name in chained)
    ]


def tensors_to_watch(graph: ModelProto) -> set[str]:
    """Return the tensors whose ranges the forms need."""
    weights = {tensor.name for tensor in graph.graph.initializer}
    of_interest = {*layers(graph), *_chained(graph)}
    return {
        name
        for node in graph.graph.node
        if node.name in of_interest
        for name in (*node.input, *node.output)
        if name and name not in weights
    }


def quantise(
    graph: ModelProto,
    ranges: Ranges,
    form: str,
    *,
    only: Set[str] | None = None,
    tables: bool = True,
    channels: Mapping[str, Channels] | None = None,
) -> ModelProto:
    """Return the INT8 form of `graph`; the same arguments give the same bytes.

    Args:
        graph: what `graph.load_basic` gave; it is not changed.
        ranges: of the tensors in `tensors_to_watch(graph)`.
        form: `portable` or `cpu`.
        only: the layers to quantise, of `layers(graph)`; None means all of them.
        tables: store word tables as int8 too (the cpu form only).
        channels: of what the layers take, of `refine.measure_channels`; with them biases make
            up for rounded weights.
    """
    model = ModelProto()
    model.CopyFrom(graph)
    chosen = [name for name in layers(graph) if only is None or name in only]
    if form == "cpu":
        chosen += _between(graph, set(chosen))
    if chosen:
        placed = _place(model, ranges, form, chosen)
        if channels is not None:
            placed = _place(correct_biases(graph, placed, channels), ranges, form, chosen)
        model = placed
    if tables and form == "cpu":
        _store_tables(model)
    return model


def _place(model: ModelProto, ranges: Ranges, form: str, chosen: list[str]) -> ModelProto:
    """Let onnxruntime place Q/DQ around the `chosen` nodes."""
    kinds = {node.op_type for node in model.graph.node if node.name in set(chosen)}
    activations = QuantType.QInt8 if form == "portable" else QuantType.QUInt8
    quantised_outputs = {"Conv", "Add", *_PASSING} if form == "cpu" else set()
    with _quiet():
        quantiser = QDQQuantizer(
            onnx.shape_inference.infer_shapes(model),
            True,  # one scale a channel
            False,  # all 8 bits of a weight
            QuantType.QInt8,
            activations,
            TensorsData(
                CalibrationMethod.MinMax,
                {n: (np.float32(low), np.float32(high)) for n, (low, high) in ranges.items()},
            ),
            chosen,
            [],
            sorted(kinds),
            {
                "ActivationSymmetric": form == "portable",
                "WeightSymmetric": True,
                "QuantizeBias": form == "cpu",
                "OpTypesToExcludeOutputQuantization": sorted(kinds - quantised_outputs),
            },
        )
        quantiser.quantize_model()
    quantiser.model.topological_sort()
    quantised: ModelProto = quantiser.model.model
    del quantised.graph.value_info[:]
    return quantised


def _chained(graph: ModelProto) -> list[str]:
    """Return the nodes through which activations flow from convolution to convolution.

    They are convolutions, the Clip and Relu behind them, and additions of such. A convolution
    that leads to something else, such as the patches of a vision transformer, is not among them.
    """
    if sum(node.op_type == "Conv" for node in graph.graph.node) < 2:
        return []
    constants = {tensor.name for tensor in graph.graph.initializer}
    maker_of = {name: node.name for node in graph.graph.node for name in node.output}
    behind: set[str] = set()  # of a convolution

    def passes_on(node: NodeProto) -> bool:
        """Say whether all that the node takes comes from convolutions."""
        inputs = [name for name in node.input if name and name not in constants]
        expected = 2 if node.op_type == "Add" else 1
        return len(inputs) == expected and all(maker_of.get(name) in behind for name in inputs)

    for node in graph.graph.node:
        if node.op_type == "Conv" or (node.op_type in (*_PASSING, "Add") and passes_on(node)):
            behind.add(node.name)
    return [node.name for node in graph.graph.node if node.name in behind]


def _between(graph: ModelProto, chosen: Set[str]) -> list[str]:
    """Return the Clip, Relu and Add nodes of a chain all of whose inputs come quantised."""
    chained, quantised = set(_chained(graph)), set[str]()
    tensors = []
    for node in graph.graph.node:
        if node.op_type == "Conv" and node.name in chosen:
            quantised.update(node.output)
        elif node.op_type in (*_PASSING, "Add") and node.name in chained:
            inputs = node.input if node.op_type == "Add" else node.input[:1]
            if quantised.issuperset(inputs):
                tensors.append(node.name)
                quantised.update(node.output)
    return tensors


def _store_tables(model: ModelProto) -> None:
    """Store the tables that rows are gathered from as int8, with one scale a row."""
    tables = {t.name: t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        if table is None or axis != 0 or len(table.dims) != 2 or np.prod(table.dims) < _LEAST_TABLE:
            nodes.append(node)
        else:
            nodes += _gather_int8(model, node, numpy_helper.to_array(table))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused(model)


def _gather_int8(model: ModelProto, node: NodeProto, table: np.ndarray) -> list[NodeProto]:
    """Look rows up in an int8 table, and widen only those: row * scale of the row."""
    name, ids, out = node.input[0], node.input[1], node.output[0]
    scale = np.maximum(np.abs(table).max(1, keepdims=True), 1e-12) / 127  # (rows, 1)
    stored = np.rint(table / scale).astype(np.int8)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(stored, f"{name}_int8"),
            numpy_helper.from_array(scale.astype(np.float32), f"{name}_row_scale"),
        ]
    )
    return [
        helper.make_node("Gather", [f"{name}_int8", ids], [f"{out}_int8"], f"{node.name}_int8"),
        helper.make_node(
            "Gather", [f"{name}_row_scale", ids], [f"{out}_scale"], f"{node.name}_scale"
        ),
        helper.make_node(
            "Cast", [f"{out}_int8"], [f"{out}_wide"], f"{node.name}_cast", to=TensorProto.FLOAT
        ),
        helper.make_node("Mul", [f"{out}_wide", f"{out}_scale"], [out], f"{node.name}_mul"),
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the advice that onnxruntime.quantization logs away from the command line."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    # Without a handler the first word to the root logger would install one, for all loggers.
    silent = logging.NullHandler()
    root.addHandler(silent)
    try:
        yield
    finally:
        root.removeHandler(silent)
        root.setLevel(before)
