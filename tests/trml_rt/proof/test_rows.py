"""Rows of a data set in every layout, for calibration and verification."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import trml_rt
from tests.layouts import make_meld, make_mmsa
from trml_export.data.meld import EMOTIONS
from trml_rt.bundle.manifest import Task
from trml_rt.cli import trml_rt as program
from trml_rt.errors import UsageError
from trml_rt.proof.rows import read_data

REGRESSION = Task(kind="regression", labels=["bad", "good"], range=[-3, 3], thresholds=[0])
CLASSES = Task(kind="classification", labels=["anger", "joy"])


@pytest.mark.parametrize(
    ("task", "target", "words"),
    [
        (REGRESSION, {"score": 99}, "score 99.0 is outside of the bundle's range, -3 to 3"),
        (CLASSES, {"label": "bliss"}, "label must be one of anger, joy"),
    ],
)
def test_a_target_that_the_bundle_cannot_give_is_refused(tmp_path, task, target, words):
    row = {"id": "a", "split": "train", "text": "x", **target}
    (tmp_path / "data.jsonl").write_text(json.dumps(row))
    with pytest.raises(UsageError, match=f"line 1: {words}"):
        read_data(tmp_path, task, layout="jsonl", split="train")


def test_rows_need_no_target_and_a_folder_stands_for_its_file(tmp_path):
    row = {"id": "a", "split": "train", "text": "x"}
    (tmp_path / "data.jsonl").write_text(json.dumps(row))
    for task in (REGRESSION, CLASSES):
        [read] = read_data(tmp_path, task, layout="jsonl", split="train").rows
        assert (read.score, read.label) == (None, None)


@pytest.mark.parametrize(
    ("task", "target", "words"),
    [
        (REGRESSION, {"label": "joy"}, ["labels of rows are not used: this bundle gives scores"]),
        (CLASSES, {"score": 1.0}, ["scores of rows are not used: this bundle gives labels"]),
        (REGRESSION, {"score": 1.0}, []),
    ],
)
def test_targets_that_are_not_used_are_told(tmp_path, caplog, task, target, words):
    row = {"id": "a", "split": "train", "text": "x", **target}
    (tmp_path / "data.jsonl").write_text(json.dumps(row))
    read_data(tmp_path, task, layout="jsonl", split="train")
    assert caplog.messages == words


def test_an_unknown_layout_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no layout 'csv'; choose jsonl, mmsa, meld"):
        read_data(tmp_path, CLASSES, layout="csv", split="train")


def test_mosi_as_mmsa_has_it_gives_scores(tmp_path, caplog):
    with caplog.at_level("INFO", "trml_rt"):
        found = read_data(make_mmsa(tmp_path / "MOSI"), REGRESSION, layout="mmsa", split="train")
    scores = {r.id: (r.score, r.label, r.video is None) for r in found.rows}
    assert scores["-3g5yACwYnA$_$1"] == (2.4, None, False)
    assert scores["-3g5yACwYnA$_$0010"] == (1.0, None, True)  # its clip is gone, its text is not
    assert "left out: -3g5yACwYnA$_$0010: " in caplog.text


def targets(data, task, layout, split="train"):
    return [(r.label, r.score) for r in read_data(data, task, layout=layout, split=split).rows]


def test_meld_gives_the_labels_that_the_bundle_knows(tmp_path):
    data = make_meld(tmp_path / "MELD")
    emotions = Task(kind="classification", labels=list(EMOTIONS))
    sentiments = Task(kind="classification", labels=["negative", "neutral", "positive"])
    assert targets(data, emotions, "meld") == [
        ("surprise", None),
        ("neutral", None),
        ("anger", None),
    ]
    assert targets(data, sentiments, "meld") == [
        ("positive", None),
        ("neutral", None),
        ("negative", None),
    ]
    rows = read_data(data, emotions, layout="meld", split="test").rows
    assert {(r.split, r.label) for r in rows} == {
        ("test", "fear"),
        ("test", "disgust"),
        ("test", "neutral"),
    }


def test_meld_serves_a_bundle_of_scores_with_its_inputs_alone(tmp_path):
    assert set(targets(make_meld(tmp_path / "MELD"), REGRESSION, "meld")) == {(None, None)}


def test_mosi_gives_labels_to_a_bundle_of_classes(tmp_path):
    data = make_mmsa(tmp_path / "MOSI")
    sentiments = Task(kind="classification", labels=["negative", "neutral", "positive"])
    assert targets(data, sentiments, "mmsa") == [
        ("positive", None),
        ("negative", None),
        ("positive", None),
        ("negative", None),
    ]


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (
            Task(kind="regression", labels=["bad", "good"], range=[-1, 1], thresholds=[0]),
            "label 2.4 is outside of score_range, -1 to 1",
        ),
        (CLASSES, "annotation 'Positive' is none of anger, joy"),
    ],
)
def test_a_target_of_a_layout_that_the_bundle_cannot_give_is_refused(tmp_path, task, words):
    with pytest.raises(UsageError, match=words):
        read_data(make_mmsa(tmp_path / "MOSI"), task, layout="mmsa", split="train")


def test_a_task_that_training_does_not_know_is_refused_in_a_sentence(tmp_path):
    one_class = Task(kind="classification", labels=["joy"])
    with pytest.raises(UsageError, match="the bundle's task: classification needs two labels"):
        read_data(make_mmsa(tmp_path / "MOSI"), one_class, layout="mmsa", split="train")


def test_engines_are_verified_on_a_data_set_as_it_is_distributed(edit_manifest, tmp_path):
    bundle = edit_manifest(lambda content: content["task"].update(range=[-3.0, 3.0]))
    make_mmsa(tmp_path / "MOSI")
    trml_rt.build(bundle)
    words = ["verify", "--bundle", bundle, "--precision", "fp32", "--split", "train"]
    words += ["--data", tmp_path / "MOSI", "--format", "mmsa", "--json"]
    result = CliRunner().invoke(program, list(map(str, words)))
    assert result.exit_code == 0, result.stderr
    assert "left out: -3g5yACwYnA$_$2: " in result.stderr
    sets = json.loads(result.stdout)["engine_sets"]
    assert {name: found["fp32"]["rows"] for name, found in sets.items()} == {
        "text": 3,  # two with their clip, one without; the broken clip's row is left out
        "video": 2,
        "text_video": 2,
    }
    assert sets["text"]["fp32"]["accuracy"]["rows"] == 3
