"""Graphs of each precision, made by `trml_calibration`, for tests that compile them.

The INT8 ranges come from the golden inputs, which `trml-rt calibrate` would refuse as too few: a
compiler looks at where Q/DQ stand and not at their scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trml_rt.backends import Tensors
from trml_rt.bundle.calibration import encoders
from trml_rt.bundle.folder import Bundle
from trml_rt.proof.golden import golden_inputs

PRECISIONS = ("fp32", "fp16", "int8")


def graph_in(precision: str, bundle: Bundle, engine: str, folder: Path) -> tuple[Path, str]:
    """Return the graph of an engine in a precision, and what its products compute in.

    Only encoders have an INT8 form, the rest of which is FP16; a small graph asked for INT8
    comes as FP16.
    """
    from trml_calibration.fp16_computed import to_fp16
    from trml_calibration.plain import to_plain

    source = folder / f"{engine}_plain.onnx"
    to_plain(bundle.path(bundle.manifest.engines[engine].file), source)
    if precision == "fp32":
        return source, "fp32"
    target = folder / f"{engine}_{precision}.onnx"
    feeds = golden_inputs(bundle, engine)
    if precision == "int8" and engine in encoders(bundle.manifest):
        _quantise(source, target, feeds)
        to_fp16(target, target, feeds=feeds)
        return target, "int8"
    to_fp16(source, target, feeds=feeds)
    return target, "fp16"


def _quantise(source: Path, target: Path, feeds: Sequence[Tensors]) -> None:
    import onnx

    from trml_calibration.graph import load_basic
    from trml_calibration.int8 import quantise, tensors_to_watch
    from trml_calibration.ranges import collect_ranges

    graph = load_basic(source)
    ranges = collect_ranges(graph, tensors_to_watch(graph), feeds, "max")
    onnx.save(quantise(graph, ranges, "portable"), target)
