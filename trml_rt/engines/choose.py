"""Choose back end and engines for a bundle on this device, and keep to what the caller named."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from trml_rt.backends import Backend
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.backends.tensorrt.library import MODULES, import_tensorrt
from trml_rt.bundle.engine_folder import Compiled, engine_folders, find_compiled, open_compiled
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit

__all__ = ["Choice", "choose"]

# FP16 is what a GPU is for; INT8 must show on the device that it is faster, so it is named.
_AUTO = ("fp16", "fp32")
_NAMED = (*_AUTO, "int8")


@dataclass(frozen=True)
class Choice:
    """A back end, the engines that it loads, and what is known of them.

    Attributes:
        backend: loads the engines.
        engines: their name for answers: "portable", or that of the engine folder.
        locate: gives the checked path of an engine's graph.
        verified: the engine sets that were compared and passed, each as `set/prediction`.
    """

    backend: Backend
    engines: str
    locate: Callable[[str], Path]
    verified: Collection[str]


def choose(bundle: Bundle, backend: str, precision: str | None, threads: int | None) -> Choice:
    """Return what serves `bundle` here.

    `auto` takes TensorRT engines that fit this device and are verified, FP16 before FP32, else
    ONNX Runtime. A back end or a precision that is named is never replaced.

    Raises:
        ArtefactMismatch: no engines fit that were named.
        EnvironmentUnfit: the back end that was named, or its device, is not here.
    """
    if backend == "auto":
        for name in MODULES:
            for wanted in _AUTO if precision is None else (precision,):
                if (compiled := _fitting(bundle, wanted, name)) is not None:
                    return _tensorrt(compiled)
    if backend in MODULES:
        return _tensorrt(_named(bundle, backend, precision))
    if precision is not None:
        compiled = find_compiled(bundle, precision)
        ort = OnnxRuntimeBackend(threads, optimised=True)
        return Choice(ort, compiled.folder.name, compiled.path, compiled.verified())
    manifest = bundle.manifest
    return Choice(
        OnnxRuntimeBackend(threads),
        "portable",
        lambda name: bundle.path(manifest.engines[name].file),
        manifest.parity,
    )


def _tensorrt(compiled: Compiled) -> Choice:
    from trml_rt.backends.tensorrt.backend import TensorRtBackend

    backend = TensorRtBackend(compiled.manifest.backend)
    return Choice(backend, compiled.folder.name, compiled.path, compiled.verified())


def _named(bundle: Bundle, backend: str, precision: str | None) -> Compiled:
    """Return the engines for a back end that was named; without a precision, the best there are."""
    import_tensorrt(backend)
    if precision is not None:
        return find_compiled(bundle, precision, backend)
    there = _precisions(bundle, backend)
    *better, last = [name for name in _NAMED if name in there] or _NAMED[:1]
    for wanted in better:
        with contextlib.suppress(ArtefactMismatch):
            return find_compiled(bundle, wanted, backend)
    return find_compiled(bundle, last, backend)


def _fitting(bundle: Bundle, precision: str, backend: str) -> Compiled | None:
    """Return verified engines if there are any that fit here; imports nothing if there are none."""
    if precision not in _precisions(bundle, backend):
        return None
    try:
        compiled = find_compiled(bundle, precision, backend)
    except (ArtefactMismatch, EnvironmentUnfit):
        return None
    return compiled if compiled.verified() else None


def _precisions(bundle: Bundle, backend: str) -> set[str]:
    """Return the precisions in which the bundle holds engines for `backend`, fitting or not."""
    found: set[str] = set()
    for folder in engine_folders(bundle):
        try:
            manifest = open_compiled(folder).manifest
        except ArtefactMismatch:
            continue  # whoever names it is told; so does inspect
        if manifest.backend == backend:
            found.add(manifest.precision)
    return found
