"""How an answer reads, and when two are the same."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from trml_rt.answer import Answer, InputReport, Reason, read_prediction
from trml_rt.bundle.manifest import Task


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


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_its_word_on_every_version_of_python(reason):
    assert str(reason) == f"{reason}" == reason.value


def test_an_input_says_what_became_of_it():
    assert str(InputReport("virtual", Reason.NOT_GIVEN)) == "virtual, not given"
    assert str(InputReport("real", frames=1, incomplete=True)) == "real, 1 frame, incomplete"
    assert str(InputReport("real", tokens=77, truncated=True)) == "real, 77 tokens, truncated"


def test_the_representation_is_short(score):
    assert repr(score) == "<Answer 'positive' 0.763: text real, video virtual>"


def test_json_is_that_of_the_dict_on_one_line(classes):
    assert json.loads(classes.to_json()) == classes.to_dict()
    assert "\n" not in classes.to_json()


def test_answers_that_say_the_same_are_equal_whatever_time_they_took(score):
    slower = replace(score, ms={"total": 99.0})
    assert slower == score
    assert len({slower, score}) == 1
    others = [replace(score, score=0.7), replace(score, inputs={}), replace(score, engines="x")]
    assert score not in others


def bars(answer):
    """Return left end and width of each bar, in percent."""
    page = ElementTree.fromstring(f"<div>{answer._repr_html_()}</div>")
    inner = [d for d in page.iter("div") if "margin-left" in d.get("style", "")]
    styles = [dict(part.split(":") for part in d.get("style").split(";")) for d in inner]
    return [tuple(float(s[name].rstrip("%")) for name in ("margin-left", "width")) for s in styles]


def test_a_notebook_shows_a_bar_for_each_class(classes):
    assert bars(classes) == [(0, 31.1), (0, 32.9), (0, 36.1)]


@pytest.mark.parametrize(
    ("value", "low_high", "bar"),
    [
        (0.5, (-1, 1), (50, 25)),
        (-0.5, (-1, 1), (25, 25)),
        (3.0, (1, 5), (0, 50)),
        (0.5, None, (0, 50)),
        (1.0, (1, 1), (0, 0)),
    ],
)
def test_a_notebook_shows_the_score_from_zero_in_its_range(score, value, low_high, bar):
    assert bars(replace(score, score=value, range=low_high)) == [bar]


def test_a_notebook_shows_what_was_virtual_and_why_and_what_was_not_verified(score):
    assert "virtual, not given" in score._repr_html_()
    assert "unverified" not in score._repr_html_()
    assert "(unverified)" in replace(score, verified=False)._repr_html_()


def test_names_are_no_markup_in_a_notebook_and_nothing_is_fetched(classes):
    evil = "<img src='http://a.example/'>"
    answer = replace(
        classes,
        label=evil,
        probabilities={evil: 1.0},
        inputs={evil: InputReport("real")},
        engine_set=evil,
        backend=evil,
        engines=evil,
    )
    page = answer._repr_html_()
    assert "<img" not in page
    assert {each.tag for each in ElementTree.fromstring(f"<a>{page}</a>").iter()} == {
        *("a", "b", "div", "p", "table", "td", "tr")
    }


def test_probabilities_have_the_same_bits_on_every_python():
    task = Task(kind="classification", labels=list("abcde"))
    prediction = np.array([0.0, -36.8, -36.8, -36.8, -36.8], np.float32)
    assert read_prediction(prediction, task)[1] == 1.0  # what is added one by one is rounded away
