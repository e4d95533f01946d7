"""Say what a model answered to every row in every presence case, and which labels it confuses."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_export.config import Config
from trml_export.evaluation.predictions import Predictions
from trml_export.features.features import Features

__all__ = ["CASES", "confusion_csv", "csv_text", "predictions_csv", "row_answers"]

CASES = ("text_video", "text", "video")
"""The presence cases of a row."""


def row_answers(
    predictions: Predictions, features: Features, config: Config
) -> list[dict[str, Any]]:
    """Return a record for each row and presence case that it allows.

    A record has the `id`, the `case`, the target and the answer as labels (`true`, `chosen`), and
    as scores (`target`, `score`). Of classes the score is the chance of the chosen one, and there
    is no target.
    """
    parts = (predictions.both, predictions.text, predictions.video)
    records = []
    for row, sample in enumerate(features.samples):
        for case, part in zip(CASES, parts, strict=True):
            if np.isnan(part[row]).any():
                continue
            records.append(
                {"id": sample.id, "case": case, **_answer(sample.target, part[row], config)}
            )
    return records


def _answer(target: float, values: NDArray[np.float32], config: Config) -> dict[str, Any]:
    if config.task == "regression":
        score = float(values[0])
        true, chosen = (
            config.labels[int(np.searchsorted(config.thresholds, each, side="right"))]
            for each in (target, score)
        )
        return {"true": true, "chosen": chosen, "target": target, "score": score}
    chances = np.exp(values - values.max())
    best = int(values.argmax())
    return {
        "true": config.labels[int(target)],
        "chosen": config.labels[best],
        "target": None,
        "score": float(chances[best] / chances.sum()),
    }


def predictions_csv(records: Sequence[dict[str, Any]]) -> str:
    """Return one line a row and case, those that are farthest from the truth first in each case.

    Scores are sorted by their error. Of classes, wrong answers come first, the surest at the top.
    """
    ordered = sorted(records, key=lambda each: (CASES.index(each["case"]), *_worst_first(each)))
    columns = ["case", "id", "true", "chosen", "target", "score"]
    return csv_text([columns, *([each[column] for column in columns] for each in ordered)])


def confusion_csv(records: Sequence[dict[str, Any]], labels: Sequence[str]) -> str:
    """Return a line for each case and true label, with a column for each label that was chosen."""
    counts = Counter((each["case"], each["true"], each["chosen"]) for each in records)
    cases = [case for case in CASES if any(each["case"] == case for each in records)]
    lines = [
        [case, true, *(counts[case, true, chosen] for chosen in labels)]
        for case in cases
        for true in labels
    ]
    return csv_text([["case", "true", *labels], *lines])


def _worst_first(record: dict[str, Any]) -> tuple[float, float]:
    if record["target"] is not None:
        return (-abs(record["score"] - record["target"]), 0.0)
    right = record["true"] == record["chosen"]
    return (float(right), record["score"] if right else -record["score"])


def csv_text(lines: Sequence[Sequence[Any]]) -> str:
    """Return lines of cells as CSV, floats with six digits."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([_shown(cell) for cell in line] for line in lines)
    return file.getvalue()


def _shown(cell: Any) -> Any:
    return f"{cell:.6g}" if isinstance(cell, float) else cell
