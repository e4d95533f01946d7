"""Measure whether a model is as sure as it is right, and surer with fewer inputs than with both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from trml_export.config import Config
from trml_export.evaluation.predictions import Predictions
from trml_export.evaluation.statistic import Statistic, table
from trml_export.features.features import Features

if TYPE_CHECKING:
    from trml_export.evaluation.record import Evaluation

__all__ = ["calibration_error", "confidence_table", "score_confidence"]

_BINS = 10
_CASES = {"text_video": "text + video", "text": "text", "video": "video"}
_TITLES = {
    "error": "calibration error",
    "surer": "surer than with both",
    "reach": "reach",
    "within": "true scores within it",
}


def score_confidence(
    predictions: Predictions, features: Features, config: Config
) -> dict[str, dict[str, float]]:
    """Return by presence case what is measured of its confidence, on the rows that allow the case.

    Of classes it is the `error` (`calibration_error`), and of one input `surer`: the share of the
    complete rows whose answer is surer than the answer to both. Of scores it is the `reach` that
    the model learned, and the share of true scores `within` it. A case is left out where no row
    allows it, or no reach was learned.
    """
    truth = np.array([sample.target for sample in features.samples])
    measured: dict[str, dict[str, float]] = {}
    sure = {}
    by_case = {
        "text_video": predictions.both,
        "text": predictions.text,
        "video": predictions.video,
    }
    for case, answers in by_case.items():
        rows = ~np.isnan(answers).any(axis=1)
        if not rows.any():
            continue
        if config.task == "regression":
            reach = predictions.reach.get(case)
            if reach is not None and np.isfinite(reach):
                errors = np.abs(answers[rows, 0] - truth[rows])
                measured[case] = {"reach": reach, "within": float((errors <= reach).mean())}
            continue
        chances = softmax(answers, axis=1)  # NaN where the row lacks an input
        sure[case] = chances.max(axis=1)
        right = answers[rows].argmax(axis=1) == truth[rows]
        measured[case] = {"error": calibration_error(sure[case][rows], right)}
    complete = features.has_text & features.has_video
    if "text_video" in sure and complete.any():
        for case in sure.keys() - {"text_video"}:
            surer = sure[case][complete] > sure["text_video"][complete]
            measured[case]["surer"] = float(surer.mean())
    return measured


def calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error of answers (rows,): 0 is as sure as right.

    It is the mean over rows of the distance between confidence and share of right answers in ten
    bins of confidence (Naeini et al. 2015).
    """
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    error = 0.0
    for number in np.unique(bins):
        inside = bins == number
        error += abs(float(confidence[inside].sum()) - float(right[inside].sum()))
    return error / len(confidence)


def confidence_table(evaluation: Evaluation, completeness: float) -> Iterator[str]:
    """Yield a table of what `score_confidence` measured in each case, if any run has it."""
    runs = [run for run in evaluation.runs if run["completeness"] == completeness]
    columns = [
        (name, case)
        for name in _TITLES
        for case in _CASES
        if any(name in run.get("confidence", {}).get(case, {}) for run in runs)
    ]
    if not columns:
        return
    lines = [["confidence", *(f"{_TITLES[name]}, {_CASES[case]}" for name, case in columns)]]
    lines.append(["---"] * (len(columns) + 1))
    for method in evaluation.methods:
        of_runs = [run.get("confidence", {}) for run in runs if run["method"] == method]
        cells = []
        for name, case in columns:
            values = [each[case][name] for each in of_runs if name in each.get(case, {})]
            cells.append(str(Statistic.of(values)) if values else "-")
        lines.append([evaluation.title(method), *cells])
    yield table(lines)
