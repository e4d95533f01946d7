from __future__ import annotations

import json

import pytest

from trml_export.config import Config
from trml_export.data import read_dataset
from trml_rt.errors import UsageError

GOOD = [
    {"id": "a", "split": "train", "text": "hello", "score": 1},
    {"id": "b", "split": "valid", "text": "hello", "score": -2.5},
]


def _write(folder, *rows) -> object:
    path = folder / "data.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _refusal(folder, *rows, config: Config | None = None) -> str:
    with pytest.raises(UsageError) as refused:
        read_dataset(_write(folder, *rows), config or Config())
    return str(refused.value)


def test_a_row_becomes_a_sample(tmp_path):
    (tmp_path / "a.png").touch()
    row = {"id": "c", "split": "test", "text": None, "video": "a.png", "score": 2}
    sample = read_dataset(_write(tmp_path, *GOOD, row), Config()).samples[-1]
    assert (sample.id, sample.split, sample.text) == ("c", "test", None)
    assert (sample.video, sample.target) == (tmp_path / "a.png", 2.0)


def test_a_label_becomes_its_number(tmp_path):
    rows = [{**row, "label": "joy"} for row in GOOD]
    config = Config(task="classification", labels=("anger", "joy"))
    assert read_dataset(_write(tmp_path, *rows), config).samples[0].target == 1


def test_blank_lines_and_a_byte_order_mark_are_no_fault(tmp_path):
    path = tmp_path / "data.jsonl"
    lines = "\r\n\r\n".join(json.dumps(row) for row in GOOD)
    path.write_text("\ufeff" + lines + "\r\n", encoding="utf-8")
    assert len(read_dataset(path, Config()).samples) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": 1, "score": None}, "unknown key scores; did you mean score?"),
        ({"id": ""}, "id must be"),
        ({"id": 3}, "id must be"),
        ({"id": ["a"]}, "id must be"),
        ({"split": "eval"}, "split must be one of train, valid, test"),
        ({"text": None}, "neither text nor video"),
        ({"text": "  "}, "not blank"),
        ({"text": 5}, "not blank"),
        ({"text": "half \ud83d"}, "surrogate"),
        ({"video": "none.mp4"}, "none.mp4 does not exist"),
        ({"video": "x" * 5000}, "does not exist"),
        ({"video": "nul\0.mp4"}, "does not exist"),
        ({"video": 5}, "video must be a path"),
        ({"score": None}, "score must be a number"),
        ({"score": True}, "score must be a number"),
        ({"score": "1"}, "score must be a number"),
        ({"score": 3.0000001}, "score 3.0000001 is outside of score_range"),
    ],
)
def test_a_fault_of_a_row_is_named_with_its_line(tmp_path, change, message):
    refusal = _refusal(tmp_path, GOOD[1], {**GOOD[0], **change})
    assert "line 2: " in refusal
    assert message in refusal


@pytest.mark.parametrize("line", ["{", "[]", '{"id": NaN}', '{"id": "a", "id": "b"}'])
def test_a_line_that_is_no_plain_object_is_named(tmp_path, line):
    assert "line 3: not" in _refusal(tmp_path, *GOOD, line)


def test_an_unknown_label_is_refused_with_the_known_ones(tmp_path):
    config = Config(task="classification", labels=("anger", "joy"))
    rows = [{**row, "label": "bliss"} for row in GOOD]
    words = "line 1: label must be one of anger, joy, not 'bliss'; name others with --set 'labels="
    assert words in _refusal(tmp_path, *rows, config=config)


def test_labels_without_scores_say_which_task_they_are_of(tmp_path):
    rows = [{**row, "label": "joy", "score": None} for row in GOOD]
    assert "must be a number; for a model of labels pass --set task=class" in _refusal(
        tmp_path, *rows
    )


def test_an_infinite_score_is_refused(tmp_path):
    line = '{"id": "c", "split": "test", "text": "x", "score": 1e999}'
    assert "1e999 is too large" in _refusal(tmp_path, *GOOD, line)


def test_an_id_may_stand_once(tmp_path):
    assert "id 'a' stands twice, also in line 1" in _refusal(tmp_path, *GOOD, GOOD[0])


@pytest.mark.parametrize(("kept", "lacking"), [(0, "valid"), (1, "train")])
def test_training_needs_both_of_its_splits(tmp_path, kept, lacking):
    assert f"no sample has the split '{lacking}'" in _refusal(tmp_path, GOOD[kept])


def test_all_problems_stand_in_one_error(tmp_path):
    refusal = _refusal(tmp_path, *GOOD, {"id": "c", "vidoe": 1}, "{")
    for part in ("unknown key vidoe", "split must", "neither text", "score must", "line 4"):
        assert part in refusal


def test_more_than_twenty_problems_are_counted(tmp_path):
    refusal = _refusal(tmp_path, *GOOD, *["{"] * 30)
    assert "30 problems" in refusal
    assert refusal.count("\n  line") == 20
    assert refusal.endswith("and 10 more")


def test_a_folder_stands_for_the_file_in_it(tmp_path):
    path = _write(tmp_path, *GOOD)
    assert read_dataset(tmp_path, Config()) == read_dataset(path, Config())


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_dataset(tmp_path / "none.jsonl", Config())
