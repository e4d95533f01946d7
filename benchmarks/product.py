"""The share of this machine's measured matrix product that the image engine reaches.

    python benchmarks/product.py --bundle build/vit_b32 --out benchmarks/results/product.json

A product of two square matrices is timed in FP32 and bf16 by PyTorch and OpenVINO, and in INT8 by
ONNX Runtime and OpenVINO on the graph that our INT8 engines have, QuantizeLinear around MatMul. The
fastest of a type is what this machine does. Beside them runs the image engine on 8 frames in every
precision that is built. Its operations are counted in the portable graph, two for each
multiplication of MatMul, Gemm and Conv; nothing else counts. Each contender runs in a process of
its own, and calls alternate. Layers that an INT8 engine leaves in FP32 count as INT8, too.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trml_rt.backends import row_of
from trml_rt.backends.cpu import half_type
from trml_rt.bundle.folder import Bundle, open_bundle
from trml_rt.cli.bench_worker import serve
from trml_rt.engines.choose import find_engines, fitting_precisions
from trml_rt.proof.interleave import interleave

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

PRODUCTS = {
    "fp32": ("torch", "openvino"),
    "bf16": ("torch", "openvino"),
    "int8": ("onnxruntime", "openvino"),
}
FRAMES = 8
PAUSE = 0.2  # seconds, in which threads stop spinning
Call = Callable[[], list[float]]


def product_graph(size: int, kind: str) -> bytes:
    """Return an ONNX model of x (size, size) times a constant, quantised for "int8"."""
    from onnx import TensorProto, checker, helper, numpy_helper

    weight = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    shape = [size, size]
    if kind == "int8":
        scale = np.abs(weight).max() / 127
        constants = {
            "whole": np.round(weight / scale).astype(np.int8),
            "scale": np.float32(scale),
            "zero": np.int8(0),
            "x_scale": np.float32(4 / 127),
            "x_zero": np.uint8(128),
        }
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "x_scale", "x_zero"], ["d"]),
            helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["w"]),
            helper.make_node("MatMul", ["d", "w"], ["y"]),
        ]
    else:
        constants = {"w": weight}
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y")]
    tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    checker.check_model(model)
    return model.SerializeToString()


def product(kind: str, library: str, size: int) -> Call:
    """Return a product by one library, which gives a corner of what comes out."""
    x = np.random.default_rng(1).normal(size=(size, size)).astype(np.float32)
    if library == "torch":
        import torch

        weight = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
        dtype = torch.bfloat16 if kind == "bf16" else torch.float32
        left, right = (torch.from_numpy(each).to(dtype) for each in (x, weight))
        return lambda: (left @ right)[0, :4].float().tolist()
    if library == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(
            product_graph(size, kind), providers=["CPUExecutionProvider"]
        )
        return lambda: session.run(None, {"x": x})[0][0, :4].tolist()
    import openvino

    hint = {"INFERENCE_PRECISION_HINT": "bf16" if kind == "bf16" else "f32"}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(product_graph(size, kind), b""), "CPU", hint)
    return lambda: compiled(x)[0][0, :4].tolist()


def operations(path: Path, frames: int) -> int:
    """Count the operations of the matrix products and convolutions of a graph on some frames."""
    import onnx

    model = onnx.load(path)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].Clear()
    dims[0].dim_value = frames
    del model.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    total = 0
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm", "Conv"):
            continue
        given, made = shapes[node.input[0]], math.prod(shapes[node.output[0]])
        if node.op_type == "Conv":
            each = math.prod(shapes[node.input[1]][1:])
        else:
            each = given[-2 if any(a.name == "transA" and a.i for a in node.attribute) else -1]
        if made * each == 0:
            raise SystemExit(f"{path}: the shapes of {node.name} are not known")
        total += 2 * made * each
    return total


def engine(bundle: Bundle, backend: str, precision: str) -> Call:
    """Return a call of the image engine alone, without decoding and resizing."""
    row, spec = row_of(backend), bundle.manifest.engines["frame"]
    compiled = precision != "portable"
    path = find_engines(bundle, precision, row).path("frame") if compiled else None
    opened = row.load().open_backend(row.name, None, 1, compiled=compiled)
    loaded = opened.load(spec, path or bundle.path(spec.file))
    video = bundle.manifest.video
    shape = (FRAMES, video.height, video.width, 3)
    frames = {"frames": np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)}
    return lambda: np.ravel(loaded.run(frames)[spec.outputs[0].name])[:4].tolist()


def kind_of(name: str) -> str:
    """Return the type of numbers that a contender multiplies."""
    precision = name.split()[-1]
    if precision == "int8":
        return "int8"
    if precision in ("bf16", "fp16"):
        return "bf16"
    return "fp32"


def main() -> None:
    """Measure, print and write the result; or serve as one contender."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns of a matrix")
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    bundle, size = open_bundle(arguments.bundle), arguments.size
    if arguments.contender:
        subject, library, what = arguments.contender.split()
        make = (
            (lambda: product(what, library, size))
            if subject == "product"
            else (lambda: engine(bundle, library, what))
        )
        serve(make)
        return
    kinds = [kind for kind in PRODUCTS if kind != "bf16" or half_type() == "bf16"]
    names = [f"product {library} {kind}" for kind in kinds for library in PRODUCTS[kind]]
    names.append("engine onnxruntime portable")
    for library in ("onnxruntime", "openvino"):
        built = fitting_precisions(bundle, row_of(library))
        names += [f"engine {library} {precision}" for precision in built]
    script = [sys.executable, str(Path(__file__).resolve()), "--bundle", str(bundle.folder)]
    commands = {n: [*script, "--size", str(size), "--contender", n] for n in names}
    found = interleave(commands, arguments.calls, pause=PAUSE)
    of_engine = operations(bundle.path(bundle.manifest.engines["frame"].file), FRAMES)
    for name, measured in found.items():
        del measured["answer"]
        made = of_engine if name.startswith("engine") else 2 * size**3
        measured["gigaops_a_second"] = round(made / measured["p50_ms"] / 1e6, 1)
    best = {
        kind: max(
            measured["gigaops_a_second"]
            for name, measured in found.items()
            if name.startswith("product") and kind_of(name) == kind
        )
        for kind in kinds
    }
    for name, measured in found.items():
        if name.startswith("engine") and kind_of(name) in best:
            share = measured["gigaops_a_second"] / best[kind_of(name)]
            measured["share_of_product"] = round(share, 3)
    result: dict[str, Any] = {
        "what": "operations a second of matrix products, and of the image engine on 8 frames; "
        "share_of_product is against the fastest product of the same type",
        "bundle": bundle.manifest.name,
        "bundle_sha256": bundle.sha256,
        "size": size,
        "operations_of_the_engine": of_engine,
        "load_average_at_end": Path("/proc/loadavg").read_text().split()[:3],
        "machine": describe(("torch", "onnxruntime", "openvino", "trml-rt")),
        "best_product": best,
        "contenders": found,
    }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
