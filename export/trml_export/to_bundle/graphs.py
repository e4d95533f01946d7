"""The five graphs of a bundle as PyTorch modules, and their way to ONNX.

Each module takes and gives exactly the tensors that docs/bundle-format.md names; the shape
comments there hold here.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

from trml_export.backbone.backbone import Backbone, Encoders
from trml_export.backbone.graph_backbone import GraphBackbone
from trml_export.method.model import TRML
from trml_rt.bundle.manifest import TensorSpec

__all__ = ["GraphSpec", "graphs", "write_onnx"]

OPSET = 20
"""Keeps LayerNormalization and GELU one node each, and allows FP16 scales on Q/DQ."""


class TextGraph(nn.Module):
    """ids (batch, tokens) int32 to text_vector (batch, d)."""

    def __init__(self, backbone: Backbone, model: TRML) -> None:
        super().__init__()
        self.towers = backbone.model  # registered, so that its weights become initialisers
        self._encode = backbone.encode_text
        self._finish = model.text_state

    def forward(self, ids: Tensor) -> Tensor:
        """Encode the texts."""
        return self._finish(self._encode(ids))


class FrameGraph(nn.Module):
    """frames (frames, height, width, 3) uint8 to frame_vectors (frames, d).

    `(x / 255 - mean) / std` is one multiplication and one addition a channel.
    """

    def __init__(self, backbone: Backbone, model: TRML) -> None:
        super().__init__()
        self.towers = backbone.model
        self._encode = backbone.encode_image
        self._finish = model.frame_states
        mean = torch.tensor(backbone.config.preprocess.mean)
        std = torch.tensor(backbone.config.preprocess.std)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode the frames."""
        pixels = frames.to(torch.float32) * self.scale + self.shift
        return self._finish(self._encode(pixels.permute(0, 3, 1, 2)))


class Fuse(nn.Module):
    """One of TRML's three ways to a prediction, as a module."""

    def __init__(self, model: TRML, method: str) -> None:
        super().__init__()
        self.model = model
        self._method = method

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Fuse the vectors of the present modalities."""
        return getattr(self.model, self._method)(*tensors)


@dataclass(frozen=True)
class GraphSpec:
    """One graph: its tensors, and the module to trace, or the file that holds it already.

    `weights` says how that file stores them.
    """

    module: nn.Module | Path
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    weights: str | None = None


def graphs(backbone: Encoders, model: TRML, *, cut: bool) -> dict[str, GraphSpec]:
    """Return the five graphs by engine name.

    Args:
        backbone: the frozen encoders.
        model: the trained part, in eval mode.
        cut: whether the text graph may see fewer tokens than the context.
    """
    d, n, k = backbone.size, model.config.frames, model.config.outputs
    text_vector = _tensor("text_vector", "float32", "batch", d)
    clip = [
        _tensor("frame_vectors", "float32", "batch", n, d),
        _tensor("frame_mask", "bool", "batch", n),
    ]
    prediction = _tensor("prediction", "float32", "batch", k)
    virtual_video = _tensor("virtual_video", "float32", "batch", d)
    virtual_text = _tensor("virtual_text", "float32", "batch", d)
    return {
        **_encoders(backbone, model, cut=cut),
        "fuse_text": GraphSpec(
            Fuse(model, "fuse_text"), [text_vector], [prediction, virtual_video]
        ),
        "fuse_video": GraphSpec(Fuse(model, "fuse_video"), clip, [prediction, virtual_text]),
        "fuse_text_video": GraphSpec(
            Fuse(model, "fuse_text_video"), [text_vector, *clip], [prediction]
        ),
    }


def _encoders(backbone: Encoders, model: TRML, *, cut: bool) -> dict[str, GraphSpec]:
    if isinstance(backbone, GraphBackbone):
        engines = backbone.record.engines
        return {
            name: GraphSpec(backbone.files[name], e.inputs, e.outputs, e.weights)
            for name, e in engines.items()
        }
    picture = backbone.preprocessing
    tokens: int | str = "tokens" if cut else backbone.context_length
    return {
        "text": GraphSpec(
            TextGraph(backbone, model),
            [_tensor("ids", "int32", "batch", tokens)],
            [_tensor("text_vector", "float32", "batch", backbone.size)],
        ),
        "frame": GraphSpec(
            FrameGraph(backbone, model),
            [_tensor("frames", "uint8", "frames", picture.height, picture.width, 3)],
            [_tensor("frame_vectors", "float32", "frames", backbone.size)],
        ),
    }


def write_onnx(spec: GraphSpec, path: Path) -> None:
    """Trace the graph with PyTorch's exporter and write it as one ONNX file, or copy its file."""
    if isinstance(spec.module, Path):
        shutil.copyfile(spec.module, path)
        return
    example = tuple(_example(tensor) for tensor in spec.inputs)
    # A module of variable arguments takes its dynamic axes as one tuple.
    axes = tuple(
        {axis: size for axis, size in enumerate(tensor.shape) if isinstance(size, str)}
        for tensor in spec.inputs
    )
    with warnings.catch_warnings():
        # The exporter warns about its internals (deprecated copies, renamed axes).
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            spec.module.eval(),
            example,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            dynamic_shapes=(axes,) if isinstance(spec.module, Fuse) else axes,
        )
    assert program is not None
    # The exporter notes the lines of Python behind each node, with paths of this machine.
    ClearMetadataAndDocStringPass()(program.model)
    _cast_uint8_first(program.model.graph)
    program.save(path)


def _cast_uint8_first(graph: onnx_ir.Graph) -> None:
    """Take the shape of a uint8 input from what it is cast to: TensorRT has no Shape of uint8."""
    for value in graph.inputs:
        users = value.consumers()
        casts = [node for node in users if node.op_type == "Cast"]
        if value.dtype == onnx_ir.DataType.UINT8 and casts:
            for node in users:
                if node.op_type == "Shape":
                    node.replace_input_with(0, casts[0].outputs[0])
    graph.sort()


def _tensor(name: str, dtype: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=list(shape))


_MAKERS: dict[str, Callable[[list[int]], Tensor]] = {
    "int32": lambda shape: torch.ones(shape, dtype=torch.int32),
    "uint8": lambda shape: torch.full(shape, 128, dtype=torch.uint8),
    "bool": lambda shape: torch.ones(shape, dtype=torch.bool),
    "float32": lambda shape: torch.full(shape, 0.1),
}


def _example(tensor: TensorSpec) -> Tensor:
    """Return a tensor to trace with; the tracer takes an axis of size 1 for a constant."""
    sizes = {"batch": 2, "tokens": 7, "frames": 3}
    return _MAKERS[tensor.dtype]([sizes.get(size, size) for size in tensor.shape])
