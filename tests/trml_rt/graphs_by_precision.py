"""Graphs of each precision for the tests that compile them with TensorRT for RTX.

STAND-IN: until `trml_calibration` writes them, FP16 and INT8 graphs are made here with ONNX
Runtime's own converters, which differ from what we ship in which layers stay FP32 and in how the
ranges are found. What the compile tests prove with it is the back end (parsing, strong typing,
profiles, the precision count), not our calibration. Point `graph_in` at `trml_calibration` when
it is there, and delete the rest of this file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trml_rt.manifest import EngineSpec

PRECISIONS = ("fp32", "fp16", "int8")

# Stays FP32 in an FP16 graph: what overflows or needs the exact small numbers.
_ISLANDS = ["LayerNormalization", "Softmax", "ReduceL2", "Gelu", "Erf"]
_SIZES = {"batch": 2, "tokens": 7, "frames": 3}


def graph_in(precision: str, source: Path, folder: Path, spec: EngineSpec) -> tuple[Path, str]:
    """Return a graph like the one at `source`, and the precision that its products compute in.

    Only encoders have an INT8 form; a small graph asked for INT8 comes as FP16.
    """
    if precision == "fp32":
        return source, "fp32"
    target = folder / f"{source.stem}_{precision}.onnx"
    if precision == "int8" and not source.stem.startswith("fuse"):
        _quantize(source, target, spec)
        return target, "int8"
    _halve(source, target)
    return target, "fp16"


def _halve(source: Path, target: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = onnx.load(source)
    _widen(model)
    model = convert_float_to_float16(model, keep_io_types=True, op_block_list=_ISLANDS)
    sorted_model = OnnxModel(model)
    sorted_model.topological_sort()
    onnx.save(sorted_model.model, target)


def _quantize(source: Path, target: Path, spec: EngineSpec) -> None:
    import onnx
    from onnxruntime import quantization

    model = onnx.load(source)
    _widen(model)
    widened = target.with_suffix(".fp32.onnx")
    onnx.save(model, widened)

    class Reader(quantization.CalibrationDataReader):
        left = 1

        def get_next(self):
            self.left -= 1
            rng = np.random.default_rng(0)
            return None if self.left < 0 else {t.name: _example(t, rng) for t in spec.inputs}

    quantization.quantize_static(
        widened,
        target,
        Reader(),
        op_types_to_quantize=["MatMul", "Conv", "Gemm"],
        per_channel=True,
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": ["MatMul", "Conv", "Gemm"],
        },
    )


def _example(tensor, rng):
    shape = [_SIZES.get(size, size) for size in tensor.shape]
    if tensor.dtype == "float32":
        return rng.normal(size=shape).astype(np.float32)
    return rng.integers(1, 9, shape).astype(tensor.dtype)


def _widen(model) -> None:
    """Undo the storing of weights in FP16: the graph of the bundle casts each of them."""
    import onnx
    from onnx import numpy_helper

    graph = model.graph
    halves = {i.name: i for i in graph.initializer if i.data_type == onnx.TensorProto.FLOAT16}
    kept = []
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in halves:
            stored = halves.pop(node.input[0])
            value = numpy_helper.to_array(stored).astype(np.float32)
            stored.CopyFrom(numpy_helper.from_array(value, node.output[0]))
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
