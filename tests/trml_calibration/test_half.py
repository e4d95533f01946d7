"""Graphs that compute in FP16: types, islands, and answers near those of FP32."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnxruntime
from onnx import TensorProto

from tests.trml_calibration import onnx_graphs
from tests.trml_calibration.onnx_graphs import cosines
from trml_calibration.fp16 import store_fp16
from trml_calibration.half import to_fp16


@pytest.fixture
def source(tmp_path):
    return onnx_graphs.transformer(tmp_path / "t.onnx")


def answers(path, feeds):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [session.run(None, feed)[0] for feed in feeds]


def types(path):
    """Return the type of every tensor, after a full check."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {i.name: i.type.tensor_type.elem_type for i in (*graph.value_info, *graph.output)}


def test_the_answers_stay_near(source, tmp_path):
    to_fp16(source, tmp_path / "h.onnx")
    feeds = onnx_graphs.texts(16)
    found = cosines(answers(source, feeds), answers(tmp_path / "h.onnx", feeds))
    assert found.min() > 0.999


def test_convolutions_too(tmp_path):
    source = onnx_graphs.convolutions(tmp_path / "c.onnx")
    to_fp16(source, tmp_path / "h.onnx")
    feeds = onnx_graphs.pictures(8)
    found = cosines(answers(source, feeds), answers(tmp_path / "h.onnx", feeds))
    assert found.min() > 0.999


def test_products_are_fp16_and_layer_norm_and_softmax_are_not(source, tmp_path):
    islands = to_fp16(source, tmp_path / "h.onnx")
    assert {"n_normed", "n_attention", "n_vector"} <= set(islands)
    kinds = types(tmp_path / "h.onnx")
    assert kinds["product"] == kinds["back"] == TensorProto.FLOAT16
    assert kinds["normed"] == kinds["attention"] == TensorProto.FLOAT


def test_inputs_and_outputs_keep_their_types(source, tmp_path):
    to_fp16(source, tmp_path / "h.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "h.onnx")
    assert [tensor.type for tensor in session.get_inputs()] == ["tensor(int32)"]
    assert [tensor.type for tensor in session.get_outputs()] == ["tensor(float)"]


def test_the_file_is_half_as_big(source, tmp_path):
    to_fp16(source, tmp_path / "h.onnx")
    assert (tmp_path / "h.onnx").stat().st_size < 0.52 * source.stat().st_size


def test_a_node_that_would_overflow_becomes_an_island(tmp_path):
    model = onnx.load(onnx_graphs.transformer(tmp_path / "t.onnx"))
    for tensor in model.graph.initializer:
        if tensor.name == "gain":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(16, 3e4, np.float32), "gain"))
    onnx.save(model, tmp_path / "loud.onnx")
    feeds = onnx_graphs.texts(16)
    assert "n_product" not in to_fp16(tmp_path / "loud.onnx", tmp_path / "blind.onnx", keep=())
    islands = to_fp16(tmp_path / "loud.onnx", tmp_path / "h.onnx", feeds=feeds)
    assert {"n_product", "n_active"} <= set(islands)
    found = cosines(answers(tmp_path / "loud.onnx", feeds), answers(tmp_path / "h.onnx", feeds))
    assert found.min() > 0.999


def test_a_node_named_by_hand_becomes_an_island(source, tmp_path):
    assert "n_product" in to_fp16(source, tmp_path / "h.onnx", keep=["n_product"])


def test_weights_stored_in_fp16_give_the_same_graph(source, tmp_path):
    to_fp16(source, tmp_path / "a.onnx")
    store_fp16(source)
    to_fp16(source, tmp_path / "b.onnx")
    feeds = onnx_graphs.texts(4)
    for a, b in zip(
        answers(tmp_path / "a.onnx", feeds), answers(tmp_path / "b.onnx", feeds), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_the_same_graph_gives_the_same_bytes(source, tmp_path):
    for name in "ab":
        to_fp16(source, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
