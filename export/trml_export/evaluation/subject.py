"""Evaluate a subject on one split, and put the numbers of any subject into one record.

A subject is a trained checkpoint, a bundle on a runtime, or the method itself. All end in the same
predictions, cases and metrics, so their numbers may be subtracted. A bundle's from its
checkpoint's is the loss of export and precision, in task points.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trml_export.config import Config
from trml_export.data import DataSet
from trml_export.evaluation.confidence import score_confidence
from trml_export.evaluation.predictions import Predictions
from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.report import check_report_target, write_report
from trml_export.evaluation.scoring import floors, score_cases, score_lengths, score_retrieval
from trml_export.evaluation.split import DataSplit
from trml_export.features.features import Features

__all__ = ["Subject", "assemble", "count_inputs", "evaluate", "model_run"]

_log = logging.getLogger(__name__)

_PACKAGES = ("trml-rt", "torch", "onnxruntime", "scikit-learn", "numpy")


class Subject(Protocol):
    """What can be evaluated."""

    def evaluate(self, split: DataSplit) -> Evaluation:
        """Return all that is measured on `split`."""
        ...


def evaluate(
    subject: Subject, split: DataSplit, *, out: Path | None = None, force: bool = False
) -> Evaluation:
    """Evaluate on every combination of present modalities and at every missing rate.

    Args:
        subject: a `CheckpointSubject`, a `BundleSubject` or a `MethodSubject`.
        split: what to evaluate on.
        out: folder for the report (`write_report`); None writes none.
        force: replace an earlier report.

    Raises:
        UsageError: a data set with faults, a split without samples, or `out` exists.
        ArtefactMismatch: the subject, or the feature cache, is damaged.
        EnvironmentUnfit: `out` or the cache cannot be written.
        InputUnusable: no sample of the split can be used.
    """
    if out is not None:
        check_report_target(out, force=force)  # before hours of work, not after
    evaluation = subject.evaluate(split)
    if out is not None:
        write_report(evaluation, out, force=force)
    return evaluation


def model_run(
    name: str, predictions: Predictions, features: Features, config: Config
) -> dict[str, Any]:
    """Return the record of one model that was trained elsewhere, under the method `name`."""
    return {
        "method": name,
        "completeness": 1.0,
        "seed": config.seed,
        "training": {},
        "cases": score_cases(predictions, features, config, intervals=True),
        "retrieval": score_retrieval(predictions, features),
        "lengths": score_lengths(predictions),
        "confidence": score_confidence(predictions, features, config),
    }


def assemble(
    subject: dict[str, Any],
    config: Config,
    split: DataSplit,
    dataset: DataSet,
    features: Features,
    runs: list[dict[str, Any]],
    rows: list[dict[str, Any]] | None = None,
) -> Evaluation:
    """Return the evaluation of a subject.

    Args:
        subject: its description, which the record carries.
        config: the task, and what else the subject was made with.
        split: what was evaluated on.
        dataset: the whole data set; the floors learn from its training targets, if it has any.
        features: of the split.
        runs: one record a run.
        rows: the answers of a single model; see `rows.row_answers`.
    """
    targets = np.array([s.target for s in dataset.samples if s.split == "train"])
    if not len(targets):
        _log.warning("%s: has no training samples, so there are no floors", split.path)
    problems = [*dataset.problems, *features.problems]
    return Evaluation(
        subject=subject,
        config=config,
        data={
            "name": split.path.stem,
            "format": split.layout,
            "sha256": dataset.sha256,
            "split": split.name,
            "samples": count_inputs(features),
        },
        problems=[asdict(problem) for problem in problems],
        floors=floors(targets, features, config) if len(targets) else {},
        runs=runs,
        versions={name: metadata.version(name) for name in _PACKAGES},
        rows=rows or [],
    )


def count_inputs(features: Features) -> dict[str, int]:
    """Return how many samples have both inputs, text alone and video alone."""
    text, video = features.has_text, features.has_video
    return {
        "text_video": int((text & video).sum()),
        "text": int((text & ~video).sum()),
        "video": int((video & ~text).sum()),
    }
