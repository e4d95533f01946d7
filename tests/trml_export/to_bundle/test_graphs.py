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


def test_the_shape_of_a_uint8_input_is_taken_from_its_cast(tmp_path):
    import onnx

    from trml_export.to_bundle.graphs import GraphSpec, write_onnx
    from trml_rt.bundle.manifest import TensorSpec

    class Ramp(torch.nn.Module):
        def forward(self, frames):
            return frames.float() + torch.arange(frames.shape[0]).float()[:, None]

    frames = TensorSpec(name="frames", dtype="uint8", shape=["frames", 3])
    vectors = TensorSpec(name="vectors", dtype="float32", shape=["frames", 3])
    write_onnx(GraphSpec(Ramp(), [frames], [vectors]), tmp_path / "g.onnx")
    graph = onnx.load(tmp_path / "g.onnx").graph
    assert "Shape" in {node.op_type for node in graph.node}
    assert {node.op_type for node in graph.node if "frames" in node.input} == {"Cast"}


@pytest.mark.parametrize(
    "settings",
    [
        {"gate": True, "standardise": True, "normalise": False},
        {"fusion": "attention", "generator": "zero", "equal_lengths": False},
    ],
    ids=["gate, standardised", "attention"],
)
def test_every_way_to_fuse_gives_pytorchs_answers_with_standard_operators(settings, tmp_path):
    import numpy as np
    import onnx
    import onnxruntime

    from trml_export.config import Config
    from trml_export.method.model import TRML
    from trml_export.to_bundle.graphs import Fuse, GraphSpec, write_onnx
    from trml_rt.bundle.manifest import TensorSpec

    torch.manual_seed(0)
    model = TRML(Config(**settings), tiny.SIZE).eval()
    for tensor in (*model.parameters(), *model.buffers()):
        torch.nn.init.normal_(tensor, std=0.3)
    tensors = {
        "text_vector": TensorSpec(name="text_vector", dtype="float32", shape=["batch", tiny.SIZE]),
        "frame_vectors": TensorSpec(
            name="frame_vectors", dtype="float32", shape=["batch", 2, tiny.SIZE]
        ),
        "frame_mask": TensorSpec(name="frame_mask", dtype="bool", shape=["batch", 2]),
    }
    prediction = TensorSpec(name="prediction", dtype="float32", shape=["batch", 1])
    given = {
        "text_vector": torch.randn(3, tiny.SIZE),
        "frame_vectors": torch.randn(3, 2, tiny.SIZE),
        "frame_mask": torch.tensor([[True, True], [True, False], [True, True]]),
    }
    path = tmp_path / "fuse.onnx"
    spec = GraphSpec(Fuse(model, "fuse_text_video"), list(tensors.values()), [prediction])
    write_onnx(spec, path)
    assert {node.domain for node in onnx.load(path).graph.node} == {""}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {name: tensor.numpy() for name, tensor in given.items()})
    with torch.inference_mode():
        expected = model.fuse_text_video(*given.values())
    np.testing.assert_allclose(answer, expected.numpy(), atol=1e-5)


def test_the_softness_of_a_presence_case_is_inside_of_its_graph(tmp_path):
    import onnxruntime

    from trml_export.config import Config
    from trml_export.method.model import TRML
    from trml_export.to_bundle.graphs import Fuse, GraphSpec, write_onnx
    from trml_rt.bundle.manifest import TensorSpec

    model = TRML(Config(task="classification"), 8).eval()
    text = TensorSpec(name="text_vector", dtype="float32", shape=["batch", 8])
    outputs = [
        TensorSpec(name="prediction", dtype="float32", shape=["batch", 3]),
        TensorSpec(name="virtual_video", dtype="float32", shape=["batch", 8]),
    ]
    vectors = torch.nn.functional.normalize(torch.randn(5, 8))
    plain = model.fuse_text(vectors)[0].detach()
    model.softness[0] = 2.5
    write_onnx(GraphSpec(Fuse(model, "fuse_text"), [text], outputs), tmp_path / "g.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx")
    (answered,) = session.run(["prediction"], {"text_vector": vectors.numpy()})
    torch.testing.assert_close(torch.from_numpy(answered), plain / 2.5, atol=1e-5, rtol=0)
