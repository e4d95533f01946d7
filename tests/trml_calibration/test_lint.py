"""Lint: each rule, by a graph that breaks it."""

from __future__ import annotations

import json

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from tests.conformance.graphs import field, outside
from tests.conftest import file_entry
from tests.trml_calibration import onnx_graphs
from trml_calibration.fp16_computed import to_fp16
from trml_calibration.graph import load_basic
from trml_calibration.int8 import quantise, tensors_to_watch
from trml_calibration.lint import lint, lint_graph
from trml_calibration.ranges import collect_ranges
from trml_rt.bundle.folder import Bundle
from trml_rt.cli import trml_rt as program


@pytest.fixture
def transformer(tmp_path):
    return load_basic(onnx_graphs.transformer(tmp_path / "t.onnx"))


def rules(model):
    return {(found.level, found.rule, found.node) for found in lint_graph(model, "g")}


def int8(graph, form):
    feeds = onnx_graphs.texts()
    return quantise(graph, collect_ranges(graph, tensors_to_watch(graph), feeds, "max"), form)


def test_an_exported_graph_and_its_portable_form_pass(transformer):
    assert rules(transformer) == set()
    assert rules(int8(transformer, "portable")) == set()


def test_an_int8_graph_with_the_rest_in_fp16_passes(transformer, tmp_path):
    onnx.save(int8(transformer, "portable"), tmp_path / "q.onnx")
    to_fp16(tmp_path / "q.onnx", tmp_path / "h.onnx")
    assert rules(onnx.load(tmp_path / "h.onnx")) == set()


def test_an_asymmetric_graph_is_refused_with_its_nodes(transformer):
    found = rules(int8(transformer, "cpu"))
    assert ("error", "quantisation", "normed_QuantizeLinear") in found


def test_an_old_opset_is_refused(transformer):
    transformer.opset_import[0].version = 16
    assert rules(transformer) & {("error", "opset", ""), ("error", "types", "")}


def test_a_foreign_operator_set_is_refused(transformer):
    transformer.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    transformer.graph.node.append(
        helper.make_node("QuickGelu", ["vector"], ["other"], "odd", domain="com.microsoft")
    )
    assert ("error", "opset", "odd") in rules(transformer)


def test_an_axis_without_a_profile_is_refused(transformer):
    transformer.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "words"
    assert ("error", "axes", "ids") in rules(transformer)


def test_an_int64_input_is_refused(transformer):
    transformer.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    assert ("error", "int64", "ids") in rules(transformer)


def test_a_constant_beyond_fp16_is_a_warning_with_its_node(transformer):
    for tensor in transformer.graph.initializer:
        if tensor.name == "gain":
            tensor.CopyFrom(numpy_helper.from_array(np.full(16, 1e5, np.float32), "gain"))
    assert ("warning", "fp16", "n_normed") in rules(transformer)


def test_a_changed_file_is_an_error_and_exit_code_4(bundle_copy):
    path = bundle_copy / "onnx" / "text.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    findings = lint(Bundle(bundle_copy))
    assert [finding.rule for finding in findings] == ["hash"]
    result = CliRunner().invoke(program, ["lint", "--bundle", str(bundle_copy), "--json"])
    assert result.exit_code == 4
    assert not json.loads(result.stdout)["passed"]


def test_the_tiny_bundle_passes(tiny_bundle):
    assert CliRunner().invoke(program, ["lint", "--bundle", str(tiny_bundle)]).exit_code == 0


@pytest.mark.parametrize(
    "data",
    [
        field(1, 8) + field(7, field(1, field(4, b"\xff"))),  # a name that is no text
        field(1, 8) + field(7, field(5, field(1, 9) + field(2, 1) + field(8, b"w"))),  # no values
    ],
)
def test_a_graph_that_onnx_cannot_read_is_a_finding(bundle_copy, edit_manifest, data):
    graph = bundle_copy / "onnx" / "text.onnx"
    graph.write_bytes(data)
    folder = edit_manifest(lambda m: m["files"].update({"onnx/text.onnx": file_entry(graph)}))
    [finding] = lint(Bundle(folder))
    assert (finding.level, finding.rule, finding.graph) == ("error", "graph", "onnx/text.onnx")
    assert "\n" not in finding.text


def test_a_graph_whose_weights_lie_elsewhere_is_a_finding(bundle_copy, edit_manifest):
    graph = bundle_copy / "onnx" / "text.onnx"
    graph.write_bytes(outside()["an initializer"])
    folder = edit_manifest(lambda m: m["files"].update({"onnx/text.onnx": file_entry(graph)}))
    [finding] = lint(Bundle(folder))
    assert "a tensor of the graph lies in another file" in finding.text
