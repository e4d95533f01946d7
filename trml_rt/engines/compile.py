"""Compile every graph of a bundle by the recipe that a back end has for a precision.

This is the one room that asks `trml_calibration` for graphs of another form.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trml_rt.backends import (
    BackendRow,
    CompileJob,
    CompileOptions,
    CompileReport,
    Recipe,
    Tensors,
)
from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.calibration import Form
from trml_rt.bundle.engine_folder import ENGINE_SCHEMA, EngineManifest, Precision
from trml_rt.bundle.files import describe_files
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import lacks_package

__all__ = [
    "BuildJob",
    "CompiledEngine",
    "GraphTools",
    "compile_all",
    "compile_widened",
    "describe_engines",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildJob:
    """What is settled before the first graph is compiled.

    Attributes:
        bundle: the bundle that gets the engines.
        row: the back end.
        precision: of the engines.
        options: settings of the compiler.
        built_for: the fields of the cache key.
        key: the name of the engine folder.
        sources: for each engine its graph, and the calibration's entry if it is an INT8 one.
    """

    bundle: Bundle
    row: BackendRow
    precision: Precision
    options: CompileOptions
    built_for: dict[str, str]
    key: str
    sources: dict[str, tuple[Path, Form | None]]

    @property
    def recipe(self) -> Recipe:
        """How the back end makes this precision."""
        return self.row.recipe(self.precision)

    def file(self, engine: str) -> str:
        """Return the name of an engine's compiled file."""
        return f"{engine}{self.row.suffix}"


class CompiledEngine(NamedTuple):
    """What the compiler said of an engine.

    `islands` are the nodes that stay FP32 in an FP16 graph. `widened` says why the engine computes
    in FP32 instead of half precision; empty where it does not.
    """

    report: CompileReport
    islands: Sequence[str] = ()
    widened: str = ""


class GraphTools(NamedTuple):
    """What `trml_calibration` does to a graph file.

    `convert` writes a graph with FP16 products and returns the nodes that stay in FP32. `store`
    rewrites a graph so that its FP32 weights are stored in FP16. `plain` writes a graph as a
    compiler for GPUs wants it.
    """

    convert: Callable[..., Sequence[str]]
    store: Callable[[Path], None]
    plain: Callable[[Path, Path], None]


def compile_all(
    job: BuildJob, staging: Path, golden_inputs: Callable[[str], Sequence[Tensors]]
) -> dict[str, CompiledEngine]:
    """Compile every graph into `staging`, and write what the compiler said to `build.log`.

    Args:
        job: what to compile.
        staging: an empty folder.
        golden_inputs: gives inputs of an engine, which show where FP16 would overflow.

    Raises:
        EnvironmentUnfit: a package is lacking, or the compiler refuses.
        VerificationFailed: a compiled graph does not compute in its precision.
    """
    tools = _graph_tools(job.recipe)
    compiled: dict[str, CompiledEngine] = {}
    with tempfile.TemporaryDirectory(dir=staging) as scratch:
        for number, name in enumerate(job.sources, 1):
            graph, entry = job.sources[name]
            where = f"[{number}/{len(job.sources)}] {name}"
            half = job.recipe.half or job.recipe.convert_to_fp16
            computes: Precision = "int8" if entry is not None else "fp16" if half else "fp32"
            islands: Sequence[str] = ()
            if tools is not None and job.recipe.plain:
                plain = Path(scratch) / f"{name}.plain.onnx"
                tools.plain(graph, plain)
                graph = plain
            if tools is not None and job.recipe.convert_to_fp16:
                converted = Path(scratch) / f"{name}.onnx"
                islands = tools.convert(graph, converted, feeds=golden_inputs(name))
                graph = converted
            _log.info("%s: compiling, computes in %s", where, computes)
            report = _compile(job, name, graph, staging / job.file(name), computes)
            if tools is not None and job.recipe.store_in_fp16:
                _log.info("%s: storing weights in FP16", where)
                tools.store(staging / job.file(name))
            compiled[name] = CompiledEngine(report, islands)
    if lines := [line for engine in compiled.values() for line in engine.report.log]:
        write_bytes(staging / "build.log", ("\n".join(lines) + "\n").encode())
    return compiled


def compile_widened(job: BuildJob, staging: Path, name: str, problem: str) -> CompiledEngine:
    """Compile an engine again, in FP32, because of a `problem` that it has in half precision."""
    _log.warning("%s: compiling again, computes in FP32, since %s", name, problem)
    graph, _ = job.sources[name]
    return CompiledEngine(
        _compile(job, name, graph, staging / job.file(name), "fp32"), widened=problem
    )


def describe_engines(
    job: BuildJob, staging: Path, compiled: dict[str, CompiledEngine]
) -> EngineManifest:
    """Return the manifest of the engines in `staging`."""
    files = {name: job.file(name) for name in job.sources}
    entries = describe_files(staging, list(files.values()))
    reports = {name: engine.report for name, engine in compiled.items()}
    return EngineManifest.model_validate(
        {
            "schema": ENGINE_SCHEMA,
            "backend": job.row.name,
            "precision": job.precision,
            # A compiler that is told to compute in half precision leaves the weights as they are.
            "weights": "fp32" if job.recipe.half else job.precision,
            "compute": job.recipe.compute,
            "built_for": job.built_for,
            "files": {
                name: {
                    "file": files[name],
                    **entries[files[name]].model_dump(),
                    # Compilers of the portable form compute in less where this says FP32.
                    "layers": entry.layers if entry and job.recipe.int8_form == "cpu" else {},
                }
                for name, (_, entry) in job.sources.items()
            },
            "products": {name: r.products for name, r in reports.items() if r.products},
            "plan_layers": {name: r.layers for name, r in reports.items() if r.layers},
            "islands": {
                n: list(engine.islands) for n, engine in compiled.items() if engine.islands
            },
            "widened": {n: engine.widened for n, engine in compiled.items() if engine.widened},
        }
    )


def _compile(
    job: BuildJob, name: str, graph: Path, target: Path, computes: Precision
) -> CompileReport:
    return job.row.load().compile_graph(
        job.row.name,
        CompileJob(
            engine=name,
            spec=job.bundle.manifest.engines[name],
            axes=job.bundle.manifest.axes,
            graph=graph,
            target=target,
            computes=computes,
            options=job.options,
            keep=target.parents[1],  # beside the staging folder, which is to replace another
        ),
    )


def _graph_tools(recipe: Recipe) -> GraphTools | None:
    """Return the tools, or None if the recipe needs none of them.

    Raises:
        EnvironmentUnfit: a package is lacking.
    """
    if not (recipe.convert_to_fp16 or recipe.store_in_fp16 or recipe.plain):
        return None
    try:
        from trml_calibration.fp16_computed import to_fp16
        from trml_calibration.fp16_stored import store_fp16
        from trml_calibration.plain import to_plain
    except ImportError as error:
        raise lacks_package("this build", error, "build") from None
    return GraphTools(to_fp16, store_fp16, to_plain)
