"""How an answer reads, and when two are the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trml_rt.answer import Answer, InputReport, Reason


@pytest.fixture
def score():
    return Answer(
        label="positive",
        score=0.7634,
        inputs={
            "text": InputReport("real", tokens=5),
            "video": InputReport("virtual", Reason.NOT_GIVEN),
        },
        engine_set="text",
        backend="onnxruntime",
        engines="portable",
        verified=True,
        ms={"total": 4.2},
    )


@pytest.fixture
def classes(score):
    probabilities = {"neg": 0.3107, "neu": 0.3288, "pos": 0.3606}
    return replace(score, label="pos", score=0.3606, probabilities=probabilities)


def test_a_score_is_shown_with_its_sign(score):
    assert str(score) == "positive  +0.763"


def test_a_class_is_shown_with_its_probability_and_those_of_the_others_most_likely_first(classes):
    assert str(classes) == "pos  36.1 %  (neu 32.9 %, neg 31.1 %)"


def test_a_class_without_another_stands_alone(classes):
    assert str(replace(classes, score=1.0, probabilities={"pos": 1.0})) == "pos  100.0 %"
