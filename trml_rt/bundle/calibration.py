"""The record of a calibration: what was measured on which data, and the INT8 graphs of it.

`trml-rt calibrate` writes the folder `calibration/`, `trml-rt build --precision int8` reads it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field

from trml_rt.bundle.files import Digest, FileEntry, check_files, open_checked, read_record
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.graph import check_graph
from trml_rt.bundle.manifest import SET_INPUTS, Manifest
from trml_rt.bundle.places import is_kept
from trml_rt.bundle.records import Strict, parse_json, refuse, validate
from trml_rt.errors import ArtefactMismatch, shell_word

__all__ = [
    "CALIBRATION_SCHEMA",
    "FORMS",
    "RECORD",
    "Calibrated",
    "Calibration",
    "calibration_command",
    "calibration_hash",
    "encoders",
    "has_calibration",
    "open_calibration",
    "source_of",
    "to_json",
]

CALIBRATION_SCHEMA = 1
RECORD = "calibration.json"
"""The file that a calibration folder is known by."""

_REMEDY = "calibrate again: trml-rt calibrate --force"


FormName = Literal["portable", "cpu"]
FORMS: tuple[FormName, ...] = get_args(FormName)
"""`portable` is for TensorRT, `cpu` for ONNX Runtime."""


class Harm(Strict):
    """What one layer in INT8, alone, does.

    `vectors` is 1 - mean cosine of the encoder's output, `scores` the mean difference of scores.
    """

    layer: str
    vectors: float
    scores: float


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class CheckedSet(Strict):
    """What an engine set's answers lost on rows that took no part in calibration."""

    rows: Positive
    least_cosine: Annotated[float, Field(ge=-1.001, le=1.001)]  # rounding may pass 1
    largest_score_difference: Annotated[float, Field(ge=0)]
    mean_score_difference: Annotated[float, Field(ge=0)]
    flips: Share
    points_lost: float | None


class Found(Strict):
    """What the search for an INT8 graph found: the graph itself, or that there is none."""

    refined: bool
    checked: dict[str, CheckedSet]
    sensitivity: list[Harm]


class Form(Found, FileEntry):
    """One INT8 graph of an engine."""

    file: str
    layers: dict[str, Literal["int8", "fp32"]]


class CalibratedEngine(Strict):
    """One encoder: its ranges, the graphs made with them, and the forms that were not worth it."""

    source: Digest
    method: Literal["max", "entropy", "percentile"]
    samples: Positive
    ranges: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]]
    forms: dict[FormName, Form]
    left_out: dict[FormName, Found]


class Drop(Strict):
    """What INT8 was allowed to lose: of a row's cosine, and of the task metric in points."""

    cosine: float
    points: float


class CalibrationData(Strict):
    """Which rows were calibrated on: the hash of the data file, and the split."""

    sha256: Digest
    split: str


class Calibration(Strict):
    """The content of `calibration.json`."""

    schema_: Annotated[int, Field(alias="schema")]
    created_by: str
    versions: dict[str, str]
    data: CalibrationData
    max_drop: Drop
    engines: dict[str, CalibratedEngine]


@dataclass(frozen=True)
class Calibrated:
    """A calibration on disk that was made for this bundle."""

    folder: Path
    record: Calibration
    sha256: str
    """Hash of the record, which holds the hashes of the graphs: names the whole calibration."""

    def form(self, engine: str, form: FormName) -> Form | None:
        """Return the entry of an engine's INT8 graph, or None where the engine has none."""
        calibrated = self.record.engines.get(engine)
        return None if calibrated is None else calibrated.forms.get(form)

    def path(self, entry: Form) -> Path:
        """Return the checked path of an INT8 graph (R7, R17)."""
        path = self.folder / entry.file
        with open_checked(path, entry, _REMEDY, check_graph):
            pass
        return path

    def verify_files(self) -> None:
        """Compare the hash of every INT8 graph."""
        for engine in self.record.engines.values():
            for entry in engine.forms.values():
                self.path(entry)


def encoders(manifest: Manifest) -> list[str]:
    """Return the engines that have an INT8 form: those that see only raw inputs."""
    raw = {name for names in SET_INPUTS.values() for name in names}
    return [
        name
        for name, engine in manifest.engines.items()
        if all(tensor.name in raw for tensor in engine.inputs)
    ]


def has_calibration(bundle: Bundle) -> bool:
    """Say whether a bundle brings a calibration of its own along."""
    return (bundle.folder / "calibration" / RECORD).exists()


def open_calibration(bundle: Bundle, folder: Path | None = None) -> Calibrated:
    """Read the calibration in `folder`, by default the bundle's own, and check it.

    Raises:
        ArtefactMismatch: there is none, it is damaged, or was made for other graphs.
    """
    folder = bundle.folder / "calibration" if folder is None else folder
    source = folder / RECORD
    again = calibration_command(bundle)
    then = ", then build with --calibration calibration" if is_kept(bundle) else ""
    try:
        data = read_record(source)
    except OSError as error:
        raise ArtefactMismatch(
            f"{source}: cannot be read ({error.strerror}); "
            f"int8 needs ranges from real data: {again}{then}"
        ) from None
    record: Calibration = validate(
        Calibration, parse_json(data, str(source)), str(source), CALIBRATION_SCHEMA
    )
    problems = [] if any(e.forms for e in record.engines.values()) else ["it holds no INT8 graph"]
    encoder_names = encoders(bundle.manifest)
    for name, engine in record.engines.items():
        if name not in encoder_names:
            problems.append(f"{name} is no encoder of this bundle")
            continue
        sha256 = bundle.manifest.files[bundle.manifest.engines[name].file].sha256
        if engine.source != sha256:
            problems.append(
                f"{name} was calibrated for a graph {engine.source}, here it is {sha256}"
            )
    if problems:
        refuse(str(folder), [*problems, f"calibrate again: {again} --force"])
    check_files(
        folder,
        {form.file: form for e in record.engines.values() for form in e.forms.values()},
        _REMEDY,
    )
    return Calibrated(folder, record, hashlib.sha256(data).hexdigest())


def source_of(
    bundle: Bundle, engine: str, calibrated: Calibrated | None, form: FormName
) -> tuple[Path, Form | None]:
    """Return the graph that an engine is compiled from, and its entry where it is an INT8 one.

    Raises:
        ArtefactMismatch: the engine was calibrated, and not in this form.
    """
    entry = None if calibrated is None else calibrated.form(engine, form)
    if calibrated is None or entry is None:
        made = None if calibrated is None else calibrated.record.engines.get(engine)
        if made is not None and form not in made.left_out:
            raise ArtefactMismatch(
                f"{bundle.folder}: {engine} was calibrated without the {form} form, which this "
                f"back end takes; calibrate again: {calibration_command(bundle)} --force"
            )
        return bundle.path(bundle.manifest.engines[engine].file), None
    return calibrated.path(entry), entry


def calibration_hash(folder: Path) -> str | None:
    """Return the hash that names the calibration in `folder`, or None if there is none."""
    try:
        return hashlib.sha256(read_record(folder / RECORD)).hexdigest()
    except OSError:
        return None


def calibration_command(bundle: Bundle) -> str:
    """Return the command that calibrates `bundle`."""
    out = " --out calibration" if is_kept(bundle) else ""
    return f"trml-rt calibrate {shell_word(bundle.folder)} --data rows.jsonl{out}"


def to_json(record: Calibration) -> bytes:
    """Return the bytes of `calibration.json`, the same for the same content."""
    return (json.dumps(record.model_dump(by_alias=True), indent=1) + "\n").encode()
