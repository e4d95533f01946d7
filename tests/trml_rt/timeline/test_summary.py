"""What follows from all rows: weighted means, swings, shares of time."""

from __future__ import annotations

import pytest

from trml_rt.bundle.manifest import Task
from trml_rt.timeline.result import TimelineRow
from trml_rt.timeline.summary import mean_of, periods_of, shares_of, swings_of

SCORES = Task.model_validate(
    {
        "kind": "regression",
        "range": [-1.0, 1.0],
        "labels": ["negative", "positive"],
        "thresholds": [0.0],
    }
)
CLASSES = Task.model_validate({"kind": "classification", "labels": ["sad", "glad"]})


def row(start, end, score, presence="video"):
    label = None if score is None else "positive" if score >= 0 else "negative"
    return TimelineRow(start, end, None, score, label, None, presence, {}, 0)


def of_classes(start, end, sad):
    named = {"sad": sad, "glad": 1 - sad}
    label = max(named, key=named.get)
    return TimelineRow(start, end, None, named[label], label, named, "text", {}, 0)


ROWS = [row(0, 1, 1.0), row(1, 4, -1.0, "text"), row(4, 6, None, "none"), row(6, 8, 0.5)]


def test_the_mean_is_weighted_by_time_and_leaves_out_what_has_no_answer():
    overall = mean_of(ROWS, 0, 8, SCORES)
    assert overall.score == pytest.approx((1 - 3 + 1) / 6)
    assert overall.label == "negative"


def test_the_mean_of_classes_is_that_of_their_probabilities():
    overall = mean_of([of_classes(0, 1, 0.9), of_classes(1, 4, 0.3)], 0, 4, CLASSES)
    assert overall.probabilities == pytest.approx({"sad": 0.45, "glad": 0.55})
    assert (overall.label, overall.score) == ("glad", pytest.approx(0.55))


def test_each_quarter_has_the_mean_of_what_lies_in_it():
    periods = periods_of(ROWS, SCORES)
    assert [(p.start, p.end, p.score) for p in periods] == [
        (0, 2, 0.0),
        (2, 4, -1.0),
        (4, 6, None),
        (6, 8, 0.5),
    ]


def test_the_largest_swings_come_first_and_tell_whether_the_inputs_changed():
    swings = swings_of(ROWS)
    assert [(s.t, s.change, s.labels, s.presence) for s in swings] == [
        (1, -2.0, ("positive", "negative"), ("video", "text")),
        (6, 1.5, ("negative", "positive"), ("text", "video")),
    ]
    many = [row(n, n + 1, (-1) ** n * n / 10) for n in range(10)]
    assert [s.t for s in swings_of(many)] == [9, 8, 7, 6, 5]
    assert swings_of([row(0, 1, 0.5), row(1, 2, 0.5)]) == ()


def test_a_swing_of_classes_is_the_probability_that_moved():
    [swing] = swings_of([of_classes(0, 1, 0.9), of_classes(1, 2, 0.3)])
    assert (swing.change, swing.labels) == (pytest.approx(0.6), ("sad", "glad"))


def test_shares_of_time_are_by_presence():
    assert shares_of(ROWS) == {"none": 0.25, "text": 0.375, "video": 0.375}
