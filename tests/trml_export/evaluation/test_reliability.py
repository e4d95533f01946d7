from __future__ import annotations

import csv
import io

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from tests.pictures import words_of
from trml_export.config import Config
from trml_export.evaluation import CheckpointSubject, DataSplit, evaluate
from trml_export.evaluation.reliability import (
    Bin,
    reliability,
    reliability_csv,
    reliability_picture,
)

CLASSES = Config(task="classification", labels=("a", "b"))


def chosen(score, *, right, case="text"):
    label = "a" if right else "b"
    return {"case": case, "true": "a", "chosen": label, "target": None, "score": score}


def scored(score, target):
    return {"case": "video", "true": "x", "chosen": "x", "target": target, "score": score}


def test_a_bin_has_the_mean_chance_and_the_share_of_right_answers():
    records = [chosen(0.91, right=True), chosen(0.95, right=False), chosen(0.55, right=True)]
    assert reliability(records, CLASSES) == [
        Bin("text", 0.5, pytest.approx(0.6), 1, pytest.approx(0.55), 1.0),
        Bin("text", 0.9, 1.0, 2, pytest.approx(0.93), 0.5),
    ]


def test_a_chance_of_one_is_in_the_last_bin():
    [last] = reliability([chosen(1.0, right=True)], CLASSES)
    assert (last.low, last.high) == (0.9, 1.0)


def test_a_score_is_held_against_the_target_and_clipped_to_its_range():
    [low, high] = reliability([scored(9.0, 2.0), scored(-2.9, -1.0)], Config())
    assert (low.low, low.said, low.true) == (-3.0, -2.9, -1.0)
    assert (high.high, high.said, high.true) == (3.0, 3.0, 2.0)


def test_cases_come_in_the_order_of_every_table():
    records = [chosen(0.7, right=True, case=case) for case in ("video", "text_video", "text")]
    assert [each.case for each in reliability(records, CLASSES)] == ["text_video", "text", "video"]


def test_the_picture_says_how_far_a_model_is_from_the_diagonal():
    bins = reliability([chosen(0.9, right=False), chosen(0.8, right=True)], CLASSES)
    words = words_of(reliability_picture(bins, CLASSES, "a title")["svg"])
    assert {"a title", "text alone", "0.550 from the diagonal on average"} <= words
    assert {"share of right answers", "what the model says", "rows"} <= words


def test_the_report_of_a_model_has_every_row_in_one_bin(checkpoint, data, cache, tmp_path):
    evaluation = evaluate(
        CheckpointSubject(checkpoint, cache), DataSplit(data), out=tmp_path / "out"
    )
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "reliability.csv").read_text())))
    assert sum(int(line["rows"]) for line in lines) == len(evaluation.rows)
    assert reliability_csv(reliability(evaluation.rows, evaluation.config)).startswith("case,from,")
    assert (tmp_path / "out" / "reliability.png").read_bytes().startswith(b"\x89PNG")
