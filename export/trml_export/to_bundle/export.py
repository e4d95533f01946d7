"""Turn a checkpoint into a bundle: five ONNX graphs, each checked against PyTorch."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trml_export.backbone.backbone import Backbone, Encoders
from trml_export.backbone.cutting import cutting_is_exact
from trml_export.backbone.one_token import compute_one_token
from trml_export.method.model import TRML
from trml_export.to_bundle.golden import Tensors, golden_tensors
from trml_export.to_bundle.graphs import GraphSpec, graphs, write_onnx
from trml_export.to_bundle.rounding import keep_batch_norms_apart, round_to_fp16
from trml_export.to_bundle.tokenizer import write_tokenizer
from trml_export.training.checkpoint import Checkpoint, load_checkpoint
from trml_rt._version import __version__
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle.atomic import check_target, staged_folder, write_bytes
from trml_rt.bundle.files import describe_files
from trml_rt.bundle.manifest import PARITY, SCHEMA, SET_INPUTS, Manifest, read_manifest
from trml_rt.engines.dispatch import Dispatcher
from trml_rt.errors import UsageError, VerificationFailed, cannot_write

__all__ = ["ExportReport", "export"]

_log = logging.getLogger(__name__)

_SETS = {
    "text": ["text", "fuse_text"],
    "video": ["frame", "fuse_video"],
    "text_video": ["text", "frame", "fuse_text_video"],
}
_BATCH = {"min": 1, "opt": 1, "max": 16}


@dataclass(frozen=True)
class ExportReport:
    """A bundle that was written.

    Attributes:
        bundle: its folder.
        bytes: its size on disk.
        cut: whether its text graph takes texts without their padding.
        parity: the largest absolute differences to PyTorch, see `check_parity`.
    """

    bundle: str
    bytes: int
    cut: bool
    parity: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, as `trml-rt export --json` prints it."""
        return asdict(self)


def export(
    checkpoint: Path,
    out: Path,
    *,
    name: str | None = None,
    store_weights: Callable[[Path], None] | None = None,
    card: Path | None = None,
    force: bool = False,
) -> ExportReport:
    """Write the bundle of `checkpoint` to `out` and return a report.

    Args:
        checkpoint: folder that `trml-rt train` made.
        out: the bundle's folder, written whole or not at all.
        name: the model's name; None takes that of the checkpoint (`model_name`).
        store_weights: rewrites a graph file so that it stores its weights in FP16
            (`trml_calibration.fp16_stored.store_fp16`); PyTorch then gets the rounded weights too.
        card: a Markdown file for the bundle's MODEL_CARD.md.
        force: replace an existing bundle.

    Raises:
        VerificationFailed: a graph or an engine set differs from PyTorch; nothing is written.
        ArtefactMismatch: the checkpoint is damaged.
        UsageError: `out` exists, or `checkpoint` or `card` cannot be read.
        EnvironmentUnfit: `out` cannot be written.
    """
    check_target(out, marker="model.json", what="bundle", replace=force)
    card_text = None if card is None else _read_card(card)
    loaded = load_checkpoint(checkpoint)
    _log.info("opening the encoders")
    backbone, model = loaded.backbone(), loaded.model()
    if store_weights is not None:
        if isinstance(backbone, Backbone):
            round_to_fp16(backbone.model)
        round_to_fp16(model)
    name = name or loaded.name
    try:
        with staged_folder(out, replace=force) as staging:
            if card_text is not None:
                write_bytes(staging / "MODEL_CARD.md", card_text.encode())
            cut, parity = _fill(staging, loaded, backbone, model, name, store_weights)
    except OSError as error:
        raise cannot_write(out, error, "name another folder with --out") from None
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return ExportReport(str(out), size, cut, parity)


def _fill(
    staging: Path,
    loaded: Checkpoint,
    backbone: Encoders,
    model: TRML,
    name: str,
    store_weights: Callable[[Path], None] | None,
) -> tuple[bool, dict[str, float]]:
    """Write all files of the bundle; return whether texts are cut, and the parity."""
    cut = cutting_is_exact(backbone)
    # The reference is computed first, because the export rearranges the backbone.
    golden = golden_tensors(backbone, model, cut=cut)
    if isinstance(backbone, Backbone):
        _rearrange(backbone, rounded=store_weights is not None)
    pad_id = _write_tokenizer(backbone, staging / "tokenizer.json")
    specs = graphs(backbone, model, cut=cut)
    (staging / "onnx").mkdir()
    for number, (engine, spec) in enumerate(specs.items(), 1):
        _log.info("graph %d of %d: exporting %s", number, len(specs), engine)
        write_onnx(spec, staging / "onnx" / f"{engine}.onnx")
        if store_weights is not None and spec.weights is None:
            store_weights(staging / "onnx" / f"{engine}.onnx")
    _log.info("comparing with PyTorch")
    (staging / "golden").mkdir()
    for engine_set, tensors in golden.items():
        np.savez_compressed(staging / "golden" / f"{engine_set}.npz", **tensors)
    content = _manifest(
        loaded,
        backbone,
        specs,
        pad_id,
        name=name,
        cut=cut,
        weights="fp16" if store_weights else "fp32",
        staging=staging,
    )
    parity = check_parity(read_manifest(_to_json(content)), staging, golden)
    data = _to_json(content | {"parity": parity})
    read_manifest(data)  # what is written is what a reader accepts
    write_bytes(staging / "model.json", data)
    return cut, parity


