"""Compile a bundle's graphs for this device and install them under `engines/<key>`.

On ONNX Runtime that means: the graphs after its own optimiser, written once, with the
weights stored in the wanted precision. The engines are compared with the golden files
before they are installed; if they miss a gate, nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.calibration import Calibrated, Form, open_calibration, source_of
from trml_rt.bundle.engine_folder import (
    ENGINE_SCHEMA,
    EngineManifest,
    built_for_onnxruntime,
    key_of,
    to_json,
)
from trml_rt.bundle.files import describe_files
from trml_rt.bundle.folder import Bundle
from trml_rt.dispatch import Dispatcher
from trml_rt.engines.install import BuildReport, foresee, install
from trml_rt.proof.cases import Case
from trml_rt.proof.fp32 import verify_new

__all__ = ["BuildReport", "Precision", "build", "plan"]

Precision = Literal["fp32", "fp16", "int8"]

_Sources = dict[str, tuple[Path, Form | None]]


def build(
    bundle: Bundle,
    precision: Precision,
    *,
    store_weights: Callable[[Path], None] | None = None,
    calibration: Path | None = None,
    cases: Sequence[Case] | None = (),
    force: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> BuildReport:
    """Build the ONNX Runtime engines of `precision` for this device.

    Args:
        bundle: the bundle to build for; its `engines/` folder is written.
        precision: `fp32`; `fp16`: stored in FP16, computed in FP32; `int8`: encoders from the
            INT8 graphs of a calibration, the small graphs as in fp16.
        store_weights: rewrites a graph file so that its FP32 weights are stored in FP16;
            needed for fp16 and int8 (`trml_calibration.fp16_stored.store_fp16`).
        calibration: for int8 the folder of the calibration; None takes the bundle's own.
        cases: inputs to verify the engines on; an empty list takes those of the golden files,
            None leaves the verification out, and every answer says that.
        force: build even if fitting engines are there.
        progress: called with a line for each step.

    Raises:
        VerificationFailed: the engines miss a gate; nothing is installed.
        EnvironmentUnfit: the bundle's folder cannot be written, or the disk is full.
        ArtefactMismatch: the bundle is damaged.
    """
    calibrated = open_calibration(bundle, calibration) if precision == "int8" else None
    built_for = _built_for(bundle, precision, calibrated)
    return install(
        bundle,
        key_of(built_for, precision),
        built_for,
        lambda staging: _compile(
            bundle,
            precision,
            built_for,
            _sources(bundle, calibrated),
            staging,
            store_weights,
            cases,
            progress,
        ),
        verified=cases is not None,
        force=force,
        progress=progress,
    )


def plan(
    bundle: Bundle, precision: Precision, calibration: Path | None = None, *, verified: bool = True
) -> dict[str, Any]:
    """Say what `build` would do, and write nothing.

    Args:
        bundle: as in `build`.
        precision: as in `build`.
        calibration: as in `build`.
        verified: whether `build` would verify.

    Returns:
        As `foresee` does.

    Raises:
        ArtefactMismatch: the bundle is damaged, or int8 lacks a calibration.
    """
    calibrated = open_calibration(bundle, calibration) if precision == "int8" else None
    built_for = _built_for(bundle, precision, calibrated)
    paths = {name: path for name, (path, _) in _sources(bundle, calibrated).items()}
    return foresee(bundle, key_of(built_for, precision), built_for, paths, verified=verified)


def _built_for(
    bundle: Bundle, precision: Precision, calibrated: Calibrated | None
) -> dict[str, str]:
    """Return what engines made now would be built for."""
    return built_for_onnxruntime(
        bundle, precision, None if calibrated is None else calibrated.sha256
    )


def _sources(bundle: Bundle, calibrated: Calibrated | None) -> _Sources:
    """Return the graph that each engine is compiled from, and its entry if it is an INT8 one."""
    return {n: source_of(bundle, n, calibrated, "cpu") for n in bundle.manifest.engines}


def _compile(
    bundle: Bundle,
    precision: Precision,
    built_for: dict[str, str],
    sources: _Sources,
    staging: Path,
    store_weights: Callable[[Path], None] | None,
    cases: Sequence[Case] | None,
    progress: Callable[[str], None],
) -> EngineManifest:
    backend = OnnxRuntimeBackend()
    for number, (name, (source, _)) in enumerate(sources.items(), 1):
        progress(f"[{number}/{len(sources)}] {name}: optimising")
        backend.optimise(source, staging / f"{name}.onnx")
        if store_weights is not None:
            progress(f"[{number}/{len(sources)}] {name}: storing in {precision}")
            store_weights(staging / f"{name}.onnx")
    files = describe_files(staging, [f"{name}.onnx" for name in bundle.manifest.engines])
    verified: dict[str, float] = {}
    if cases is not None:
        built = OnnxRuntimeBackend(optimised=True)
        with Dispatcher(bundle.manifest, built, lambda name: staging / f"{name}.onnx") as engines:
            verified = verify_new(bundle, engines, precision, cases, staging, progress)
    manifest = EngineManifest.model_validate(
        {
            "schema": ENGINE_SCHEMA,
            "backend": backend.name,
            "precision": precision,
            "weights": precision,
            "compute": "int8" if precision == "int8" else "fp32",
            "built_for": built_for,
            "files": {
                name: {
                    "file": f"{name}.onnx",
                    **files[f"{name}.onnx"].model_dump(),
                    "layers": {} if form is None else form.layers,
                }
                for name, (_, form) in sources.items()
            },
            "verified": verified,
        }
    )
    write_bytes(staging / "manifest.json", to_json(manifest))
    return manifest
