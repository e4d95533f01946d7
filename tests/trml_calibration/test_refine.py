"""Smoothing and bias correction: nothing changes in FP32, less is lost in INT8."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import numpy_helper

from tests.trml_calibration import onnx_graphs
from tests.trml_calibration.onnx_graphs import SIZE, cosines, outputs
from trml_calibration.graph import load_basic
from trml_calibration.int8 import layers, quantise, tensors_to_watch
from trml_calibration.ranges import collect_ranges
from trml_calibration.refine import measure_channels, smooth
from trml_rt.bundle.calibration import FORMS


def vectors(count=48):
    make = np.random.default_rng(4)
    return [{"x": make.normal(size=(3, SIZE)).astype(np.float32)} for _ in range(count)]


def loud(path, gemm=True):
    """Two products of one input of which a channel is a hundred times as loud as the others."""
    make = np.random.default_rng(5).normal
    gain = np.ones(SIZE, np.float32)
    gain[3] = 100
    constants = {
        "gain": gain,
        "a": make(size=(SIZE, SIZE)).astype(np.float32),
        "b": make(size=(SIZE, SIZE)).astype(np.float32),
        "bias": make(size=SIZE).astype(np.float32),
    }
    nodes = [
        ("Mul", ["x", "gain"], "loud", {}),
        ("Relu", ["loud"], "active", {}),
        ("MatMul", ["active", "a"], "left", {}),
        ("Gemm", ["active", "b", "bias"], "right", {"transB": 1}),
        ("Add", ["left", "right"], "vector", {}),
    ]
    return write_and_load(path, nodes, constants)


def write_and_load(path, nodes, constants):
    inputs = [("x", "float", ["rows", SIZE])]
    return load_basic(onnx_graphs.write(path, nodes, inputs, "vector", constants))


def watched(graph, feeds):
    return collect_ranges(graph, tensors_to_watch(graph), feeds, "max")


def test_channels_are_those_of_what_each_layer_takes(tmp_path):
    graph, feeds = loud(tmp_path / "g.onnx"), vectors()
    found = measure_channels(graph, layers(graph), feeds)
    rows = np.maximum(np.concatenate([feed["x"] for feed in feeds]), 0)
    rows[:, 3] *= 100
    assert list(found) == ["active"]
    assert np.allclose(found["active"].largest, rows.max(0))
    assert np.allclose(found["active"].mean, rows.mean(0), rtol=1e-5)


def test_smoothing_changes_nothing_in_fp32(tmp_path):
    graph, feeds = loud(tmp_path / "g.onnx"), vectors()
    smoothed = smooth(graph, layers(graph), measure_channels(graph, layers(graph), feeds))
    onnx.checker.check_model(smoothed, full_check=True)
    for want, have in zip(outputs(graph, feeds), outputs(smoothed, feeds), strict=True):
        assert np.allclose(want, have, rtol=1e-4, atol=1e-3)
    assert layers(smoothed) == layers(graph)


def test_products_of_one_tensor_share_its_smoothing(tmp_path):
    graph, feeds = loud(tmp_path / "g.onnx"), vectors()
    smoothed = smooth(graph, layers(graph), measure_channels(graph, layers(graph), feeds))
    assert [node.name for node in smoothed.graph.node if node.name.endswith("_smooth")] == [
        "active_smooth"
    ]


def test_a_graph_input_can_be_smoothed(tmp_path):
    constants = {"a": np.eye(SIZE, dtype=np.float32)}
    graph = write_and_load(tmp_path / "g.onnx", [("MatMul", ["x", "a"], "vector", {})], constants)
    feeds = vectors()
    smoothed = smooth(graph, layers(graph), measure_channels(graph, layers(graph), feeds))
    onnx.checker.check_model(smoothed, full_check=True)
    assert np.allclose(outputs(smoothed, feeds[:1])[0], feeds[0]["x"], atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_loud_channel_costs_less_once_it_is_smoothed(tmp_path, form):
    graph, feeds = loud(tmp_path / "g.onnx"), vectors()
    quiet = [{"x": feed["x"] * (np.arange(SIZE) != 3)} for feed in feeds]  # its scale stays
    smoothed = smooth(graph, layers(graph), measure_channels(graph, layers(graph), feeds))

    def lost(source):
        made = quantise(source, watched(source, feeds), form)
        return 1 - cosines(outputs(graph, quiet), outputs(made, quiet)).mean()

    assert lost(smoothed) < lost(graph) / 5


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory):
    """Return the chain of convolutions with biases on all of them, and its samples."""
    graph = load_basic(onnx_graphs.convolutions(tmp_path_factory.mktemp("g") / "chain.onnx"))
    for node in graph.graph.node:
        if node.op_type == "Conv" and len(node.input) == 2:
            node.input.append(f"{node.name}_bias")
            zeros = numpy_helper.from_array(np.zeros(SIZE, np.float32), f"{node.name}_bias")
            graph.graph.initializer.append(zeros)
    return graph, onnx_graphs.pictures()


def shift(graph, made, feeds):
    """Return the mean over channels of how far a layer's mean output moved."""
    want, have = (np.concatenate(outputs(model, feeds)).mean(0) for model in (graph, made))
    return np.abs(want - have).mean()


@pytest.mark.parametrize("name", ["depthwise", "point"])
def test_corrected_biases_take_back_the_shift_of_rounded_weights(convolutions, name):
    graph, feeds = onnx.ModelProto(), convolutions[1]
    graph.CopyFrom(convolutions[0])
    (coarse,) = (tensor for tensor in graph.graph.initializer if tensor.name == name)
    value = numpy_helper.to_array(coarse).copy()
    value.reshape(SIZE, -1)[:, 0] *= 40  # a filter's largest weight sets the scale of them all
    coarse.CopyFrom(numpy_helper.from_array(value, name))
    channels = measure_channels(graph, layers(graph), feeds)
    ranges = watched(graph, feeds)
    (only,) = (node.name for node in graph.graph.node if name in node.input)
    plain, corrected = (
        quantise(graph, ranges, "portable", only={only}, channels=given)
        for given in (None, channels)
    )
    onnx.checker.check_model(corrected, full_check=True)
    assert shift(graph, corrected, feeds) < shift(graph, plain, feeds) / 2


def test_the_correction_of_a_lone_product_is_exact_in_the_mean(tmp_path):
    make = np.random.default_rng(6)
    weight = make.normal(size=(SIZE, SIZE)).astype(np.float32)
    weight[:, 0] = 40
    constants = {"w": weight, "bias": np.zeros(SIZE, np.float32)}
    nodes = [("Gemm", ["x", "w", "bias"], "vector", {"transB": 1})]
    graph = write_and_load(tmp_path / "g.onnx", nodes, constants)
    feeds = [{"x": np.abs(feed["x"]) + 1} for feed in vectors()]
    channels = measure_channels(graph, layers(graph), feeds)
    corrected = quantise(graph, watched(graph, feeds), "portable", channels=channels)
    plain = quantise(graph, watched(graph, feeds), "portable")
    assert shift(graph, corrected, feeds) < shift(graph, plain, feeds) / 5


def test_a_layer_without_a_bias_is_left_as_it_is(tmp_path):
    graph = load_basic(onnx_graphs.transformer(tmp_path / "t.onnx"))
    feeds = onnx_graphs.texts()
    channels, ranges = measure_channels(graph, layers(graph), feeds), watched(graph, feeds)
    with_channels = quantise(graph, ranges, "portable", channels=channels)
    assert with_channels == quantise(graph, ranges, "portable")
