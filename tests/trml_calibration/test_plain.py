"""The plain form of a graph: the same answers, weights in FP32, a uint8 input that is only cast."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnxruntime

from trml_calibration.lint import lint_graph
from trml_calibration.plain import to_plain, uint8_users
from trml_rt.bundle.folder import Bundle, default_bundle


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    """The image graph that ships, and its plain form."""
    source = Bundle(default_bundle()).path("onnx/frame.onnx")
    target = tmp_path_factory.mktemp("plain") / "frame.onnx"
    to_plain(source, target)
    return source, target


def users_in(path):
    return [node.op_type for nodes in uint8_users(onnx.load(path)).values() for node in nodes]


def answer(path, frames):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"frames": frames})[0]


def test_uint8_goes_to_cast_only(frame):
    source, target = frame
    assert users_in(source) in (["Shape"], [])  # a new export has none
    assert users_in(target) == []
    onnx.checker.check_model(onnx.load(target), full_check=True)


def test_no_weight_lies_behind_a_cast(frame):
    model = onnx.load(frame[1])
    weights = {tensor.name for tensor in model.graph.initializer}
    assert not [n for n in model.graph.node if n.op_type == "Cast" and n.input[0] in weights]
    assert onnx.TensorProto.FLOAT16 not in {t.data_type for t in model.graph.initializer}


def test_the_answers_stay_the_same(frame):
    frames = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    np.testing.assert_allclose(*(answer(path, frames) for path in frame), atol=1e-5)


def test_a_shape_of_a_uint8_input_is_rewritten_and_lint_names_it(tmp_path):
    make = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            make("Shape", ["frames"], ["size"], "size"),
            make("Cast", ["frames"], ["pixels"], "pixels", to=onnx.TensorProto.FLOAT),
            make("Reshape", ["pixels", "size"], ["vector"], "vector"),
        ],
        "g",
        [onnx.helper.make_tensor_value_info("frames", onnx.TensorProto.UINT8, ["frames", 3])],
        [onnx.helper.make_tensor_value_info("vector", onnx.TensorProto.FLOAT, ["frames", 3])],
    )
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "g")

    def findings(path):
        return [(f.level, f.rule, f.node) for f in lint_graph(onnx.load(path), "g")]

    assert findings(tmp_path / "g") == [("warning", "uint8", "size")]
    to_plain(tmp_path / "g", tmp_path / "plain")
    assert findings(tmp_path / "plain") == []
    frames = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(answer(tmp_path / "plain", frames), frames)