def _rearrange(backbone: Backbone, *, rounded: bool) -> None:
    """Give the towers the form to export, in place; their vectors stay the same."""
    for engine, tower in (("text", backbone.model.text), ("frame", backbone.model.visual)):
        reason = compute_one_token(tower)
        whole = f"all tokens, because {reason}" if reason else "the one token that is read"
        _log.info("%s: the last block computes %s", engine, whole)
    if rounded:
        keep_batch_norms_apart(backbone.model)


def check_parity(manifest: Manifest, folder: Path, golden: dict[str, Tensors]) -> dict[str, float]:
    """Compare every graph alone, fed by PyTorch's tensors, and every engine set as a chain.

    The runtime itself runs the graphs, so that what is proved is what will run.

    Args:
        manifest: of the bundle that is made.
        folder: where its files lie.
        golden: PyTorch's tensors by engine set.

    Returns:
        The largest absolute differences, by `engine set/tensor` and `engine alone/tensor`.

    Raises:
        VerificationFailed: a difference is above `PARITY`, or not a number; lists them all.
    """
    differences: dict[str, float] = {}

    def locate(name: str) -> Path:
        return folder / manifest.engines[name].file

    with Dispatcher(manifest, OnnxRuntimeBackend(), locate) as engines:
        for engine_set in manifest.engine_sets:
            reference = golden[engine_set.name]
            inputs = {name: reference[name] for name in engine_set.inputs}
            chain, _ = engines.run(engine_set.present, inputs)
            for name in engine_set.engines:
                outputs = {tensor.name for tensor in manifest.engines[name].outputs}
                others = {key: value for key, value in reference.items() if key not in outputs}
                alone, _ = engines.run(engine_set.present, others)
                for key in sorted(outputs):
                    for where, tensors in ((f"{name} alone", alone), (engine_set.name, chain)):
                        difference = float(np.abs(tensors[key] - reference[key]).max())
                        # An encoder serves two sets; the larger difference counts, and NaN.
                        known = differences.get(f"{where}/{key}", 0.0)
                        differences[f"{where}/{key}"] = float(np.maximum(known, difference))
    problems = [
        f"{where} differs by {difference:.2g}"
        for where, difference in differences.items()
        if not difference <= PARITY  # NaN is not below anything
    ]
    if problems:
        raise VerificationFailed(
            f"the graphs do not give PyTorch's answers ({PARITY:g} allowed): " + "; ".join(problems)
        )
    return differences


def _manifest(
    loaded: Checkpoint,
    backbone: Encoders,
    specs: dict[str, GraphSpec],
    pad_id: int,
    *,
    name: str,
    cut: bool,
    weights: str,
    staging: Path,
) -> dict[str, Any]:
    """Return the content of model.json, in which no parity is stated yet."""
    config, picture = loaded.config, backbone.preprocessing
    task: dict[str, Any] = {"kind": config.task, "labels": list(config.labels)}
    if config.task == "regression":
        task |= {"range": list(config.score_range), "thresholds": list(config.thresholds)}
    names = [p.relative_to(staging).as_posix() for p in staging.rglob("*") if p.is_file()]
    context = backbone.context_length
    return {
        "schema": SCHEMA,
        "name": name,
        "created_by": f"trml-rt {__version__}",
        "embedding_dim": backbone.size,
        "text": {
            "tokenizer": "tokenizer.json",
            "context": context,
            "pad_id": pad_id,
            "cut": cut,
        },
        "video": {
            "frames": config.frames,
            "height": picture.height,
            "width": picture.width,
            "resize": picture.resize,
            "interpolation": picture.interpolation,
            "fill": picture.fill,
        },
        "axes": {
            "batch": _BATCH,
            "tokens": {"min": 1, "opt": min(16, context), "max": context},
            "frames": {"min": 1, "opt": config.frames, "max": 4 * config.frames},
        },
        "task": task,
        "engines": {
            engine: {
                "file": f"onnx/{engine}.onnx",
                "inputs": [tensor.model_dump() for tensor in spec.inputs],
                "outputs": [tensor.model_dump() for tensor in spec.outputs],
                "weights": spec.weights or weights,
                "compute": "fp32",
            }
            for engine, spec in specs.items()
        },
        "engine_sets": [
            {
                "modalities": _parts(engine_set),
                "engines": engines,
                "inputs": [key for part in _parts(engine_set) for key in SET_INPUTS[part]],
                "outputs": [tensor.name for tensor in specs[engines[-1]].outputs],
                "golden": f"golden/{engine_set}.npz",
            }
            for engine_set, engines in _SETS.items()
        ],
        "parity": {},
        "training": {
            "config": config.model_dump(mode="json"),
            "backbone": loaded.record.backbone.model_dump(),
            "record": loaded.record.training.model_dump(),
            "versions": loaded.record.versions,
        },
        "files": {key: entry.model_dump() for key, entry in describe_files(staging, names).items()},
    }


def _write_tokenizer(backbone: Encoders, path: Path) -> int:
    """Write or copy the tokenizer; return the id that pads a row."""
    if isinstance(backbone, Backbone):
        return write_tokenizer(backbone.tokenizer, backbone.context_length, path).pad_id
    shutil.copyfile(backbone.files["tokenizer"], path)
    return backbone.record.text.pad_id


def _to_json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _parts(engine_set: str) -> list[str]:
    return engine_set.split("_")


def _read_card(card: Path) -> str:
    try:
        return card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"{card}: the model card cannot be read ({reason}); name a UTF-8 file with --card"
        ) from None
