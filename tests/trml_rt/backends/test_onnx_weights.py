"""FP16 weights that ONNX Runtime reads from the graph's own file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from trml_rt.backends import onnxruntime as module
from trml_rt.backends.onnx_weights import graph_without_weights
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle.folder import Bundle, default_bundle

DEFAULT = Bundle(default_bundle())
FUSED = DEFAULT.manifest.engines["fuse_text"]
GRAPH = DEFAULT.path(FUSED.file)
TEXT = {"text_vector": np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32)}


def without_leaving_weights_out(monkeypatch):
    monkeypatch.setattr(module, "graph_without_weights", lambda path, name: None)


@pytest.mark.parametrize("name", DEFAULT.manifest.engines)
def test_a_graph_without_its_weights_gives_the_same_bits(name, monkeypatch):
    spec = DEFAULT.manifest.engines[name]
    random = np.random.default_rng(0)
    inputs = {}
    for tensor in spec.inputs:
        shape = [size if isinstance(size, int) else 4 for size in tensor.shape]
        most = {"float32": 2, "bool": 2, "int32": 200, "uint8": 256}[tensor.dtype]
        inputs[tensor.name] = random.integers(1, most, shape).astype(tensor.dtype)
    path = DEFAULT.path(spec.file)
    lean = graph_without_weights(path, path.name)
    assert lean is not None
    assert len(lean) < path.stat().st_size / 10
    given = OnnxRuntimeBackend().load(spec, path).run(inputs)
    without_leaving_weights_out(monkeypatch)
    expected = OnnxRuntimeBackend().load(spec, path).run(inputs)
    for output, values in expected.items():
        assert np.array_equal(given[output], values)


def test_the_file_is_not_read_once_the_engine_is_loaded(tmp_path):
    path = tmp_path / "fuse_text.onnx"
    path.write_bytes(GRAPH.read_bytes())
    engine = OnnxRuntimeBackend().load(FUSED, path)
    assert str(path) not in Path("/proc/self/maps").read_text()
    expected = engine.run(TEXT)
    os.truncate(path, 0)
    again = engine.run(TEXT)
    assert all(np.array_equal(again[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["fuse_text.onnx", "größe 1.onnx", "b\udcff.onnx", "a%b?.onnx"])
def test_a_link_and_odd_names_serve(tmp_path, name):
    store = tmp_path / "store"
    store.mkdir()
    blob = store / name
    blob.write_bytes(GRAPH.read_bytes())
    link = tmp_path / "link.onnx"
    link.symlink_to(blob)
    expected = OnnxRuntimeBackend().load(FUSED, GRAPH).run(TEXT)
    for path in (blob, link):
        given = OnnxRuntimeBackend().load(FUSED, path).run(TEXT)
        assert all(np.array_equal(given[output], expected[output]) for output in expected)


def test_weights_in_fp32_stay_in_the_graph(tiny_bundle):
    assert graph_without_weights(tiny_bundle / "onnx" / "frame.onnx", "frame.onnx") is None


def write(path, **weights):
    """Write a graph that widens the weight `widened`, and one `both` that it also gathers from."""
    onnx = pytest.importorskip("onnx")
    nodes = [
        onnx.helper.make_node("Cast", ["widened"], ["wide"], to=1),
        onnx.helper.make_node("Cast", ["both"], ["wide_too"], to=1),
        onnx.helper.make_node("Gather", ["both", "ids"], ["rows"]),
    ]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = onnx.helper.make_graph(nodes, "g", [], [], tensors)
    onnx.save(onnx.helper.make_model(graph), path)
    return onnx


def test_a_graph_of_which_much_else_would_be_left_stays_whole(tmp_path):
    path, half = tmp_path / "g.onnx", np.zeros((256, 256), np.float16)
    write(path, widened=half, other=np.zeros(1024, np.float32))
    assert graph_without_weights(path, path.name) is not None
    write(path, widened=half, other=np.zeros(4096, np.float32))
    assert graph_without_weights(path, path.name) is None


def test_weights_that_something_else_than_a_cast_reads_stay_in_the_graph(tmp_path):
    path, kept = tmp_path / "g.onnx", np.ones((512, 256), np.float16)
    onnx = write(path, widened=kept, both=np.zeros((64, 64), np.float16))
    lean = onnx.load_from_string(graph_without_weights(path, path.name))
    assert [t.data_location for t in lean.graph.initializer] == [1, 0]
    place = {entry.key: entry.value for entry in lean.graph.initializer[0].external_data}
    assert place["location"] == "g.onnx"
    start = int(place["offset"])
    assert path.read_bytes()[start : start + int(place["length"])] == kept.tobytes()


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\xff" * 99, b"\x3a", b"\x3a\x7f", b"\x3a\x02\x2a\x09"], ids=repr
)
def test_a_file_that_is_no_graph_is_left_to_onnx_runtime(tmp_path, content):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    assert graph_without_weights(path, path.name) is None
    assert graph_without_weights(tmp_path / "lost.onnx", "lost.onnx") is None


def test_a_graph_that_is_cut_off_anywhere_is_left_to_onnx_runtime_or_still_one(tmp_path):
    whole = GRAPH.read_bytes()
    path = tmp_path / "a.onnx"
    for size in np.random.default_rng(0).integers(1, len(whole), 50):
        path.write_bytes(whole[:size])
        assert graph_without_weights(path, path.name) is None
