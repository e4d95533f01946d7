from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests import tiny
from trml_rt.bundle.folder import Bundle


def test_the_graphs_have_the_inputs_of_the_format(bundle):
    import onnx

    shapes = {}
    for name in Bundle(bundle).manifest.engines:
        for tensor in onnx.load(bundle / "onnx" / f"{name}.onnx").graph.input:
            shapes[name, tensor.name] = [
                axis.dim_param or axis.dim_value for axis in tensor.type.tensor_type.shape.dim
            ]
    d = tiny.SIZE
    assert shapes == {
        ("text", "ids"): ["batch", "tokens"],
        ("frame", "frames"): ["frames", tiny.IMAGE, tiny.IMAGE, 3],
        ("fuse_text", "text_vector"): ["batch", d],
        ("fuse_video", "frame_vectors"): ["batch", 8, d],
        ("fuse_video", "frame_mask"): ["batch", 8],
        ("fuse_text_video", "text_vector"): ["batch", d],
        ("fuse_text_video", "frame_vectors"): ["batch", 8, d],
        ("fuse_text_video", "frame_mask"): ["batch", 8],
    }


def test_the_recurrence_is_unrolled(bundle):
    import onnx

    operators = {node.op_type for node in onnx.load(bundle / "onnx" / "fuse_video.onnx").graph.node}
    assert operators.isdisjoint({"GRU", "Loop", "Scan", "LSTM", "RNN"})


def test_the_blocks_of_an_image_tower_take_no_axes_apart(bundle):
    import onnx

    operators = {node.op_type for node in onnx.load(bundle / "onnx" / "frame.onnx").graph.node}
    assert operators.isdisjoint({"Slice", "Split", "Squeeze"})
