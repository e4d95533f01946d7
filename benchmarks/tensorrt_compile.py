"""Compile a bundle's graphs with TensorRT for RTX on the CPU: time, size, peak memory, products.

    python benchmarks/tensorrt_compile.py --bundle DIR [--bundle DIR] --out FILE [--target 8.9]

No GPU is needed and none is measured: the figures say what compiling takes, which is what the
memory check before a build goes by. FP16 and INT8 graphs are those that the compile tests use.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

from tests.trml_rt.backends.tensorrt.graphs_by_precision import PRECISIONS, graph_in
from trml_rt.backends.tensorrt.child import compile_apart, memory_needed
from trml_rt.backends.tensorrt.compiler import MEBIBYTE, PlanRequest
from trml_rt.backends.tensorrt.plans import profile_of
from trml_rt.bundle.folder import Bundle, default_bundle


def measure(bundle: Bundle, engine: str, precision: str, target: str) -> dict[str, object]:
    """Compile one graph in a process of its own and return what it took."""
    spec = bundle.manifest.engines[engine]
    with tempfile.TemporaryDirectory() as folder:
        graph, computes = graph_in(precision, bundle, engine, Path(folder))
        request = PlanRequest(
            backend="tensorrt-rtx",
            graph=str(graph),
            plan=str(Path(folder) / "engine.plan"),
            precision=computes,
            profile=profile_of(spec, bundle.manifest.axes),
            targets=[target],
        )
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        plan = compile_apart(request)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "bundle": bundle.manifest.name,
            "engine": engine,
            "asked": precision,
            "graph_mib": round(graph.stat().st_size / MEBIBYTE, 1),
            "plan_mib": round(plan.bytes / MEBIBYTE, 1),
            "cpu_seconds": round(after.ru_utime - before.ru_utime, 1),  # whatever else runs
            "peak_mib": plan.peak_mib,
            "estimated_mib": memory_needed(request) // MEBIBYTE,
            "products": plan.network,
        }


def main() -> None:
    """Compile engines of every bundle in every precision; print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, action="append", help="default: the shipped one")
    parser.add_argument("--engine", action="append", help="default: the encoders, text and frame")
    parser.add_argument("--target", default="8.9", help="compute capability")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # the quantiser's advice

    compiled = []
    for folder in arguments.bundle or [default_bundle()]:
        bundle = Bundle(folder)
        for engine in arguments.engine or ["text", "frame"]:
            for precision in PRECISIONS:
                compiled.append(measure(bundle, engine, precision, arguments.target))
                print(compiled[-1], file=sys.stderr)
    result = {
        "what": "what compiling with TensorRT for RTX takes, on a CPU without a GPU",
        "target": arguments.target,
        "compiled": compiled,
        "machine": describe(("tensorrt_rtx", "onnx", "onnxruntime")),
    }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
