"""The record of a calibration: what was measured on which data, and the INT8 graphs of it.

`trml-rt calibrate` writes the folder `calibration/`, `trml-rt build --precision int8` reads it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from trml_rt.bundle import Bundle
from trml_rt.errors import ArtefactMismatch
from trml_rt.files import FileEntry, check_files, check_hash
from trml_rt.manifest import SET_INPUTS, Manifest
from trml_rt.strict import Strict, parse_json, refuse, validate

__all__ = [
    "CALIBRATION_SCHEMA",
    "RECORD",
    "Calibrated",
    "Calibration",
    "calibration_command",
    "calibration_hash",
    "encoders",
    "open_calibration",
    "to_json",
]

CALIBRATION_SCHEMA = 1
RECORD = "calibration.json"
"""The file that a calibration folder is known by."""


class LayerError(Strict):
    """What one layer in INT8, alone, does to the output: 1 - mean cosine."""

    layer: str
    error: float


class CheckedCosine(Strict):
    """The cosine between INT8 and FP32 outputs over the samples of the check."""

    least: float
    mean: float


class Form(FileEntry):
    """One INT8 graph of an engine."""

    file: str
    layers: dict[str, Literal["int8", "fp32"]]
    checked_cosine: CheckedCosine
    sensitivity: list[LayerError]


class CalibratedEngine(Strict):
    """One encoder: its ranges, and the graphs made with them."""

    source: str
    method: Literal["max", "entropy", "percentile"]
    samples: int
    ranges: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]]
    forms: dict[Literal["portable", "cpu"], Form]


class Calibration(Strict):
    """The content of `calibration.json`."""

    schema_: Annotated[int, Field(alias="schema")]
    created_by: str
    versions: dict[str, str]
    data: dict[str, str | int]
    least_cosine: float
    engines: dict[str, CalibratedEngine]


@dataclass(frozen=True)
class Calibrated:
    """A calibration on disk that was made for this bundle."""

    folder: Path
    record: Calibration
    sha256: str
    """Hash of the record, which holds the hashes of the graphs: names the whole calibration."""

    def path(self, engine: str, form: Literal["portable", "cpu"]) -> Path:
        """Return the checked path of an engine's INT8 graph (R7)."""
        entry = self.record.engines[engine].forms[form]
        path = self.folder / entry.file
        check_hash(path, entry, "calibrate again: trml-rt calibrate --force")
        return path


def encoders(manifest: Manifest) -> list[str]:
    """Return the engines that have an INT8 form: those that see only raw inputs."""
    raw = {name for names in SET_INPUTS.values() for name in names}
    return [
        name
        for name, engine in manifest.engines.items()
        if all(tensor.name in raw for tensor in engine.inputs)
    ]


def open_calibration(bundle: Bundle, folder: Path | None = None) -> Calibrated:
    """Read the calibration in `folder`, by default the bundle's own, and check it.

    Raises:
        ArtefactMismatch: there is none, it is damaged, or was made for other graphs.
    """
    folder = bundle.folder / "calibration" if folder is None else folder
    source = folder / RECORD
    again = calibration_command(bundle)
    try:
        data = source.read_bytes()
    except OSError as error:
        raise ArtefactMismatch(
            f"{source}: cannot be read ({error.strerror}); "
            f"int8 needs ranges from real data: {again}"
        ) from None
    record: Calibration = validate(
        Calibration, parse_json(data, str(source)), str(source), CALIBRATION_SCHEMA
    )
    problems = []
    for name in encoders(bundle.manifest):
        want = bundle.manifest.files[bundle.manifest.engines[name].file].sha256
        if name not in record.engines:
            problems.append(f"{name} is not calibrated")
        elif (engine := record.engines[name]).source != want:
            problems.append(f"{name} was calibrated for a graph {engine.source}, here it is {want}")
        elif missing := {"portable", "cpu"} - engine.forms.keys():
            problems.append(f"{name} lacks the form {', '.join(sorted(missing))}")
    if problems:
        refuse(str(folder), [*problems, f"calibrate again: {again} --force"])
    check_files(
        folder,
        {form.file: form for e in record.engines.values() for form in e.forms.values()},
    )
    return Calibrated(folder, record, hashlib.sha256(data).hexdigest())


def calibration_hash(folder: Path) -> str | None:
    """Return the hash that names the calibration in `folder`, or None if there is none."""
    try:
        return hashlib.sha256((folder / RECORD).read_bytes()).hexdigest()
    except OSError:
        return None


def calibration_command(bundle: Bundle) -> str:
    """Return the command that calibrates `bundle`."""
    return f"trml-rt calibrate {bundle.folder} --data rows.jsonl"


def to_json(record: Calibration) -> bytes:
    """Return the bytes of `calibration.json`, the same for the same content."""
    return (json.dumps(record.model_dump(by_alias=True), indent=1) + "\n").encode()
