"""Weights stored in FP16, arithmetic in FP32."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from trml_calibration.fp16_stored import store_fp16, widen_fp16
from trml_rt.errors import ArtefactMismatch


def write(path, weight):
    """Write y = x @ weight + 0.1."""
    tensors = {"weight": weight, "bias": np.full(weight.shape[1], 0.1, np.float32)}
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", None]) for n in "xy")
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["y"]),
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path
    )
    return path


def types(path):
    return {t.name: t.data_type for t in onnx.load(path).graph.initializer}


@pytest.fixture
def weight():
    return np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)


def answer(path, x):
    return onnxruntime.InferenceSession(path).run(None, {"x": x})[0]


def test_the_answer_is_the_one_of_the_rounded_weights(tmp_path, weight):
    x = np.eye(64, dtype=np.float32)
    path = write(tmp_path / "g.onnx", weight)
    store_fp16(path)
    np.testing.assert_array_equal(
        answer(path, x), weight.astype(np.float16).astype(np.float32) + np.float32(0.1)
    )


def test_the_file_is_half_as_big(tmp_path, weight):
    path = write(tmp_path / "g.onnx", np.tile(weight, (4, 4)))
    before = path.stat().st_size
    store_fp16(path)
    assert path.stat().st_size < 0.51 * before


def test_small_tensors_stay_as_they_are(tmp_path, weight):
    path = write(tmp_path / "g.onnx", weight)
    store_fp16(path)
    assert types(path) == {"weight_fp16": TensorProto.FLOAT16, "bias": TensorProto.FLOAT}


def test_vectors_stay_as_they_are_whatever_their_size(tmp_path):
    path = write(tmp_path / "g.onnx", np.ones((2048, 1), np.float32))
    store_fp16(path)
    assert types(path)["weight"] == TensorProto.FLOAT


def test_a_weight_that_fp16_cannot_hold_stays_fp32(tmp_path, weight):
    weight[0, 0] = 70_000
    path = write(tmp_path / "g.onnx", weight)
    store_fp16(path)
    assert types(path)["weight"] == TensorProto.FLOAT


def test_storing_twice_changes_nothing_more(tmp_path, weight):
    path = write(tmp_path / "g.onnx", weight)
    store_fp16(path)
    once = path.read_bytes()
    store_fp16(path)
    assert path.read_bytes() == once


def test_widened_weights_are_the_rounded_ones_under_their_own_names(tmp_path, weight):
    path = write(tmp_path / "g.onnx", weight)
    plain = onnx.load(path)
    store_fp16(path)
    model = onnx.load(path)
    widen_fp16(model)
    assert model.graph.node == plain.graph.node
    widened = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    np.testing.assert_array_equal(widened["weight"], weight.astype(np.float16).astype(np.float32))


def test_a_file_that_is_no_graph_is_refused_by_name(tmp_path):
    (tmp_path / "text.onnx").write_bytes(b"toy 1.0")
    with pytest.raises(ArtefactMismatch, match=r"text\.onnx: not an ONNX graph"):
        store_fp16(tmp_path / "text.onnx")
