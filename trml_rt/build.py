"""Compile a bundle's graphs for this device and install them under `engines/<key>`.

On ONNX Runtime that means: the graphs after its own optimiser, written once, with the
weights stored in the wanted precision. The engines are compared with the golden files
before they are installed; if they miss a gate, nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trml_rt.atomic import write_bytes
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle import Bundle
from trml_rt.calibration import Calibrated, open_calibration
from trml_rt.compare import Case
from trml_rt.compiled import (
    ENGINE_SCHEMA,
    VERIFICATION,
    EngineManifest,
    built_for_onnxruntime,
    key_of,
    to_json,
)
from trml_rt.dispatch import Dispatcher
from trml_rt.errors import ArtefactMismatch
from trml_rt.files import describe_files
from trml_rt.golden import GATES, check_golden
from trml_rt.install import BuildReport, fitting, install
from trml_rt.verify import golden_cases, refuse_failed, verify
from trml_rt.verify import to_json as verification_bytes

__all__ = ["BuildReport", "Precision", "build", "plan"]

Precision = Literal["fp32", "fp16", "int8"]


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
            needed for fp16 and int8 (`trml_calibration.fp16.store_fp16`).
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
    built_for = built_for_onnxruntime(
        bundle, precision, None if calibrated is None else calibrated.sha256
    )
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
        force=force,
        progress=progress,
    )


def plan(bundle: Bundle, precision: Precision, calibration: Path | None = None) -> dict[str, Any]:
    """Say what `build` would do, and write nothing.

    Returns:
        The folder, whether fitting engines are there, why not, and the fields of the key.

    Raises:
        ArtefactMismatch: the bundle is damaged, or int8 lacks a calibration.
    """
    calibrated = open_calibration(bundle, calibration) if precision == "int8" else None
    built_for = built_for_onnxruntime(
        bundle, precision, None if calibrated is None else calibrated.sha256
    )
    target = bundle.folder / "engines" / key_of(built_for, precision)
    reasons = []
    try:
        fitting(bundle, target, built_for)
    except ArtefactMismatch as error:
        reasons.append(str(error))
    return {
        "engines": str(target),
        "would_build": bool(reasons),
        "why": reasons,
        "sources": {n: str(s.path) for n, s in _sources(bundle, calibrated).items()},
        "built_for": built_for,
    }


@dataclass(frozen=True)
class _Source:
    """The graph that an engine is compiled from, and the type of each of its layers."""

    path: Path
    layers: dict[str, Literal["int8", "fp32"]]


def _sources(bundle: Bundle, calibrated: Calibrated | None) -> dict[str, _Source]:
    """Return the source of each engine: the INT8 graph where the calibration has one."""
    sources = {}
    for name, engine in bundle.manifest.engines.items():
        form = None if calibrated is None else calibrated.form(name, "cpu")
        if calibrated is not None and form is not None:
            sources[name] = _Source(calibrated.path(form), form.layers)
        else:
            sources[name] = _Source(bundle.path(engine.file), {})
    return sources


def _compile(
    bundle: Bundle,
    precision: Precision,
    built_for: dict[str, str],
    sources: dict[str, _Source],
    staging: Path,
    store_weights: Callable[[Path], None] | None,
    cases: Sequence[Case] | None,
    progress: Callable[[str], None],
) -> EngineManifest:
    backend = OnnxRuntimeBackend()
    for number, (name, source) in enumerate(sources.items(), 1):
        progress(f"[{number}/{len(sources)}] {name}: optimising")
        backend.optimise(source.path, staging / f"{name}.onnx")
        if store_weights is not None:
            progress(f"[{number}/{len(sources)}] {name}: storing in {precision}")
            store_weights(staging / f"{name}.onnx")
    files = describe_files(staging, [f"{name}.onnx" for name in bundle.manifest.engines])
    verified: dict[str, float] = {}
    if cases is not None:
        progress("comparing with the golden files")
        built = OnnxRuntimeBackend(optimised=True)
        with Dispatcher(bundle.manifest, built, lambda name: staging / f"{name}.onnx") as engines:
            verified = check_golden(bundle, engines, GATES[precision])
            progress("verifying against FP32")
            record = verify(bundle, engines, precision, cases or golden_cases(bundle))
        refuse_failed(record, str(bundle.folder))
        for warning in record["warnings"]:
            progress(f"warning: {warning}")
        write_bytes(staging / VERIFICATION, verification_bytes(record))
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
                    "layers": source.layers,
                }
                for name, source in sources.items()
            },
            "verified": verified,
        }
    )
    write_bytes(staging / "manifest.json", to_json(manifest))
    return manifest
