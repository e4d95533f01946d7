"""What a TensorRT plan is built for: the fields of its cache key, and its shape profile."""

from __future__ import annotations

import json
import platform
from typing import Any

from trml_rt.backends.tensorrt.cuda import Gpu, current_gpu
from trml_rt.backends.tensorrt.library import import_tensorrt
from trml_rt.bundle.calibration import calibration_hash
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import Axes, Axis, EngineSpec
from trml_rt.errors import UsageError

__all__ = ["DEFAULT_OPTIONS", "RECIPES", "built_for_tensorrt", "profile_of"]

RECIPES = {"fp32": "fp32/1", "fp16": "fp16-computed/2", "int8": "int8-qdq-fp16/1"}
"""Name and version of what `trml-rt build` does for a precision on TensorRT."""

DEFAULT_OPTIONS = "workspace_mib=1024 optimization_level=default"

Profile = dict[str, tuple[list[int], list[int], list[int]]]


def profile_of(engine: EngineSpec, axes: Axes) -> Profile:
    """Return the smallest, best and largest shape of each input of an engine."""
    known: dict[str, Axis] = {"batch": axes.batch, "tokens": axes.tokens, "frames": axes.frames}

    def sizes(shape: list[Any], which: str) -> list[int]:
        return [getattr(known[d], which) if isinstance(d, str) else d for d in shape]

    return {
        tensor.name: (
            sizes(tensor.shape, "min"),
            sizes(tensor.shape, "opt"),
            sizes(tensor.shape, "max"),
        )
        for tensor in engine.inputs
    }


def built_for_tensorrt(
    bundle: Bundle,
    precision: str,
    backend: str,
    *,
    target: str | None = None,
    options: str = DEFAULT_OPTIONS,
    calibration: str | None = None,
) -> dict[str, str]:
    """Return what plans of `precision` made here and now would be built for.

    A plan of full TensorRT belongs to one GPU model, TensorRT and CUDA version. A plan of
    TensorRT for RTX belongs to a compute capability: its kernels are made when it loads.

    Args:
        bundle: the bundle.
        precision: fp32, fp16 or int8.
        backend: "tensorrt" or "tensorrt-rtx".
        target: a compute capability instead of that of the GPU here, such as "8.9"; RTX only.
        options: the settings of the compiler, as one string.
        calibration: for int8 the hash of the calibration; None takes that of the bundle's own.

    Raises:
        BackendUnavailable: TensorRT or cuda-bindings is not installed.
        EnvironmentUnfit: there is no GPU, or TensorRT's version is not supported.
    """
    if precision not in RECIPES:
        raise UsageError(f"no precision {precision!r} on TensorRT; choose {', '.join(RECIPES)}")
    version = import_tensorrt(backend).__version__
    manifest = bundle.manifest
    return {
        "schema": "1",
        **{
            f"source of {name}": manifest.files[engine.file].sha256
            for name, engine in manifest.engines.items()
        },
        "precision recipe": RECIPES[precision],
        **_inputs_seen(bundle, precision, calibration),
        "builder options": options,
        "shape profiles": json.dumps(manifest.axes.model_dump(), sort_keys=True),
        "back end": backend,
        "back end version": version,
        **_device(backend, target),
        "system": f"{platform.system().lower()} {platform.machine()}",
    }


def _inputs_seen(bundle: Bundle, precision: str, calibration: str | None) -> dict[str, str]:
    """Return the hashes of the data that FP16 and INT8 graphs depend on.

    The golden inputs show which nodes come near FP16's limit, and the calibration's record holds
    the hashes of the INT8 graphs.
    """
    if precision == "fp32":
        return {}
    manifest = bundle.manifest
    golden = {f"golden of {s.name}": manifest.files[s.golden].sha256 for s in manifest.engine_sets}
    if precision == "int8" and calibration is None:
        calibration = calibration_hash(bundle.folder / "calibration")
    return golden if calibration is None else golden | {"calibration": calibration}


def _device(backend: str, target: str | None) -> dict[str, str]:
    if target is not None:
        return {"compute capability": target}
    gpu: Gpu = current_gpu()
    if backend == "tensorrt-rtx":
        return {"compute capability": gpu.compute_capability}
    return {
        "compute capability": gpu.compute_capability,
        "GPU": gpu.name,
        "multiprocessors": str(gpu.multiprocessors),
        "CUDA": gpu.cuda_driver,
    }
