"""Say what a bundle holds, what was built from it, and whether it is whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from trml_rt.bundle.engine_folder import engine_folders, open_compiled
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import ArtefactMismatch

__all__ = ["inspect"]


def inspect(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a description of the bundle in `folder`, after comparing the hash of every file.

    Raises:
        ArtefactMismatch: the bundle breaks a rule of its format.
    """
    bundle = Bundle(folder)
    bundle.verify_files()
    manifest = bundle.manifest
    return {
        "bundle": str(bundle.folder),
        "name": manifest.name,
        "schema": manifest.schema_,
        "created_by": manifest.created_by,
        "sha256": bundle.sha256,
        "files": len(manifest.files) + 1,
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        "task": manifest.task.model_dump(exclude_none=True),
        "text": manifest.text.model_dump(),
        "video": manifest.video.model_dump(),
        "engines": {
            name: {
                "file": engine.file,
                "bytes": manifest.files[engine.file].bytes,
                "weights": engine.weights,
                "compute": engine.compute,
                "inputs": {tensor.name: _shape(tensor.shape) for tensor in engine.inputs},
                "outputs": {tensor.name: _shape(tensor.shape) for tensor in engine.outputs},
            }
            for name, engine in manifest.engines.items()
        },
        "engine_sets": {engine_set.name: engine_set.engines for engine_set in manifest.engine_sets},
        "parity": manifest.parity,
        "built": _built(bundle),
        "training": manifest.training,
    }


def _shape(shape: Sequence[int | str]) -> str:
    return "(" + ", ".join(str(size) for size in shape) + ")"


def _built(bundle: Bundle) -> dict[str, Any]:
    """Describe every engine folder: its precision, and whether it fits this device and why not."""
    built: dict[str, Any] = {}
    for path in engine_folders(bundle):
        try:
            compiled = open_compiled(path)
            compiled.verify_files()
        except ArtefactMismatch as error:
            built[path.name] = {"fits": False, "why_not": [str(error)]}
            continue
        misfits = compiled.why_not(bundle)
        built[path.name] = {
            "backend": compiled.manifest.backend,
            "precision": compiled.manifest.precision,
            "weights": compiled.manifest.weights,
            "compute": compiled.manifest.compute,
            "bytes": sum(entry.bytes for entry in compiled.manifest.files.values()),
            "layers": {
                engine: entry.layers
                for engine, entry in compiled.manifest.files.items()
                if entry.layers
            },
            "verification": compiled.verification(),
            "fits": not misfits,
            "why_not": misfits,
        }
    return built
