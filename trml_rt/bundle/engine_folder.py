"""A folder of engines compiled for one device: its manifest, its files, its verification record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from trml_rt.bundle.files import CheckedFile, FileEntry, check_files, open_checked, read_record
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.graph import check_graph
from trml_rt.bundle.places import engine_places
from trml_rt.bundle.records import Strict, parse_json, validate
from trml_rt.errors import ArtefactMismatch

__all__ = [
    "ENGINE_SCHEMA",
    "PRECISIONS",
    "VERIFICATION",
    "VERIFICATION_SCHEMA",
    "BuiltFile",
    "EngineFolder",
    "EngineManifest",
    "Precision",
    "SetVerdict",
    "VerificationRecord",
    "engine_folders",
    "folders_in",
    "open_engine_folder",
    "to_json",
]

ENGINE_SCHEMA = 1

Precision = Literal["fp32", "fp16", "int8"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""The precisions that engines are built in, the same on every back end."""

VERIFICATION = "verify.json"
"""The file beside the engines that says how near they are to their references."""

VERIFICATION_SCHEMA = 2

_REMEDY = "build it again: trml-rt build"


class BuiltFile(FileEntry):
    """One compiled graph; `layers` gives the type in which each layer with weights computes."""

    file: str
    layers: dict[str, Literal["int8", "fp32"]] = Field(default_factory=dict)


class EngineManifest(Strict):
    """The content of the `manifest.json` of an engine folder.

    `built_for` is the cache key. `products` and `plan_layers` count what computes in which type,
    as parsed and as compiled. `islands` names the nodes that stay FP32 in an FP16 graph, and
    `widened` whole engines that compute in FP32 instead of `compute`, with the limit that each
    missed. `verified` is empty since `verify.json` says more.
    """

    schema_: Annotated[int, Field(alias="schema")]
    backend: str
    precision: Precision
    weights: Precision
    compute: Precision
    built_for: dict[str, str]
    files: dict[str, BuiltFile]
    verified: Annotated[dict[str, float], Field(default_factory=dict)]
    products: Annotated[dict[str, dict[str, int]], Field(default_factory=dict)]
    plan_layers: Annotated[dict[str, dict[str, int]], Field(default_factory=dict)]
    islands: Annotated[dict[str, list[str]], Field(default_factory=dict)]
    widened: Annotated[dict[str, str], Field(default_factory=dict)]


class SetVerdict(Strict):
    """What a verification found of one engine set.

    `inputs` says on which inputs it was compared with FP32. `fp32` and `golden` hold what was
    measured against each reference; empty where nothing could be.
    """

    passed: bool
    problems: list[str]
    warnings: list[str]
    inputs: Literal["data", "golden files"]
    fp32: dict[str, Any]
    golden: dict[str, Any]


class VerificationRecord(Strict):
    """The content of `verify.json`; `engines` gives the hash of each file that was compared."""

    schema_: Annotated[int, Field(alias="schema")]
    precision: Precision
    reference: str
    limits: dict[str, float]
    engines: dict[str, str]
    engine_sets: dict[str, SetVerdict]

    @property
    def problems(self) -> list[str]:
        """The limits that are missed, a sentence each."""
        return [text for verdict in self.engine_sets.values() for text in verdict.problems]

    @property
    def warnings(self) -> list[str]:
        """What is near a limit."""
        return [text for verdict in self.engine_sets.values() for text in verdict.warnings]


@dataclass(frozen=True)
class EngineFolder:
    """Engines on disk; whether they fit this device is for `engines.key` to say."""

    folder: Path
    manifest: EngineManifest

    def path(self, engine: str) -> Path:
        """Return the checked path of one engine's compiled graph."""
        with self.open(engine):
            return self.folder / self.manifest.files[engine].file

    def open(self, engine: str) -> CheckedFile:
        """Open one engine's compiled graph after comparing its hash; an ONNX one is held to R17."""
        entry = self.manifest.files[engine]
        path = self.folder / entry.file
        if path.suffix == ".onnx" or self.manifest.backend == "onnxruntime":
            return open_checked(path, entry, _REMEDY, check_graph)
        return open_checked(path, entry, _REMEDY)

    def verification(self) -> VerificationRecord | None:
        """Return the content of verify.json, or None if there is none.

        Raises:
            ArtefactMismatch: it is damaged.
        """
        path = self.folder / VERIFICATION
        try:
            data = read_record(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArtefactMismatch(f"{path}: cannot be read ({error.strerror})") from None
        record: VerificationRecord = validate(
            VerificationRecord, parse_json(data, str(path)), str(path), VERIFICATION_SCHEMA
        )
        return record

    def passed_sets(self) -> frozenset[str]:
        """Return the engine sets that a verification of these very engines has passed.

        Raises:
            ArtefactMismatch: the record is damaged.
        """
        record = self.verification()
        if record is None or record.engines != self.hashes:
            return frozenset()
        return frozenset(name for name, verdict in record.engine_sets.items() if verdict.passed)

    def is_verified(self, bundle: Bundle) -> bool:
        """Say whether a verification of these engines has passed every engine set of `bundle`.

        Raises:
            ArtefactMismatch: the record is damaged.
        """
        return self.passed_sets() >= {each.name for each in bundle.manifest.engine_sets}

    @property
    def hashes(self) -> dict[str, str]:
        """The hash of each engine's file, by name, as the manifest states it."""
        return {name: entry.sha256 for name, entry in self.manifest.files.items()}

    def verify_files(self) -> None:
        """Compare the hash of every file."""
        for engine in self.manifest.files:
            self.path(engine)


def open_engine_folder(folder: Path) -> EngineFolder:
    """Read an engine folder's manifest and look at its files, without hashing them.

    Raises:
        ArtefactMismatch: the folder breaks rule R3, R4 or R6 (E3).
    """
    source = folder / "manifest.json"
    try:
        content = parse_json(read_record(source), str(source))
    except OSError as error:
        raise ArtefactMismatch(f"{source}: cannot be read ({error.strerror})") from None
    manifest: EngineManifest = validate(EngineManifest, content, str(source), ENGINE_SCHEMA)
    check_files(folder, {entry.file: entry for entry in manifest.files.values()}, _REMEDY)
    return EngineFolder(folder, manifest)


def engine_folders(bundle: Bundle) -> list[Path]:
    """Return the engine folders of a bundle, by name, each key once (E5).

    Raises:
        ArtefactMismatch: a place of engines is there and cannot be read.
    """
    found: dict[str, Path] = {}
    for place in reversed(engine_places(bundle)):
        found |= {path.name: path for path in folders_in(place)}
    return [found[name] for name in sorted(found)]


def folders_in(place: Path) -> list[Path]:
    """Return the engine folders of one place, without what killed builds left.

    Raises:
        ArtefactMismatch: the place is there and cannot be read.
    """
    try:
        return sorted(
            path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ArtefactMismatch(f"{place}: cannot be read ({error.strerror})") from None


def to_json(record: EngineManifest | VerificationRecord) -> bytes:
    """Return the bytes of a record's file, the same for the same content."""
    content: dict[str, Any] = record.model_dump(by_alias=True)
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
