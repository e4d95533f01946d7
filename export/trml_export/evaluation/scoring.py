"""Bring predictions into the numbers of the protocol: every case, every metric, the floors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_export.config import Config
from trml_export.evaluation.intervals import bootstrap
from trml_export.evaluation.masks import BOTH, CASES, TEXT, VIDEO, presence
from trml_export.evaluation.metrics import measure
from trml_export.evaluation.predictions import Predictions
from trml_export.evaluation.retrieval import retrieval
from trml_export.features.features import Features

__all__ = ["floors", "score_cases", "score_lengths", "score_retrieval", "truth_of"]


def truth_of(features: Features) -> NDArray[np.generic]:
    """Return the targets (samples,): scores, or class numbers."""
    return np.array([sample.target for sample in features.samples])


def score_cases(
    predictions: Predictions, features: Features, config: Config, *, intervals: bool = False
) -> list[dict[str, Any]]:
    """Return one record a case: its name, kind, rate, number of samples, and every metric.

    `as_is` covers every sample with the modalities it has. The cases of the protocol take
    modalities away from the complete samples, so all of them cover the same samples. They
    are left out if no sample is complete. With `intervals` a record has the `interval` of the
    main metric, too; see `bootstrap`.
    """

    def measured(
        truth: NDArray[np.generic], prediction: NDArray[np.floating]
    ) -> dict[str, float | list[float]]:
        interval = {"interval": bootstrap(config, truth, prediction)} if intervals else {}
        return {**measure(config, truth, prediction), **interval}

    truth = truth_of(features)
    natural = (TEXT * features.has_text + VIDEO * features.has_video).astype(np.int8)
    records = [
        {
            "case": "as_is",
            "kind": "as_is",
            "rate": None,
            "samples": len(truth),
            **measured(truth, predictions.at(natural)),
        }
    ]
    complete = natural == BOTH
    if not complete.any():
        return records
    ids = [sample.id for sample, whole in zip(features.samples, complete, strict=True) if whole]
    for case in CASES:
        keeps = natural.copy()
        keeps[complete] = presence(ids, case)
        metrics = measured(truth[complete], predictions.at(keeps)[complete])
        records.append(
            {
                "case": case.name,
                "kind": case.kind,
                "rate": case.rate,
                "samples": int(complete.sum()),
                **metrics,
            }
        )
    return records


def score_retrieval(predictions: Predictions, features: Features) -> dict[str, dict[str, float]]:
    """Return the retrieval over the complete samples, for each direction with real vectors.

    Texts of equal words are one candidate, and clips of equal content are one.
    """
    complete = features.has_text & features.has_video
    truth = truth_of(features)[complete]
    scores = {
        "video_to_text": retrieval(
            predictions.virtual_text[complete],
            predictions.real_text[complete],
            features.text_rows[complete].tolist(),
            truth,
        )
    }
    if predictions.real_video is not None:
        scores["text_to_video"] = retrieval(
            predictions.virtual_video[complete],
            predictions.real_video[complete],
            features.clip_starts[complete].tolist(),
            truth,
        )
    return scores


def score_lengths(predictions: Predictions) -> dict[str, float]:
    """Return the mean length of each kind of vector that the head takes, where there is one.

    Where virtual vectors are several times as long as real ones, the head hears no real input
    beside them.
    """
    vectors = {
        name: getattr(predictions, name)
        for name in ("real_text", "real_video", "virtual_text", "virtual_video")
    }
    lengths = {
        name: np.linalg.norm(rows[~np.isnan(rows).any(axis=1)], axis=1)
        for name, rows in vectors.items()
        if rows is not None
    }
    return {name: float(each.mean()) for name, each in lengths.items() if len(each)}


def floors(
    targets: NDArray[np.generic], test: Features, config: Config
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the metrics of answers that look at no input: what the training targets suggest.

    For scores these are always the mean, and always the median; for classes, always the
    commonest. Each is measured over all samples of `test` ("as_is"), and over the complete ones
    if there are any ("complete"). `targets` (samples,) are those of the training split.
    """
    truth = truth_of(test)
    parts = {"as_is": np.ones(len(truth), bool), "complete": test.has_text & test.has_video}
    if config.task == "regression":
        answers = {"training_mean": targets.mean(), "training_median": np.median(targets)}
        predictions = {name: np.full((len(truth), 1), value) for name, value in answers.items()}
    else:
        commonest = np.bincount(targets.astype(int), minlength=len(config.labels)).argmax()
        predictions = {"majority": np.tile(np.eye(len(config.labels))[commonest], (len(truth), 1))}
    return {
        name: {
            part: measure(config, truth[rows], values[rows])
            for part, rows in parts.items()
            if rows.any()
        }
        for name, values in predictions.items()
    }
