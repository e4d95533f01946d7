"""Compile a bundle's graphs for this device and install them under `engines/<key>`.

On ONNX Runtime that means: the graphs after its own optimiser, written once, with the
weights stored in the wanted precision. The engines are compared with the golden files
before they are installed; if they miss a gate, nothing is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from trml_rt.atomic import write_bytes
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle import Bundle
from trml_rt.compiled import (
    ENGINE_SCHEMA,
    EngineManifest,
    built_for_onnxruntime,
    key_of,
    to_json,
)
from trml_rt.dispatch import Dispatcher
from trml_rt.files import describe_files
from trml_rt.golden import GATES, check_golden
from trml_rt.install import BuildReport, install

__all__ = ["BuildReport", "build"]


def build(
    bundle: Bundle,
    precision: Literal["fp32", "fp16"],
    *,
    store_weights: Callable[[Path], None] | None = None,
    force: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> BuildReport:
    """Build the ONNX Runtime engines of `precision` for this device.

    Args:
        bundle: the bundle to build for; its `engines/` folder is written.
        precision: `fp32`, or `fp16`: stored in FP16, computed in FP32.
        store_weights: rewrites a graph file so that its weights are stored in `precision`;
            needed for fp16 (`trml_calibration.fp16.store_fp16`).
        force: build even if fitting engines are there.
        progress: called with a line for each step.

    Raises:
        VerificationFailed: the engines miss a gate; nothing is installed.
        EnvironmentUnfit: the bundle's folder cannot be written, or the disk is full.
        ArtefactMismatch: the bundle is damaged.
    """
    built_for = built_for_onnxruntime(bundle, precision)
    return install(
        bundle,
        key_of(built_for, precision),
        built_for,
        lambda staging: _compile(bundle, precision, built_for, staging, store_weights, progress),
        force=force,
        progress=progress,
    )


def _compile(
    bundle: Bundle,
    precision: Literal["fp32", "fp16"],
    built_for: dict[str, str],
    staging: Path,
    store_weights: Callable[[Path], None] | None,
    progress: Callable[[str], None],
) -> EngineManifest:
    backend = OnnxRuntimeBackend()
    for number, (name, engine) in enumerate(bundle.manifest.engines.items(), 1):
        progress(f"[{number}/{len(bundle.manifest.engines)}] {name}: optimising")
        backend.optimise(bundle.path(engine.file), staging / f"{name}.onnx")
        if store_weights is not None:
            progress(f"[{number}/{len(bundle.manifest.engines)}] {name}: storing in {precision}")
            store_weights(staging / f"{name}.onnx")
    files = describe_files(staging, [f"{name}.onnx" for name in bundle.manifest.engines])
    progress("comparing with the golden files")
    built = OnnxRuntimeBackend(optimised=True)
    with Dispatcher(bundle.manifest, built, lambda name: staging / f"{name}.onnx") as engines:
        verified = check_golden(bundle, engines, GATES[precision])
    manifest = EngineManifest.model_validate(
        {
            "schema": ENGINE_SCHEMA,
            "backend": backend.name,
            "precision": precision,
            "weights": precision,
            "compute": "fp32",
            "built_for": built_for,
            "files": {
                name: {"file": f"{name}.onnx", **files[f"{name}.onnx"].model_dump()}
                for name in bundle.manifest.engines
            },
            "verified": verified,
        }
    )
    write_bytes(staging / "manifest.json", to_json(manifest))
    return manifest
