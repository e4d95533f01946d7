"""Operations are counted as a reader would count them, and products mean the same everywhere."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")

from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(scope="module")
def product():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
        yield importlib.import_module("product")
    sys.modules.pop("product")


def graph_of(path: Path) -> Path:
    """Write frames (n, 3, 8, 8) through a convolution to 4 channels of 4 x 4, then to 5 numbers."""
    weights = {"kernel": (4, 3, 2, 2), "matrix": (64, 6), "last": (5, 6)}
    tensors = [
        numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("Conv", ["frames", "kernel"], ["c"], strides=[2, 2]),
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("MatMul", ["f", "matrix"], ["m"]),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("Gemm", ["r", "last"], ["y"], transB=1),
    ]
    ends = [
        helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["n", 3, 8, 8]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5]),
    ]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def test_two_operations_count_for_each_multiplication_of_a_frame(product, tmp_path):
    a_frame = 4 * 4 * 4 * (3 * 2 * 2) + 64 * 6 + 6 * 5
    assert product.operations(graph_of(tmp_path / "a.onnx"), 7) == 7 * 2 * a_frame


def test_every_library_multiplies_the_same_matrices(product):
    exact = product.product("fp32", "torch", 64)()
    assert product.product("int8", "onnxruntime", 64)() == pytest.approx(exact, abs=0.5)
    assert product.product("bf16", "torch", 64)() == pytest.approx(exact, abs=0.5)
