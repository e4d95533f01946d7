"""Graphs of each precision, made by `trml_calibration`, for tests that compile them.

The INT8 ranges come from one made-up input, which `trml-rt calibrate` would refuse: a compiler
looks at where Q/DQ stand and not at their scales.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trml_rt.manifest import EngineSpec

PRECISIONS = ("fp32", "fp16", "int8")

_SIZES = {"batch": 2, "tokens": 7, "frames": 3}


def graph_in(precision: str, source: Path, folder: Path, spec: EngineSpec) -> tuple[Path, str]:
    """Return a graph like the one at `source`, and the precision that its products compute in.

    Only encoders have an INT8 form, the rest of which is FP16; a small graph asked for INT8
    comes as FP16.
    """
    if precision == "fp32":
        return source, "fp32"
    from trml_calibration.half import to_fp16

    target = folder / f"{source.stem}_{precision}.onnx"
    if precision == "int8" and not source.stem.startswith("fuse"):
        _quantise(source, target, spec)
        to_fp16(target, target)
        return target, "int8"
    to_fp16(source, target)
    return target, "fp16"


def _quantise(source: Path, target: Path, spec: EngineSpec) -> None:
    import onnx

    from trml_calibration.int8 import load_basic, quantise, tensors_to_watch
    from trml_calibration.ranges import collect_ranges

    graph = load_basic(source)
    rng = np.random.default_rng(0)
    feed = {tensor.name: _example(tensor, rng) for tensor in spec.inputs}
    ranges = collect_ranges(graph, tensors_to_watch(graph), [feed], "max")
    onnx.save(quantise(graph, ranges, "portable"), target)


def _example(tensor, rng):
    shape = [_SIZES.get(size, size) for size in tensor.shape]
    if tensor.dtype == "float32":
        return rng.normal(size=shape).astype(np.float32)
    return rng.integers(1, 9, shape).astype(tensor.dtype)
