"""Say what a bundle holds, what was built from it, and whether it is whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trml_rt.bundle.calibration import has_calibration, open_calibration
from trml_rt.bundle.engine_folder import engine_folders, open_engine_folder
from trml_rt.bundle.folder import Bundle, BundleLike, open_bundle
from trml_rt.bundle.need import has_need, read_need
from trml_rt.engines.fastest import read_fastest
from trml_rt.engines.key import why_not
from trml_rt.errors import ArtefactMismatch

__all__ = ["Inspection", "inspect"]


@dataclass(frozen=True)
class Inspection:
    """What a bundle holds; every file's hash was compared.

    Attributes:
        bundle: its folder.
        schema: version of the bundle format.
        sha256: hash of the manifest, which holds all other hashes.
        files: number of files, the manifest included; `bytes` is the size of the others.
        engines: for each engine its file, size, types, inputs and outputs with their shapes.
        engine_sets: for each engine set its engines, in running order.
        calibration: for each encoder its forms and how many layers of each compute in INT8; None
            where the bundle has no calibration of its own.
        need: from which certainty of a text on its video is not needed, and what that loses; None
            where the bundle does not say.
        parity: largest difference to the training framework's answers, as `engine set/tensor`.
        built: for each folder of compiled engines where it lies, its precision, verification and
            whether it fits.
        fastest: the engine folder that a build found fastest on this device, "portable" where none
            paid, or None where nothing was measured.
        training: what the training side wrote of itself.
    """

    bundle: str
    name: str
    schema: int
    created_by: str
    sha256: str
    files: int
    bytes: int
    task: dict[str, Any]
    text: dict[str, Any]
    video: dict[str, Any]
    engines: dict[str, dict[str, Any]]
    engine_sets: dict[str, list[str]]
    calibration: dict[str, dict[str, Any]] | None
    need: dict[str, Any] | None
    parity: dict[str, float]
    built: dict[str, dict[str, Any]]
    fastest: str | None
    training: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the description as JSON-ready values, as `trml-rt inspect --json` prints it."""
        return asdict(self)


def inspect(bundle: BundleLike = None) -> Inspection:
    """Describe a bundle, after comparing the hash of every file, those of its calibration too.

    Raises:
        ArtefactMismatch: the bundle, its calibration, or one of the records of what was found
            fastest and of when video is needed breaks a rule of its format.
    """
    opened = open_bundle(bundle)
    opened.verify_files()
    manifest, fastest = opened.manifest, read_fastest(opened)
    return Inspection(
        bundle=str(opened.folder),
        name=manifest.name,
        schema=manifest.schema_,
        created_by=manifest.created_by,
        sha256=opened.sha256,
        files=len(manifest.files) + 1,
        bytes=sum(entry.bytes for entry in manifest.files.values()),
        task=manifest.task.model_dump(exclude_none=True),
        text=manifest.text.model_dump(),
        video=manifest.video.model_dump(),
        engines={
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
        engine_sets={engine_set.name: engine_set.engines for engine_set in manifest.engine_sets},
        calibration=_calibration(opened),
        need=read_need(opened).model_dump(by_alias=True) if has_need(opened) else None,
        parity=manifest.parity,
        built={path.name: _built(opened, path) for path in engine_folders(opened)},
        fastest=None if fastest is None else fastest.engines,
        training=manifest.training,
    )


def _shape(shape: Sequence[int | str]) -> str:
    return "(" + ", ".join(str(size) for size in shape) + ")"


def _calibration(bundle: Bundle) -> dict[str, dict[str, Any]] | None:
    """Describe a bundle's own calibration, if it has one."""
    if not has_calibration(bundle):
        return None
    calibrated = open_calibration(bundle)
    calibrated.verify_files()
    return {
        name: {
            "method": engine.method,
            "samples": engine.samples,
            "forms": {
                form: {
                    "layers": len(entry.layers),
                    "in_int8": sum(kind == "int8" for kind in entry.layers.values()),
                }
                for form, entry in engine.forms.items()
            },
        }
        for name, engine in calibrated.record.engines.items()
    }


def _built(bundle: Bundle, folder: Path) -> dict[str, Any]:
    """Describe an engine folder: its precision, and whether it fits this device and why not."""
    try:
        engines = open_engine_folder(folder)
        engines.verify_files()
        record, passed = engines.verification(), engines.passed_sets()
    except ArtefactMismatch as error:
        return {"folder": str(folder), "fits": False, "why_not": [str(error)]}
    manifest, reasons = engines.manifest, why_not(engines, bundle)
    return {
        "folder": str(folder),
        "backend": manifest.backend,
        "precision": manifest.precision,
        "weights": manifest.weights,
        "compute": manifest.compute,
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        "layers": {name: entry.layers for name, entry in manifest.files.items() if entry.layers},
        "products": manifest.products,
        "plan_layers": manifest.plan_layers,
        "islands": manifest.islands,
        "widened": manifest.widened,
        "verified": {each.name: each.name in passed for each in bundle.manifest.engine_sets},
        "verification": record and record.model_dump(by_alias=True),
        "fits": not reasons,
        "why_not": reasons,
    }
