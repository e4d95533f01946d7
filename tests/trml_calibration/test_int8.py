"""INT8 graphs: what is quantised, in which form, and that the answers stay near."""

from __future__ import annotations

import logging

import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, numpy_helper
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from tests.trml_calibration import onnx_graphs
from tests.trml_calibration.onnx_graphs import cosines, outputs
from trml_calibration.graph import load_basic
from trml_calibration.int8 import layers, quantise, tensors_to_watch
from trml_calibration.ranges import METHODS, check_feeds, collect_ranges
from trml_rt.bundle.calibration import FORMS
from trml_rt.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module", params=["transformer", "convolutions"])
def case(request, folder):
    """Return a graph, its ranges and its samples."""
    graph = load_basic(getattr(onnx_graphs, request.param)(folder / f"{request.param}.onnx"))
    feeds = onnx_graphs.texts() if request.param == "transformer" else onnx_graphs.pictures()
    return graph, collect_ranges(graph, tensors_to_watch(graph), feeds, "max"), feeds


@pytest.fixture(scope="module")
def transformer(folder):
    graph = load_basic(onnx_graphs.transformer(folder / "t.onnx"))
    feeds = onnx_graphs.texts()
    return graph, collect_ranges(graph, tensors_to_watch(graph), feeds, "max"), feeds


def values(model):
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def neighbours(model, kind):
    """Return the operators that feed and that follow the nodes of one kind."""
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    around = set()
    for node in model.graph.node:
        if node.op_type == kind:
            around |= {makers[name] for name in node.input if name in makers}
            around |= {n.op_type for n in model.graph.node if set(node.output) & set(n.input)}
    return around


@pytest.mark.parametrize("form", FORMS)
def test_the_answers_stay_near(case, form):
    graph, ranges, feeds = case
    given = cosines(outputs(graph, feeds), outputs(quantise(graph, ranges, form), feeds))
    assert given.min() > 0.98


@pytest.mark.parametrize("form", FORMS)
def test_the_same_arguments_give_the_same_bytes(case, form):
    graph, ranges, _ = case
    made = [quantise(graph, ranges, form).SerializeToString(deterministic=True) for _ in "ab"]
    assert made[0] == made[1]


def test_the_portable_form_is_symmetric_int8_throughout(case):
    graph, ranges, _ = case
    model = quantise(graph, ranges, "portable")
    onnx.checker.check_model(model, full_check=True)
    constants, quantisers = values(model), 0
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            quantisers += 1
            assert constants[node.input[2]].dtype == "int8"
            assert not constants[node.input[2]].any()
    assert quantisers


def test_weights_have_a_scale_for_each_channel(case):
    graph, ranges, _ = case
    constants = values(quantise(graph, ranges, "portable"))
    scales = [v.size for name, v in constants.items() if name.endswith("_scale") and v.ndim]
    assert max(scales) >= onnx_graphs.SIZE


def test_biases_are_not_quantised_in_the_portable_form(case):
    graph, ranges, _ = case
    kinds = {t.data_type for t in quantise(graph, ranges, "portable").graph.initializer}
    assert TensorProto.INT32 not in kinds


def test_softmax_and_gelu_stay_clear_of_q_dq(transformer):
    graph, ranges, _ = transformer
    model = quantise(graph, ranges, "portable")
    for kind in ("Softmax", "Gelu"):
        assert "DequantizeLinear" not in neighbours(model, kind)
    assert "QuantizeLinear" not in neighbours(model, "Softmax")


def test_products_of_two_activations_stay_in_fp32(transformer):
    graph, _, _ = transformer
    assert layers(graph) == ["n_product", "n_back"]


def test_a_word_table_is_looked_up_as_int8_on_the_cpu(transformer):
    graph, ranges, _ = transformer
    constants = values(quantise(graph, ranges, "cpu"))
    assert constants["table_int8"].dtype == "int8"
    assert "table" not in constants


def test_a_chain_of_convolutions_stays_quantised_on_the_cpu(folder):
    graph = load_basic(onnx_graphs.convolutions(folder / "chain.onnx"))
    feeds = onnx_graphs.pictures()
    ranges = collect_ranges(graph, tensors_to_watch(graph), feeds, "max")
    model = quantise(graph, ranges, "cpu")
    assert neighbours(model, "Conv") == {"QuantizeLinear", "DequantizeLinear"}
    assert neighbours(model, "Add") >= {"QuantizeLinear", "DequantizeLinear"}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_range_within_the_largest(transformer, method):
    graph, widest, feeds = transformer
    ranges = collect_ranges(graph, tensors_to_watch(graph), feeds, method)
    assert ranges.keys() == widest.keys()
    for name, (low, high) in ranges.items():
        assert low < high
        assert high - low <= 1.05 * 2 * max(map(abs, widest[name]))


def test_no_data_is_refused_with_the_number_needed():
    with pytest.raises(UsageError, match=r"'text' needs 32 samples.*; 0 given"):
        check_feeds("text", [])


def test_too_few_samples_are_refused():
    with pytest.raises(UsageError, match="8 given, 8 of that kind"):
        check_feeds("text", onnx_graphs.texts(8))


def test_constant_samples_do_not_count():
    same = [onnx_graphs.texts(1)[0]] * 100
    grey = [{"x": onnx_graphs.pictures(1)[0]["x"] * 0 + value} for value in range(100)]
    with pytest.raises(UsageError, match="100 given, 1 of that kind"):
        check_feeds("text", same)
    with pytest.raises(UsageError, match="100 given, 0 of that kind"):
        check_feeds("frame", grey)


def test_quantising_leaves_the_root_logger_as_it_was(transformer, monkeypatch):
    place = QDQQuantizer.quantize_model

    def talking(self):
        logging.info("what onnxruntime says here of some graphs")
        return place(self)

    monkeypatch.setattr(QDQQuantizer, "quantize_model", talking)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # a program without logging
    graph, ranges, _ = transformer
    quantise(graph, ranges, "cpu")
    assert logging.getLogger().handlers == []
