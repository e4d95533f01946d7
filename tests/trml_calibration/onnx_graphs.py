"""Small graphs with the parts that quantisation must treat differently."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIZE = 16


def write(path, nodes, inputs, output, constants):
    """Write one graph of `nodes` (op, inputs, output, attributes) and return its path."""
    kinds = {"float": TensorProto.FLOAT, "int": TensorProto.INT32}
    graph = helper.make_graph(
        [helper.make_node(op, ins, [out], f"n_{out}", **attrs) for op, ins, out, attrs in nodes],
        "g",
        [helper.make_tensor_value_info(n, kinds[k], shape) for n, k, shape in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", SIZE])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def transformer(path, rows=5000):
    """ids to vectors: a word table, LayerNorm, two products with GELU between, softmax."""
    make = np.random.default_rng(0).normal
    constants = {
        "table": make(size=(rows, SIZE)).astype(np.float32),
        "gain": np.ones(SIZE, np.float32),
        "shift": np.zeros(SIZE, np.float32),
        "wide": make(size=(SIZE, 4 * SIZE)).astype(np.float32),
        "wide_bias": make(size=4 * SIZE).astype(np.float32),
        "narrow": make(size=(4 * SIZE, SIZE)).astype(np.float32) / 8,
    }
    nodes = [
        ("Gather", ["table", "ids"], "words", {}),
        ("LayerNormalization", ["words", "gain", "shift"], "normed", {"axis": -1}),
        ("MatMul", ["normed", "wide"], "product", {}),
        ("Add", ["product", "wide_bias"], "biased", {}),
        ("Gelu", ["biased"], "active", {}),
        ("MatMul", ["active", "narrow"], "back", {}),
        ("Transpose", ["back"], "turned", {"perm": [0, 2, 1]}),
        ("MatMul", ["back", "turned"], "scores", {}),
        ("Softmax", ["scores"], "attention", {"axis": -1}),
        ("MatMul", ["attention", "back"], "mixed", {}),
        ("ReduceMean", ["mixed", "one"], "vector", {"keepdims": 0}),
    ]
    constants["one"] = np.array([1])
    return write(path, nodes, [("ids", "int", ["batch", "tokens"])], "vector", constants)


def convolutions(path):
    """Pictures to vectors: three convolutions with ReLU6, the last added to the second."""
    make = np.random.default_rng(1).normal
    constants = {
        "stem": make(size=(SIZE, 3, 3, 3)).astype(np.float32) / 4,
        "stem_bias": make(size=SIZE).astype(np.float32) / 4,
        "depthwise": make(size=(SIZE, 1, 3, 3)).astype(np.float32) / 2,
        "point": make(size=(SIZE, SIZE, 1, 1)).astype(np.float32) / 4,
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
        "places": np.array([2, 3]),
    }
    padded = {"pads": [1, 1, 1, 1]}
    nodes = [
        ("Conv", ["x", "stem", "stem_bias"], "a", padded),
        ("Clip", ["a", "zero", "six"], "b", {}),
        ("Conv", ["b", "depthwise"], "c", {**padded, "group": SIZE}),
        ("Clip", ["c", "zero", "six"], "d", {}),
        ("Conv", ["d", "point"], "e", {}),
        ("Add", ["e", "b"], "f", {}),
        ("ReduceMean", ["f", "places"], "vector", {"keepdims": 0}),
    ]
    return write(path, nodes, [("x", "float", ["n", 3, 8, 8])], "vector", constants)


def texts(count=48):
    """Samples for `transformer`, no two alike."""
    make = np.random.default_rng(2)
    return [
        {"ids": make.integers(0, 5000, (1, 3 + number % 5)).astype(np.int32)}
        for number in range(count)
    ]


def pictures(count=48):
    """Samples for `convolutions`."""
    make = np.random.default_rng(3)
    return [{"x": make.normal(size=(2, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


def outputs(model, feeds):
    """Return the first output of `model` for each sample, (rows, d)."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # as the back end does
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["WeightBiasQuantization"],  # as the back end does
    )
    return [session.run(None, feed)[0] for feed in feeds]


def cosines(reference, given):
    """Return the cosine of every row of two lists of (rows, d) with its reference."""
    a, b = np.concatenate(reference), np.concatenate(given)
    return (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
