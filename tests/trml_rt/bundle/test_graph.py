"""What an ONNX graph may not hold is found in its bytes; rule R17 is in test_bundle_format.py."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.graphs import field, no_graphs, outside
from tests.conftest import TINY
from trml_rt.bundle.folder import default_bundle
from trml_rt.bundle.graph import _PARTS, check_graph
from trml_rt.errors import ArtefactMismatch

GRAPHS = [*TINY.glob("onnx/*.onnx"), *default_bundle().glob("onnx/*.onnx")]


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: "/".join(path.parts[-3:]))
def test_a_graph_that_holds_its_weights_is_taken(path):
    check_graph(path.read_bytes(), "it")


@pytest.mark.parametrize("what", no_graphs())
def test_what_is_no_onnx_graph_is_refused(what):
    with pytest.raises(ArtefactMismatch, match=r"^it: not an ONNX graph"):
        check_graph(no_graphs()[what], "it")


@given(st.data())
def test_any_change_of_bytes_is_taken_or_refused_in_our_words(data):
    graphs = [*outside().values(), *no_graphs().values(), (TINY / "onnx/text.onnx").read_bytes()]
    graph = bytearray(data.draw(st.sampled_from(graphs)))
    at = data.draw(st.integers(0, len(graph)))
    graph[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    with contextlib.suppress(ArtefactMismatch):
        check_graph(bytes(graph), "it")


def test_the_places_of_tensors_are_all_that_onnx_has():
    onnx = pytest.importorskip("onnx")
    words = {
        "ModelProto": "model",
        "TrainingInfoProto": "training",
        "GraphProto": "graph",
        "NodeProto": "node",
        "AttributeProto": "attribute",
        "FunctionProto": "function",
        "SparseTensorProto": "sparse",
        "TensorProto": "tensor",
    }
    told = {
        word: {
            each.number: words[each.message_type.name]
            for each in getattr(onnx, name).DESCRIPTOR.fields
            if each.message_type is not None and each.message_type.name in words
        }
        for name, word in words.items()
    }
    assert told == _PARTS
    tensor = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert (tensor["external_data"].number, tensor["data_location"].number) == (13, 14)


def test_a_tensor_that_says_that_it_lies_in_its_own_file_is_taken():
    check_graph(field(1, 8) + field(7, field(5, field(14, 0))), "it")
