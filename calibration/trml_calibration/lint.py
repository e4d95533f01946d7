"""Look at a bundle's graphs for what keeps a device from building or running them well.

Runs on a CPU, without the device: opset, int64 arithmetic, asymmetric Q/DQ, axes that no profile
covers, values beyond FP16, uint8 outside of Cast. Each finding names its node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from trml_calibration.plain import uint8_users
from trml_rt.bundle.calibration import has_calibration, open_calibration
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import ArtefactMismatch, lacks_resource

__all__ = ["SCALES_OPSET", "Finding", "lint", "lint_graph"]

_LEAST_OPSET = 17  # LayerNormalization as one node
SCALES_OPSET = 19  # FP16 scales on Q/DQ
_AXES = ("batch", "tokens", "frames")
_HALF = float(np.finfo(np.float16).max)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


@dataclass(frozen=True)
class Finding:
    """One thing found; an `error` keeps a back end from taking the graph, a `warning` does not."""

    level: Literal["error", "warning"]
    rule: str
    graph: str
    node: str
    text: str


def lint(bundle: Bundle) -> list[Finding]:
    """Look at every graph of `bundle`, and at those of its calibration."""
    findings: list[Finding] = []
    for engine in bundle.manifest.engines.values():
        findings += _opened(bundle, engine.file)
    if has_calibration(bundle):
        try:
            calibrated = open_calibration(bundle)
            calibrated.verify_files()
            for name in calibrated.record.engines:
                if form := calibrated.form(name, "portable"):
                    findings += _read(calibrated.path(form), f"calibration/{form.file}")
        except ArtefactMismatch as error:
            findings.append(Finding("error", "hash", "calibration", "", str(error)))
    return findings


def lint_graph(model: ModelProto, name: str) -> list[Finding]:
    """Return what is found in one graph, which messages call `name`."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        return [Finding("error", "types", name, "", str(error).strip().splitlines()[0])]
    graph = inferred.graph
    values = {value.name: value for value in (*graph.input, *graph.output, *graph.value_info)}
    kinds = {key: value.type.tensor_type.elem_type for key, value in values.items()}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    kinds |= {key: tensor.data_type for key, tensor in weights.items()}
    findings = [*_opset(model), *_axes(model), *_quantisers(model, weights), *_int64(model, kinds)]
    findings += [*_overflow(model, weights), *_uint8(model)]
    return [Finding(level, rule, name, node, text) for level, rule, node, text in findings]


_Found = tuple[Literal["error", "warning"], str, str, str]


def _opened(bundle: Bundle, file: str) -> list[Finding]:
    try:
        return _read(bundle.path(file), file)
    except ArtefactMismatch as error:
        return [Finding("error", "hash", file, "", str(error))]


def _read(path: Path, name: str) -> list[Finding]:
    try:
        return lint_graph(onnx.load(path), name)
    except Exception as error:  # onnx and protobuf have no error in common
        if lacks_resource(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        return [Finding("error", "graph", name, "", f"onnx cannot read it: {reason}")]


def _opset(model: ModelProto) -> Iterator[_Found]:
    version = next((o.version for o in model.opset_import if o.domain == ""), 0)
    if version < _LEAST_OPSET:
        yield "error", "opset", "", f"opset {version}, {_LEAST_OPSET} needed; export it anew"
    elif version < SCALES_OPSET:
        yield "warning", "opset", "", f"opset {version}; FP16 scales on Q/DQ need {SCALES_OPSET}"
    for opset in model.opset_import:
        used = [node.name for node in model.graph.node if node.domain == opset.domain]
        if opset.domain not in ("", "ai.onnx") and used:
            text = f"operator set {opset.domain!r} is known to one back end only"
            yield "error", "opset", used[0], text


def _axes(model: ModelProto) -> Iterator[_Found]:
    for value in model.graph.input:
        for place, dimension in enumerate(value.type.tensor_type.shape.dim):
            if not dimension.HasField("dim_value") and dimension.dim_param not in _AXES:
                shown = dimension.dim_param or "without a name"
                text = f"axis {place} of the input is {shown}, which no shape profile covers"
                yield "error", "axes", value.name, text


def _quantisers(model: ModelProto, weights: dict[str, TensorProto]) -> Iterator[_Found]:
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        zero = weights.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if len(node.input) > 2 and node.input[2] and zero is None:
            yield "error", "quantisation", node.name, "the zero point is not a constant"
        elif zero is None or zero.data_type != TensorProto.INT8:
            kind = TensorProto.DataType.Name(zero.data_type) if zero else "UINT8"
            yield "error", "quantisation", node.name, f"asymmetric or not int8 ({kind})"
        elif numpy_helper.to_array(zero).any():
            yield "error", "quantisation", node.name, "asymmetric: the zero point is not 0"


def _int64(model: ModelProto, kinds: dict[str, int]) -> Iterator[_Found]:
    for value in model.graph.input:
        if value.type.tensor_type.elem_type == TensorProto.INT64:
            yield "error", "int64", value.name, "the input is int64; int32 needed"
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm", "Conv") and any(
            kinds.get(name) == TensorProto.INT64 for name in node.input
        ):
            yield "warning", "int64", node.name, f"{node.op_type} computes in int64"


def _overflow(model: ModelProto, weights: dict[str, TensorProto]) -> Iterator[_Found]:
    consumers = {name: node for node in model.graph.node for name in node.input}
    for name, tensor in weights.items():
        if tensor.data_type not in _FLOATS:
            continue
        value = numpy_helper.to_array(tensor)
        finite = value[np.isfinite(value)] if value.size else value
        if finite.size and np.abs(finite.astype(np.float64)).max() > _HALF:
            node = consumers.get(name)
            text = f"the constant {name!r} exceeds FP16; its node stays FP32"
            yield "warning", "fp16", node.name if node else "", text


def _uint8(model: ModelProto) -> Iterator[_Found]:
    for name, nodes in uint8_users(model).items():
        for node in nodes:
            text = f"{node.op_type} takes the uint8 input {name!r}; TensorRT takes it in Cast only"
            if node.op_type == "Shape":
                text += "; a build for it rewrites that, and a new export has none"
            yield "warning", "uint8", node.name, text
