"""Evaluate what there is: a trained checkpoint, a bundle on a runtime, or the method itself.

All three end in the same predictions, cases and metrics, so their numbers may be subtracted: a
bundle's from its checkpoint's is the loss of export and precision, in task points.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_export.backbone.backbone import Backbone
from trml_export.config import Config
from trml_export.data import (
    SPLITS,
    DataSet,
    InputProblem,
    Sample,
    config_for,
    read_dataset,
)
from trml_export.evaluation.methods import METHODS, Method
from trml_export.evaluation.predictions import Predictions, predict
from trml_export.evaluation.protocol import COMPLETENESS, Material, Run, run_protocol
from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.scoring import floors, score_cases, score_retrieval
from trml_export.features.clips import check_length, seconds
from trml_export.features.features import Features, compute_features
from trml_export.training.checkpoint import load_checkpoint
from trml_rt.bundle.manifest import Manifest
from trml_rt.errors import InputUnusable, UsageError
from trml_rt.inputs.video import read_frames
from trml_rt.progress import counted

__all__ = ["Rows", "Trace", "evaluate_bundle", "evaluate_checkpoint", "evaluate_method"]

_log = logging.getLogger(__name__)

Trace = Callable[
    [str | None, list[NDArray[np.uint8]] | None],
    Mapping[str, Mapping[str, NDArray[np.generic]]],
]
"""Takes a text and RGB frames, each (height, width, 3) uint8, either of them None; returns the
tensors of each engine set by name, as `trml_rt.runtime.Runtime.trace` does."""

_PACKAGES = ("trml-rt", "torch", "onnxruntime", "scikit-learn", "numpy")


@dataclass(frozen=True)
class Rows:
    """The samples to evaluate on: a data set, its layout (see `trml_export.data`), a split."""

    path: Path
    format: str = "jsonl"
    split: str = "test"

    def read(self, config: Config) -> DataSet:
        """Read the data set for the task of `config`; UsageError if the split has no sample."""
        dataset = read_dataset(self.path, config, self.format)
        if not self.of(dataset):
            raise UsageError(
                f"{self.path}: no sample has the split {self.split!r}; "
                f"choose of {', '.join(SPLITS)}"
            )
        return dataset

    def of(self, dataset: DataSet) -> list[Sample]:
        """Return the samples of the split."""
        return [sample for sample in dataset.samples if sample.split == self.split]


def evaluate_checkpoint(folder: Path, rows: Rows, *, cache: Path) -> Evaluation:
    """Evaluate the model of a checkpoint, in PyTorch.

    Args:
        folder: a checkpoint that `trml-rt train` made.
        rows: what to evaluate on.
        cache: of the features.

    Raises:
        UsageError: no checkpoint, a data set with faults, or a split without samples.
        ArtefactMismatch: the checkpoint or the cache is damaged.
        InputUnusable: no sample of the split can be used.
    """
    checkpoint = load_checkpoint(folder)
    config = checkpoint.config
    dataset = rows.read(config)
    features = _features(dataset, rows.split, checkpoint.backbone(), config, cache)
    subject = {
        "kind": "checkpoint",
        "name": folder.resolve().name,
        "methods": {"checkpoint": "checkpoint"},
        "backbone": checkpoint.record.backbone.fingerprint,
        "weights": checkpoint.record.files["model.safetensors"].sha256,
    }
    run = _run("checkpoint", predict(checkpoint.model(), features), features, config)
    return _evaluation(subject, config, rows, dataset, features, [run])


def evaluate_bundle(
    trace: Trace, manifest: Manifest, rows: Rows, *, subject: dict[str, Any]
) -> Evaluation:
    """Evaluate a bundle, on whatever runs `trace`.

    Args:
        trace: the runtime; see `Trace`.
        manifest: of the bundle, which says what a prediction means.
        rows: what to evaluate on.
        subject: name, back end and engines, for the record.

    Raises:
        UsageError: a data set with faults, or a split without samples.
        InputUnusable: no sample of the split can be used.
    """
    config = config_for(manifest.task, rows.format).model_copy(
        update={"frames": manifest.video.frames}
    )
    dataset = rows.read(config)
    features, predictions = _traced(trace, rows.of(dataset), config)
    run = _run("bundle", predictions, features, config)
    subject = {"kind": "bundle", **subject, "methods": {"bundle": subject["engines"]}}
    return _evaluation(subject, config, rows, dataset, features, [run])


def evaluate_method(
    backbone: Backbone,
    rows: Rows,
    *,
    config: Config,
    cache: Path,
    methods: Mapping[str, Method] = METHODS,
    completeness: Sequence[float] | None = None,
    seeds: int = 5,
    workers: int | None = None,
) -> Evaluation:
    """Train TRML and every control with several seeds, and evaluate all of them.

    Args:
        backbone: the frozen encoders.
        rows: what to evaluate on; the splits train and valid of the same data set train the
            models and choose their epochs.
        config: of TRML; the controls change it, and the seeds count up from its seed.
        cache: of the features and of finished runs; a protocol that was stopped goes on.
        methods: what to train, by name.
        completeness: shares of complete training samples; None takes 1.0, 0.5 and 0.1, or 1.0
            alone where no training sample is complete.
        seeds: how many.
        workers: trainings at a time; None takes one a core.

    Raises:
        UsageError: a data set with faults, or a split without samples.
        ArtefactMismatch: a damaged cache.
        InputUnusable: no sample of a split can be used.
    """
    dataset = rows.read(config)
    features = {
        split: _features(dataset, split, backbone, config, cache)
        for split in dict.fromkeys(("train", "valid", rows.split))
    }
    train = features["train"]
    if completeness is None:
        complete = bool((train.has_text & train.has_video).any())
        completeness = COMPLETENESS if complete else (1.0,)
    runs = [
        Run(method, float(share), config.seed + seed)
        for share in completeness
        for method in methods
        for seed in range(seeds)
    ]
    records = run_protocol(
        Material(features, config, methods, rows.split),
        runs,
        identity=f"{dataset.sha256} {backbone.fingerprint}",
        folder=cache / "protocol",
        workers=workers,
    )
    subject = {
        "kind": "method",
        "backbone": {"name": backbone.config.name, "fingerprint": backbone.fingerprint},
        "methods": {name: method.title for name, method in methods.items()},
        "training_samples": _counts(train),
    }
    return _evaluation(subject, config, rows, dataset, features[rows.split], records)


def _features(
    dataset: DataSet, split: str, backbone: Backbone, config: Config, cache: Path
) -> Features:
    """Return the features of one split; InputUnusable where nothing of it can be used."""
    samples = [sample for sample in dataset.samples if sample.split == split]
    found = compute_features(samples, backbone, config, cache=cache)
    _require(found, split)
    return found


def _require(features: Features, split: str) -> None:
    if not features.samples:
        first = features.problems[0]
        raise InputUnusable(
            f"no {split} sample can be used; the first: {first.message}", reason=first.reason
        )


def _traced(
    trace: Trace, samples: Sequence[Sample], config: Config
) -> tuple[Features, Predictions]:
    """Run every sample; an unusable clip counts as missing, as it does in `compute_features`."""
    problems: list[InputProblem] = []
    kept: list[Sample] = []
    traces: list[Mapping[str, Mapping[str, NDArray[np.generic]]]] = []
    for sample in counted(samples, len(samples), "samples", _log):
        frames = None
        if sample.video is not None:
            try:
                check_length(sample.video, seconds(sample.video), config)
                clip = read_frames(sample.video, config.frames)
            except InputUnusable as problem:
                path = str(sample.video)
                problems.append(InputProblem(sample.id, path, problem.reason, str(problem)))
            else:
                frames = [np.asarray(frame) for frame in clip.frames]
        if sample.text is not None or frames is not None:
            traces.append(trace(sample.text, frames))
            kept.append(sample)

    def column(engine_set: str, tensor: str, width: int) -> NDArray[np.float32]:
        rows = np.full((len(kept), width), np.nan, np.float32)
        for row, sets in zip(rows, traces, strict=True):
            if tensor in sets.get(engine_set, {}):
                row[:] = sets[engine_set][tensor][0]
        return rows

    vectors = [sets.get("text", {}).get("text_vector") for sets in traces]
    clips = [sets.get("video", {}).get("frame_vectors") for sets in traces]
    features = Features.of(kept, [None if v is None else v[0] for v in vectors], clips, problems)
    _require(features, samples[0].split)
    outputs, d = config.outputs, features.size
    return features, Predictions(
        text=column("text", "prediction", outputs),
        video=column("video", "prediction", outputs),
        both=column("text_video", "prediction", outputs),
        virtual_text=column("video", "virtual_text", d),
        virtual_video=column("text", "virtual_video", d),
        real_text=column("text", "text_vector", d),
    )


def _run(name: str, predictions: Predictions, features: Features, config: Config) -> dict[str, Any]:
    """Return the record of one model that is there already."""
    return {
        "method": name,
        "completeness": 1.0,
        "seed": config.seed,
        "training": {},
        "cases": score_cases(predictions, features, config),
        "retrieval": score_retrieval(predictions, features),
    }


def _evaluation(
    subject: dict[str, Any],
    config: Config,
    rows: Rows,
    dataset: DataSet,
    features: Features,
    runs: list[dict[str, Any]],
) -> Evaluation:
    targets = np.array([s.target for s in dataset.samples if s.split == "train"])
    problems = [*dataset.problems, *features.problems]
    return Evaluation(
        subject=subject,
        config=config,
        data={
            "name": rows.path.stem,
            "format": rows.format,
            "sha256": dataset.sha256,
            "split": rows.split,
            "samples": _counts(features),
        },
        problems=[asdict(problem) for problem in problems],
        floors=floors(targets, features, config),
        runs=runs,
        versions={name: metadata.version(name) for name in _PACKAGES},
    )


def _counts(features: Features) -> dict[str, int]:
    text, video = features.has_text, features.has_video
    return {
        "text_video": int((text & video).sum()),
        "text": int((text & ~video).sum()),
        "video": int((video & ~text).sum()),
    }
