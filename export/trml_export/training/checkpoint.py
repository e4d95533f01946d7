"""Write a trained model as one folder, and open it again only when nothing in it changed.

    trml.json          schema, configuration, backbone, training record, versions, file hashes
    model.safetensors  the weights of TRML
    backbone/          the frozen encoders, as `backbone.load_backbone` opens them
    history.json, .csv losses and metrics of each epoch; nothing reads them
    recipes.json       what was tried, where the recipe was chosen on valid
    curves.png, .svg   the same as pictures, where matplotlib is installed

`trml-rt export CHECKPOINT --out BUNDLE` needs nothing but this folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from trml_export.backbone.backbone import Encoders, load_backbone
from trml_export.config import Config, parse_recorded
from trml_export.method.model import TRML
from trml_rt.bundle import atomic
from trml_rt.bundle.files import FileEntry, check_files, describe_files, read_record, sha256_of
from trml_rt.bundle.records import Strict, parse_json, validate
from trml_rt.errors import ArtefactMismatch, UsageError, cannot_write

__all__ = [
    "SCHEMA",
    "BackboneRecord",
    "Checkpoint",
    "TrainingRecord",
    "check_checkpoint_target",
    "load_checkpoint",
    "model_name",
    "save_checkpoint",
]

SCHEMA = 1
"""The newest schema of `trml.json` that is read here."""

RECORD = "trml.json"
WEIGHTS = "model.safetensors"
BACKBONE = "backbone"
_REMEDY = "copy the checkpoint again, or train anew"
_NAMELESS = {"checkpoint", "checkpoints", "ckpt", "model", "out", "output"}  # folders
_PACKAGES = ("trml-rt", "torch", "open_clip_torch", "timm", "transformers", "safetensors")


class BackboneRecord(Strict):
    """Which encoders the model was trained on; they lie in `backbone/`.

    `fingerprint` is the sha256 over configuration, text files and weights; `seed` is set
    when the weights are random, and then no answer means anything.
    """

    name: str
    embed_dim: Annotated[int, Field(gt=0)]
    fingerprint: str
    seed: int | None


class TrainingRecord(Strict):
    """What training did; losses and metrics by name, at the epoch that was kept.

    `lengths` are the mean lengths of the vectors that the head took on valid; older records have
    none. `device` is what it ran on, and `encoded_in` the type that the encoders computed in.
    """

    data_sha256: str
    samples: dict[str, int]
    epochs: int
    best_epoch: int
    train: dict[str, float]
    valid: dict[str, float]
    lengths: dict[str, float] = Field(default_factory=dict)
    device: str = "cpu"
    encoded_in: str = "float32"


class CheckpointRecord(Strict):
    """The content of `trml.json`."""

    schema_: Annotated[int, Field(alias="schema")]
    config: dict[str, Any]
    backbone: BackboneRecord
    training: TrainingRecord
    versions: dict[str, str]
    files: dict[str, FileEntry]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk whose files all have the hashes that were written."""

    folder: Path
    config: Config
    record: CheckpointRecord

    @property
    def name(self) -> str:
        """The name of the model, see `model_name`."""
        return model_name(self.folder, self.record.backbone.name, self.config)

    def model(self) -> TRML:
        """Return the trained TRML in eval mode; raise ArtefactMismatch for other weights."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        model = TRML(self.config, self.record.backbone.embed_dim)
        try:
            model.load_state_dict(load_file(self.folder / WEIGHTS), strict=True)
        except (SafetensorError, OSError, RuntimeError) as problem:
            path = self.folder / WEIGHTS
            raise ArtefactMismatch(f"{path}: does not fit its configuration: {problem}") from None
        return model.eval()

    def backbone(self) -> Encoders:
        """Return the frozen encoders."""
        return load_backbone(self.folder / BACKBONE)


def model_name(folder: Path, backbone: str, config: Config) -> str:
    """Return what the model in the checkpoint `folder` is called where nobody names it.

    That is the folder's name. Where that says nothing, such as "checkpoint", it is the name of the
    backbone with the task: "ViT-B-32-quickgelu-regression".
    """
    name = folder.resolve().name
    return f"{backbone}-{config.task}" if not name or name.lower() in _NAMELESS else name


def check_checkpoint_target(out: Path, *, force: bool) -> None:
    """Refuse a folder that a checkpoint may not replace; see `atomic.check_target`."""
    atomic.check_target(out, marker=RECORD, what="checkpoint", replace=force)


def save_checkpoint(
    out: Path,
    model: TRML,
    backbone: Encoders,
    training: TrainingRecord,
    *,
    beside: Mapping[str, bytes] | None = None,
    force: bool = False,
) -> None:
    """Write `out` whole or not at all; see `check_checkpoint_target` for what may be replaced.

    `beside` are files that people read and no hash covers, by name.

    Raises:
        UsageError: `out` exists and may not be replaced.
        EnvironmentUnfit: `out` cannot be written.
    """
    check_checkpoint_target(out, force=force)
    try:
        with atomic.staged_folder(out, replace=force) as folder:
            _write(folder, model, backbone, training)
            for name, content in (beside or {}).items():
                (folder / name).write_bytes(content)
    except OSError as error:
        raise cannot_write(out, error, "name another folder with --out") from None


def _write(folder: Path, model: TRML, backbone: Encoders, training: TrainingRecord) -> None:
    from safetensors.torch import save

    weights = save({name: value.contiguous() for name, value in model.state_dict().items()})
    atomic.write_bytes(folder / WEIGHTS, weights)
    backbone.save(folder / BACKBONE)
    names = [str(p.relative_to(folder).as_posix()) for p in folder.rglob("*") if p.is_file()]
    record = CheckpointRecord(
        schema=SCHEMA,
        config=model.config.model_dump(mode="json"),
        backbone=BackboneRecord(
            name=backbone.name,
            embed_dim=backbone.size,
            fingerprint=backbone.fingerprint,
            seed=backbone.seed,
        ),
        training=training,
        versions={name: _version(name) for name in _PACKAGES},
        files=describe_files(folder, names),
    )
    text = json.dumps(record.model_dump(mode="json", by_alias=True), indent=2)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def load_checkpoint(folder: Path) -> Checkpoint:
    """Open a checkpoint and compare the hash of every file.

    Raises:
        UsageError: `folder` is no checkpoint.
        ArtefactMismatch: a newer schema, an unknown key, a missing, added-to or changed file.
    """
    path = folder / RECORD
    try:
        data = read_record(path)
    except OSError as problem:
        raise UsageError(
            f"{folder}: not a checkpoint: {RECORD} cannot be read ({problem.strerror}); "
            "name a folder that `trml-rt train` made"
        ) from None
    record: CheckpointRecord = validate(
        CheckpointRecord, parse_json(data, str(path)), str(path), SCHEMA
    )
    config = parse_recorded(record.config, where=f"{path}: config", error=ArtefactMismatch)
    check_files(folder, record.files, _REMEDY)
    changed = [name for name, entry in record.files.items() if not _holds(folder / name, entry)]
    if WEIGHTS not in record.files:
        raise ArtefactMismatch(f"{path}: {WEIGHTS} is not listed in files")
    if changed:
        raise ArtefactMismatch(
            f"{folder}: changed since it was written: {', '.join(changed)}; {_REMEDY}"
        )
    return Checkpoint(folder, config, record)


def _holds(path: Path, entry: FileEntry) -> bool:
    try:
        return sha256_of(path) == entry.sha256
    except OSError as error:
        raise ArtefactMismatch(
            f"{path}: cannot be read ({error.strerror}); copy the checkpoint again"
        ) from None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
