from __future__ import annotations

import csv
import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trml_export.config import Config
from trml_export.data import Sample
from trml_export.evaluation import CheckpointSubject, DataSplit, evaluate
from trml_export.evaluation.predictions import Predictions
from trml_export.evaluation.rows import confusion_csv, predictions_csv, row_answers
from trml_export.features.features import Features

NONE = np.full((2, 1), np.nan, np.float32)


def _features(*targets):
    samples = [Sample(f"s{i}", "test", "text", None, target) for i, target in enumerate(targets)]
    return Features.of(samples, [np.ones(4, np.float32)] * len(samples), [None] * len(samples))


def _predictions(text):
    return Predictions(
        **{name: NONE for name in ("video", "both", "virtual_text", "virtual_video", "real_text")},
        text=np.array(text, np.float32),
    )


def test_every_row_has_its_score_and_its_labels_in_the_cases_that_it_allows():
    records = row_answers(_predictions([[0.2], [-1.5]]), _features(0.5, -1.0), Config())
    assert records[0] == {
        "id": "s0",
        "case": "text",
        "true": "positive",
        "chosen": "neutral",
        "target": 0.5,
        "score": pytest.approx(0.2),
    }
    assert [record["id"] for record in records] == ["s0", "s1"]


def test_a_class_comes_with_its_chance():
    config = Config(task="classification", labels=("a", "b"))
    logits = np.log([[0.25, 0.75], [0.9, 0.1]])
    records = row_answers(_predictions(logits), _features(0, 0), config)
    assert [(r["true"], r["chosen"]) for r in records] == [("a", "b"), ("a", "a")]
    assert [r["score"] for r in records] == pytest.approx([0.75, 0.9])


def _rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_worst_rows_come_first():
    records = row_answers(_predictions([[0.4], [2.0]]), _features(0.5, -1.0), Config())
    assert [row["id"] for row in _rows(predictions_csv(records))] == ["s1", "s0"]


def test_of_classes_the_surest_wrong_answer_comes_first():
    config = Config(task="classification", labels=("a", "b"))
    logits = np.log([[0.6, 0.4], [0.4, 0.6], [0.1, 0.9]])
    features, predictions = _features(0, 0, 0), _predictions(logits)
    none = {name: np.full((3, 1), np.nan, np.float32) for name in ("video", "both")}
    records = row_answers(Predictions(**{**vars(predictions), **none}), features, config)
    assert [row["id"] for row in _rows(predictions_csv(records))] == ["s2", "s1", "s0"]
    assert _rows(confusion_csv(records, config.labels)) == [
        {"case": "text", "true": "a", "a": "1", "b": "2"},
        {"case": "text", "true": "b", "a": "0", "b": "0"},
    ]


def test_the_report_of_a_model_counts_every_row_of_the_split(checkpoint, data, cache, tmp_path):
    out = tmp_path / "out"
    evaluation = evaluate(CheckpointSubject(checkpoint, cache), DataSplit(data), out=out)
    predicted = _rows((out / "predictions.csv").read_text())
    counted = _rows((out / "confusion.csv").read_text())
    samples = evaluation.data["samples"]
    for case, others in (("text_video", 0), ("text", samples["text"]), ("video", samples["video"])):
        rows = samples["text_video"] + others
        assert sum(row["case"] == case for row in predicted) == rows
        of_case = [row for row in counted if row["case"] == case]
        assert sum(int(row[each]) for row in of_case for each in evaluation.config.labels) == rows
