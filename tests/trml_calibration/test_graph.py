"""Loading a graph with its constants folded, and watching its inner tensors."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.trml_calibration import onnx_graphs
from tests.trml_calibration.onnx_graphs import outputs
from trml_calibration.graph import load_basic, watch


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return onnx_graphs.transformer(tmp_path_factory.mktemp("graphs") / "t.onnx")


def test_every_node_of_a_loaded_graph_has_a_name_of_its_own(source):
    names = [node.name for node in load_basic(source).graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


def test_a_graph_is_loaded_with_the_same_bytes_each_time(source):
    assert load_basic(source).SerializeToString() == load_basic(source).SerializeToString()


def test_a_loaded_graph_names_the_operator_sets_of_its_nodes_alone(source):
    model = load_basic(source)
    assert {opset.domain for opset in model.opset_import} == {n.domain for n in model.graph.node}


def test_inner_tensors_are_those_that_give_the_output(source):
    model = load_basic(source)
    feed = onnx_graphs.texts()[0]
    last = model.graph.node[-1]
    output = model.graph.output[0].name
    seen = watch(model, [output, last.input[0]], optimised=False)(feed)
    assert list(seen) == [output, last.input[0]]
    np.testing.assert_array_equal(seen[output], outputs(model, [feed])[0])
    watched = watch(model, last.input[:1])(feed)[last.input[0]]
    np.testing.assert_allclose(watched, seen[last.input[0]], rtol=1e-5, atol=1e-5)


def test_watching_leaves_the_graph_as_it_is(source):
    model = load_basic(source)
    before = model.SerializeToString()
    watch(model, [model.graph.node[0].output[0]], optimised=False)
    assert model.SerializeToString() == before


def test_constants_are_widened_and_folded(tmp_path):
    half = numpy_helper.from_array(np.ones((2, 2), np.float16), "w")
    cast = onnx.helper.make_node("Cast", ["w"], ["wide"], to=onnx.TensorProto.FLOAT)
    product = onnx.helper.make_node("MatMul", ["x", "wide"], ["y"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [cast, product],
        "g",
        [value("x", onnx.TensorProto.FLOAT, (1, 2))],
        [value("y", onnx.TensorProto.FLOAT, (1, 2))],
        [half],
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "g")
    model = load_basic(tmp_path / "g")
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    assert model.graph.initializer[0].data_type == onnx.TensorProto.FLOAT
