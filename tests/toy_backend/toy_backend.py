"""A back end from outside trml_rt: it "compiles" a graph by writing it behind a line of its own.

docs/recipes/backend.md explains it. The folder beside this file is what `pip install` leaves.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from trml_rt.backends import BackendRow, CompileReport, Recipe
from trml_rt.backends.check import Check
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend

HEAD = b"toy 1.0\n"

ROW = BackendRow(
    name="toy",
    module="toy_backend",
    suffix=".toy",
    recipes={"fp32": Recipe("fp32/1", "fp32")},
    options=("optimization_level",),
)


class ToyBackend:
    name = "toy"

    def __init__(self, threads):
        self._inner = OnnxRuntimeBackend(threads)

    def load(self, engine, path):
        with tempfile.TemporaryDirectory() as folder:
            graph = Path(folder) / "graph.onnx"
            graph.write_bytes(path.read_bytes().removeprefix(HEAD))
            return self._inner.load(engine, graph)


def open_backend(name, threads, callers, *, compiled):
    return ToyBackend(threads) if compiled else OnnxRuntimeBackend(threads)


def built_for(name, options):
    level = options.optimization_level or 0
    return {"builder options": f"level={level}", "back end version": "1.0", "toy box": "red"}


def key_prefix(built_for):
    return f"{built_for['toy box']}_toy{built_for['back end version']}"


def compile_graph(name, job):
    job.target.write_bytes(HEAD + job.graph.read_bytes())
    return CompileReport(products={job.computes: 1}, log=[f"== {job.engine}: toyed with"])


def checks(name, required):
    return [Check("back end toy", True, "1.0, in the toy box", required)]


def device(name):
    return {"toy": "red"}
