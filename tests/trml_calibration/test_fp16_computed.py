"""Graphs that compute in FP16: types, islands, and answers near those of FP32."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnxruntime
from onnx import TensorProto

from tests.trml_calibration import onnx_graphs
from tests.trml_calibration.onnx_graphs import cosines, outputs
from trml_calibration.fp16_computed import to_fp16
from trml_calibration.fp16_stored import store_fp16
from trml_calibration.graph import load_basic
from trml_calibration.int8 import quantise, tensors_to_watch
from trml_calibration.ranges import collect_ranges
from trml_rt.errors import ArtefactMismatch


@pytest.fixture
def source(tmp_path):
    return onnx_graphs.transformer(tmp_path / "t.onnx")


def int8(source, feeds, only=None):
    """Write the portable INT8 form of the graph at `source` beside it, and return its path."""
    graph = load_basic(source)
    ranges = collect_ranges(graph, tensors_to_watch(graph), feeds, "max")
    path = source.with_suffix(".int8.onnx")
    onnx.save(quantise(graph, ranges, "portable", only=only), path)
    return path


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


@pytest.mark.parametrize("kind", ["transformer", "convolutions"])
def test_int8_with_the_rest_in_fp16_answers_like_fp32(tmp_path, kind):
    source = getattr(onnx_graphs, kind)(tmp_path / "g.onnx")
    feeds = onnx_graphs.texts(16) if kind == "transformer" else onnx_graphs.pictures(16)
    to_fp16(int8(source, feeds), tmp_path / "h.onnx")
    given = outputs(onnx.load(tmp_path / "h.onnx"), feeds)
    assert cosines(answers(source, feeds), given).min() > 0.98


def test_what_is_not_quantised_in_an_int8_graph_is_fp16(source, tmp_path):
    islands = to_fp16(int8(source, onnx_graphs.texts(4)), tmp_path / "h.onnx")
    kinds = types(tmp_path / "h.onnx")
    assert kinds["product"] == kinds["scores"] == kinds["mixed"] == TensorProto.FLOAT16
    assert islands == ["n_normed", "n_attention", "n_vector"]


def test_a_layer_left_in_fp32_by_the_guard_is_fp16(source, tmp_path):
    partly = int8(source, onnx_graphs.texts(4), only={"n_product"})
    to_fp16(partly, tmp_path / "h.onnx")
    (back,) = [n for n in onnx.load(tmp_path / "h.onnx").graph.node if n.name == "n_back"]
    assert list(back.input) == ["active", "narrow_fp16"]
    assert types(tmp_path / "h.onnx")["active"] == TensorProto.FLOAT16


def test_a_scale_has_the_type_of_the_floats_beside_it_and_no_cast_comes_between(source, tmp_path):
    to_fp16(int8(source, onnx_graphs.texts(4)), tmp_path / "h.onnx", keep=["n_back"])
    model = onnx.load(tmp_path / "h.onnx")
    kinds = types(tmp_path / "h.onnx")
    scales = {t.name: t.data_type for t in model.graph.initializer}
    seen = set()
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            floats = node.input[0]
        elif node.op_type == "DequantizeLinear":
            floats = node.output[0]
        else:
            continue
        assert kinds[floats] == scales[node.input[1]]
        around = [n for n in model.graph.node if floats in (*n.input, *n.output) and n != node]
        assert "Cast" not in {n.op_type for n in around}
        seen.add((node.op_type, kinds[floats]))
    assert len(seen) == 4  # both, in both types


def test_a_filter_of_almost_nothing_keeps_its_weights_under_a_scale_that_fp16_holds(tmp_path):
    model = onnx.load(onnx_graphs.convolutions(tmp_path / "c.onnx"))
    (point,) = [tensor for tensor in model.graph.initializer if tensor.name == "point"]
    filters = onnx.numpy_helper.to_array(point).copy()
    filters[3] *= 1e-7
    filters[5] *= 1e-3
    point.CopyFrom(onnx.numpy_helper.from_array(filters, "point"))
    onnx.save(model, tmp_path / "c.onnx")
    to_fp16(int8(tmp_path / "c.onnx", onnx_graphs.pictures(4)), tmp_path / "h.onnx")
    made = {
        tensor.name: onnx.numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in onnx.load(tmp_path / "h.onnx").graph.initializer
    }
    scales = made["point_scale_fp16"].reshape(-1, 1, 1, 1)
    assert scales.min() == np.finfo(np.float16).tiny
    missed = np.abs(made["point_quantized"] * scales - filters)
    assert (missed <= 0.6 * scales).all()


def test_an_int8_graph_with_weights_stored_in_fp16_gives_the_same_graph(source, tmp_path):
    quantised = int8(source, onnx_graphs.texts(4))
    to_fp16(quantised, tmp_path / "a.onnx")
    store_fp16(quantised)
    to_fp16(quantised, tmp_path / "b.onnx")
    a, b = (onnx.load(tmp_path / name) for name in ("a.onnx", "b.onnx"))
    assert a.graph.node == b.graph.node
    assert {t.name: t.raw_data for t in a.graph.initializer} == {
        t.name: t.raw_data for t in b.graph.initializer
    }


def test_q_dq_of_an_operator_set_without_fp16_scales_are_refused(source, tmp_path):
    quantised = int8(source, onnx_graphs.texts(4))
    model = onnx.load(quantised)
    model.opset_import[0].version = 18
    onnx.save(model, quantised)
    with pytest.raises(ArtefactMismatch, match="opset 18, and FP16 scales on Q/DQ need 19"):
        to_fp16(quantised, tmp_path / "h.onnx")
