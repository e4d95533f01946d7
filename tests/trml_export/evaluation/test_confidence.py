from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trml_export.config import Config
from trml_export.data import Sample
from trml_export.evaluation.confidence import calibration_error, score_confidence
from trml_export.evaluation.predictions import Predictions
from trml_export.features.features import Features

TWO = Config(task="classification", labels=("a", "b"))


def _predictions(text, video, both, **more) -> Predictions:
    """Predictions with the given answers and no vectors."""
    answers = [np.array(part, np.float32) for part in (text, video, both)]
    return Predictions(*answers, *[np.zeros((len(text), 1), np.float32)] * 3, **more)


def _chances(*first: float) -> list[list[float]]:
    """Logits of two classes, the first with the given probabilities."""
    return [[np.log(chance), np.log(1 - chance)] for chance in first]


def _features(targets, lacking=()) -> Features:
    """Features of one number; rows of `lacking` have no video."""
    samples = [Sample(str(i), "test", f"t{i}", None, target) for i, target in enumerate(targets)]
    one = np.ones(1, np.float32)
    clips = [None if i in lacking else one[np.newaxis] for i in range(len(samples))]
    return Features.of(samples, [one] * len(samples), clips)


def test_an_answer_that_is_as_often_right_as_it_is_sure_has_no_error():
    sure = np.array([0.8] * 5 + [0.6] * 5)
    right = np.array([1, 1, 1, 1, 0, 1, 1, 1, 0, 0], bool)
    assert calibration_error(sure, right) == pytest.approx(0)


def test_the_error_is_the_mean_distance_of_the_bins():
    sure = np.array([0.95, 0.95, 1.0, 0.55])
    right = np.array([True, False, False, True])
    assert calibration_error(sure, right) == pytest.approx((2.9 - 1 + 0.45) / 4)


def test_rows_that_are_surer_of_one_input_than_of_both_are_counted():
    text, video, both = _chances(0.9, 0.9, 0.6), _chances(0.2, 0.6, 0.6), _chances(0.7, 0.95, 0.6)
    measured = score_confidence(_predictions(text, video, both), _features([0, 0, 0]), TWO)
    assert measured["text"]["surer"] == pytest.approx(1 / 3)
    assert measured["video"]["surer"] == pytest.approx(1 / 3)
    assert "surer" not in measured["text_video"]


def test_a_row_that_lacks_an_input_has_no_part_in_what_it_lacks():
    nothing = [[np.nan, np.nan]]
    text = _chances(0.9, 0.9)
    video, both = _chances(0.9) + nothing, _chances(0.99) + nothing
    features = _features([0, 1], lacking=[1])
    measured = score_confidence(_predictions(text, video, both), features, TWO)
    assert measured["text"] == {"error": pytest.approx(0.4), "surer": 0.0}
    assert measured["video"] == {"error": pytest.approx(0.1), "surer": 0.0}


def test_scores_within_their_reach_are_counted():
    answers = [[0.0], [0.0], [0.0], [0.0]]
    reach = {"text": 1.0, "video": 3.0, "text_video": float("inf")}
    predictions = _predictions(answers, answers, answers, reach=reach)
    measured = score_confidence(predictions, _features([0.5, -1.0, 1.5, 2.5]), Config())
    assert measured == {
        "text": {"reach": 1.0, "within": 0.5},
        "video": {"reach": 3.0, "within": 1.0},
    }


def test_the_table_has_mean_and_deviation_over_seeds_of_each_case(protocol):
    runs = json.loads(json.dumps(protocol.runs))
    for run in runs:
        within = 0.9 + run["seed"] / 50
        run["confidence"] = {"text": {"reach": 0.5, "within": within}} if run["seed"] else {}
    text = replace(protocol, runs=runs).to_markdown()
    assert "| confidence | reach, text | true scores within it, text |" in text
    assert "| TRML | 0.5000 | 0.9200 |" in text


def test_a_record_without_confidence_is_read_and_has_no_table(protocol):
    runs = json.loads(json.dumps(protocol.runs))
    for run in runs:
        del run["confidence"]
    assert "| confidence |" not in replace(protocol, runs=runs).to_markdown()
