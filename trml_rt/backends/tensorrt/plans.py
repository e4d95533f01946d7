"""Compile a bundle's graphs into TensorRT plans and install them under `engines/<key>`.

For the GPU that is here the plans are compared with the golden files before they are installed.
TensorRT for RTX also compiles for a GPU that is elsewhere; such plans carry no verification, and
answers made with them say so.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from trml_rt.backends.tensorrt.backend import TensorRtBackend
from trml_rt.backends.tensorrt.child import compile_apart
from trml_rt.backends.tensorrt.compiler import PlanReport, PlanRequest
from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.calibration import Calibrated, open_calibration, source_of
from trml_rt.bundle.engine_folder import ENGINE_SCHEMA, EngineManifest, key_of, to_json
from trml_rt.bundle.files import describe_files
from trml_rt.bundle.folder import Bundle
from trml_rt.dispatch import Dispatcher
from trml_rt.engines.install import BuildReport, foresee, install
from trml_rt.engines.key import built_for_tensorrt, profile_of
from trml_rt.errors import UsageError
from trml_rt.proof.cases import Case
from trml_rt.proof.fp32 import verify_new

__all__ = ["Graph", "Graphs", "Settings", "build_tensorrt", "plan_tensorrt"]


class Graph(NamedTuple):
    """An engine's graph in the wanted precision.

    `computes` is the precision of its products, for small graphs may keep another one, and
    `islands` are the nodes that stay FP32 where the rest computes in FP16.
    """

    path: Path
    computes: str
    islands: Sequence[str] = ()


Graphs = Callable[[str, Path], Graph]
"""Gives the graph of an engine, written into the folder if need be."""


@dataclass(frozen=True)
class Settings:
    """How to compile.

    Attributes:
        backend: "tensorrt" or "tensorrt-rtx".
        target: a compute capability such as "8.9", for a GPU that is not here; RTX only.
        workspace_mib: the most scratch memory that a kernel may use.
        optimization_level: 0 to 5; None leaves TensorRT's own.
    """

    backend: str = "tensorrt"
    target: str | None = None
    workspace_mib: int = 1024
    optimization_level: int | None = None

    def __str__(self) -> str:
        level = "default" if self.optimization_level is None else self.optimization_level
        return f"workspace_mib={self.workspace_mib} optimization_level={level}"


def build_tensorrt(
    bundle: Bundle,
    precision: str,
    settings: Settings,
    *,
    graphs: Graphs | None = None,
    calibrated: Calibrated | None = None,
    cases: Sequence[Case] | None = (),
    force: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> BuildReport:
    """Build the plans of `precision` for the GPU that is here, or for `settings.target`.

    Args:
        bundle: the bundle to build for; its `engines/` folder is written.
        precision: fp32, fp16 or int8: what the graphs compute in.
        settings: how to compile.
        graphs: gives the graphs of `precision`; None takes the bundle's own, for fp32.
        calibrated: the calibration that int8 graphs are of; None takes the bundle's own.
        cases: inputs to verify the engines on; an empty list takes those of the golden files,
            None leaves the verification out, and every answer says that. For a GPU that is
            elsewhere nothing can be verified.
        force: build even if fitting engines are there.
        progress: called with a line for each step.

    Raises:
        VerificationFailed: a plan does not compute in `precision`, or the engines miss a gate.
        EnvironmentUnfit: TensorRT, the GPU or memory is lacking, or TensorRT refuses a graph.
        UsageError: the settings contradict each other.
    """
    if graphs is None and precision != "fp32":
        raise UsageError(f"{precision} plans need graphs that compute in {precision}")
    if cases and settings.target is not None:
        raise UsageError("plans for a GPU that is elsewhere cannot be verified; give no cases")
    built_for = _built_for(bundle, precision, settings, calibrated)

    def own(engine: str, _: Path) -> Graph:
        return Graph(bundle.path(bundle.manifest.engines[engine].file), "fp32")

    def make(staging: Path) -> EngineManifest:
        reports, islands = _compile(bundle, settings, built_for, graphs or own, staging, progress)
        verified: dict[str, float] = {}
        if settings.target is not None:
            progress(f"not compared with the golden files: sm {settings.target} is not here")
        elif cases is not None:
            backend = TensorRtBackend(settings.backend)
            with Dispatcher(
                bundle.manifest, backend, lambda name: staging / f"{name}.plan"
            ) as engines:
                verified = verify_new(bundle, engines, precision, cases, staging, progress)
        files = describe_files(staging, [f"{name}.plan" for name in reports])
        manifest = EngineManifest.model_validate(
            {
                "schema": ENGINE_SCHEMA,
                "backend": settings.backend,
                "precision": precision,
                "weights": precision,
                "compute": precision,
                "built_for": built_for,
                "files": {
                    name: {"file": f"{name}.plan", **files[f"{name}.plan"].model_dump()}
                    for name in reports
                },
                "verified": verified,
                "products": {name: report.network for name, report in reports.items()},
                "plan_layers": {name: report.layers for name, report in reports.items()},
                "islands": islands,
            }
        )
        write_bytes(staging / "build.log", _log(reports))
        write_bytes(staging / "manifest.json", to_json(manifest))
        return manifest

    return install(
        bundle,
        key_of(built_for, precision),
        built_for,
        make,
        verified=cases is not None and settings.target is None,
        force=force,
        progress=progress,
    )


def plan_tensorrt(
    bundle: Bundle,
    precision: str,
    settings: Settings,
    calibration: Path | None = None,
    *,
    verified: bool = True,
) -> dict[str, Any]:
    """Say what `build_tensorrt` would do, and write nothing.

    Args:
        bundle: as in `build_tensorrt`.
        precision: as in `build_tensorrt`.
        settings: as in `build_tensorrt`.
        calibration: for int8 the folder of the calibration; None takes the bundle's own.
        verified: whether `build_tensorrt` would verify.

    Returns:
        As `foresee` does.

    Raises:
        ArtefactMismatch: the bundle is damaged, or int8 lacks a calibration.
        EnvironmentUnfit: TensorRT or the GPU is lacking.
        UsageError: the settings contradict each other.
    """
    calibrated = open_calibration(bundle, calibration) if precision == "int8" else None
    built_for = _built_for(bundle, precision, settings, calibrated)
    sources = {n: source_of(bundle, n, calibrated, "portable")[0] for n in bundle.manifest.engines}
    return foresee(
        bundle,
        key_of(built_for, precision),
        built_for,
        sources,
        verified=verified and settings.target is None,
    )


def _built_for(
    bundle: Bundle, precision: str, settings: Settings, calibrated: Calibrated | None
) -> dict[str, str]:
    """Return what plans made now would be built for."""
    if settings.target is not None and settings.backend != "tensorrt-rtx":
        raise UsageError("full TensorRT compiles on the device only; leave --target out")
    return built_for_tensorrt(
        bundle,
        precision,
        settings.backend,
        target=settings.target,
        options=str(settings),
        calibration=None if calibrated is None else calibrated.sha256,
    )


def _compile(
    bundle: Bundle,
    settings: Settings,
    built_for: dict[str, str],
    graphs: Graphs,
    staging: Path,
    progress: Callable[[str], None],
) -> tuple[dict[str, PlanReport], dict[str, list[str]]]:
    """Compile every graph, each in a process of its own; return what each reported, and islands."""
    reports, islands = {}, {}
    cache = None
    if settings.backend == "tensorrt":  # the cache belongs to one GPU, TensorRT and CUDA
        fields = ("back end version", "GPU", "multiprocessors", "CUDA")
        owner = json.dumps([built_for[name] for name in fields])
        digest = hashlib.sha256(owner.encode()).hexdigest()[:16]
        cache = str(bundle.folder / "engines" / f".timing-{digest}")
    with tempfile.TemporaryDirectory(dir=staging) as folder:
        for number, (name, engine) in enumerate(bundle.manifest.engines.items(), 1):
            head = f"[{number}/{len(bundle.manifest.engines)}] {name}"
            graph = graphs(name, Path(folder))
            if graph.islands:
                islands[name] = list(graph.islands)
            progress(f"{head}: compiling in {graph.computes}")

            def step(phase: str, done: int, of: int, head: str = head) -> None:
                progress(f"{head}: {phase.lower()}, {done} of {of}")

            reports[name] = compile_apart(
                PlanRequest(
                    backend=settings.backend,
                    graph=str(graph.path),
                    plan=str(staging / f"{name}.plan"),
                    precision=graph.computes,
                    profile=profile_of(engine, bundle.manifest.axes),
                    workspace_mib=settings.workspace_mib,
                    optimization_level=settings.optimization_level,
                    timing_cache=cache,
                    targets=[] if settings.target is None else [settings.target],
                ),
                step,
            )
    return reports, islands


def _log(reports: dict[str, PlanReport]) -> bytes:
    """Return what the compiler said of each engine, as a text for people."""
    lines = []
    for name, report in reports.items():
        lines.append(
            f"== {name}: {report.bytes} bytes in {report.seconds} s, {report.peak_mib} MiB at the "
            f"peak; products as parsed: {report.network}; layers as built: {report.layers}"
        )
        lines += report.log
    return ("\n".join(lines) + "\n").encode()
