"""One reader of rows, for training, calibration and verification alike."""

from __future__ import annotations

import contextlib
import json
import os
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trml_rt.errors import UsageError
from trml_rt.inputs.rows import FILES, evenly, read_rows


@pytest.fixture
def lines(tmp_path):
    """Return what writes rows to a file and gives its path."""

    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows))
        return path

    return write


def row(number, **more):
    return {"id": f"r{number}", "split": "train", "text": "a day", **more}


def test_rows_of_one_split_in_file_order_with_or_without_a_target(lines):
    path = lines(row(1, score=0.5), row(2, split="test"), row(3, label="joy", video="c.mp4"))
    (path.parent / "c.mp4").touch()
    found = read_rows(path).of_split("train")
    assert [(r.id, r.score, r.label) for r in found.rows] == [
        ("r1", 0.5, None),
        ("r3", None, "joy"),
    ]
    assert found.rows[1].video == path.parent / "c.mp4"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"id": 7}, "id must be a string"),
        ({"text": None}, "neither text nor video"),
        ({"score": True}, "score must be a number"),
        ({"label": 3}, "label must be a string"),
        ({"vidoe": "c.mp4"}, "unknown key vidoe; did you mean video?"),
        ({"text": None, "Text": "a day"}, "unknown key Text; did you mean text?"),
        ({"labels": "joy"}, "unknown key labels; did you mean label?"),
        ({"id": "r1"}, "id 'r1' stands twice, also in line 1"),
        ({"id": ""}, "id must be a string that is not empty"),
        ({"split": "eval"}, "split must be one of train, valid, test"),
        ({"text": " "}, "text must be a string that is not blank"),
        ({"video": "none.mp4"}, "video none.mp4 does not exist"),
    ],
)
def test_a_wrong_line_is_named(lines, more, words):
    with pytest.raises(UsageError, match=f"line 2: {re.escape(words)}"):
        read_rows(lines(row(1), row(2, **more)))


@pytest.mark.parametrize("name", FILES)
def test_a_folder_stands_for_the_one_file_of_rows_in_it(tmp_path, name):
    cells = {"csv": "split,text\ntrain,so\n", "tsv": "split\ttext\ntrain\tso\n"}
    (tmp_path / "other.csv").touch()
    (tmp_path / name).write_text(cells.get(name[-3:], '{"split": "train", "text": "so"}'))
    assert [r.text for r in read_rows(tmp_path).rows] == ["so"]


def test_a_folder_with_two_files_of_rows_or_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds none of data\.jsonl, data\.csv, data\.tsv; name"):
        read_rows(tmp_path)
    for name in ("data.jsonl", "data.csv"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"holds data\.jsonl and data\.csv; name the one to read"):
        read_rows(tmp_path)


def test_a_name_that_is_too_long_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read \(File name too long\)"):
        read_rows(tmp_path / ("x" * 300))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_called_that(tmp_path, name, encoding):
    path = tmp_path / name
    path.write_bytes("\ufefftext,split\nso,train\n".encode(encoding))
    with pytest.raises(UsageError, match=f"{name}: is UTF-16, not UTF-8; save it as UTF-8"):
        read_rows(path)


@pytest.mark.parametrize(("content", "indent"), [([row(1)], None), ([row(1)], 1), (row(1), 1)])
def test_json_that_is_not_one_row_a_line_is_called_that(tmp_path, content, indent):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(content, indent=indent))
    with pytest.raises(UsageError, match="holds one JSON text, not JSON lines; write each row on"):
        read_rows(path)


def test_val_and_dev_mean_valid(lines):
    path = lines(row(1, split="val"), row(2, split="dev"), row(3, split="valid"), row(4))
    assert [r.split for r in read_rows(path).rows] == ["valid", "valid", "valid", "train"]


def test_a_row_without_an_id_has_the_number_of_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"split": "test", "text": "a"}\n\n{"id": null, "split": "test", "text": "b"}')
    assert [(r.id, r.line) for r in read_rows(path).rows] == [("1", 1), ("3", 3)]
    path.write_text('{"id": "2", "split": "test", "text": "a"}\n{"split": "test", "text": "b"}')
    with pytest.raises(UsageError, match="line 2: id '2' stands twice, also in line 1"):
        read_rows(path)


@pytest.mark.parametrize("key", ["speaker", "video_id", "context", "texts", "idx"])
def test_other_keys_are_kept(lines, key):
    [read] = read_rows(lines(row(1, **{key: ["x"]}))).rows
    assert read.extra == {key: ["x"]}


def test_a_target_is_judged_once_it_is_a_number_or_a_string(lines):
    path = lines(row(1, score="much"), row(2, score=99, mood=1), row(3, score=1))
    judged = []
    with pytest.raises(UsageError) as refused:
        read_rows(path, lambda read: judged.append(read.score) or ["is too much"])
    assert judged == [99.0, 1.0]
    assert str(refused.value).count("is too much") == 2
    assert "line 1: score must be a number" in str(refused.value)


def test_rows_are_set_apart_without_one_in_both(lines):
    kept, apart = read_rows(lines(*map(row, range(10)))).apart(4)
    assert [r.id for r in apart.rows] == ["r0", "r4", "r8"]
    assert len(kept.rows) == 7
    assert not {r.id for r in kept.rows} & {r.id for r in apart.rows}


def test_rows_are_taken_evenly():
    assert evenly(range(10), 3) == [0, 3, 6]
    assert evenly(range(2), 3) == [0, 1]


@pytest.mark.parametrize("number", ["NaN", "1e999", "-1e999", "1" + "0" * 400])
def test_a_score_that_is_no_finite_number_is_named(tmp_path, number):
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"id": "a", "split": "train", "text": "x", "score": {number}}}')
    with pytest.raises(UsageError, match="line 1: "):
        read_rows(path)


def test_training_reads_the_rows_that_calibration_reads(tmp_path):
    from trml_export.config import Config
    from trml_export.data import read_dataset

    lines = [row(1, score=1), row(2, split="valid", score=-1), row(3, split="test", score=0)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    samples = read_dataset(tmp_path, Config()).samples
    rows = read_rows(tmp_path).rows
    assert [(s.id, s.split, s.text, s.video, s.target) for s in samples] == [
        (r.id, r.split, r.text, r.video, r.score) for r in rows
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["id", "split", "text", "video", "score", "label", "mood"]) | st.text()
ROWS = st.fixed_dictionaries(
    {"id": st.text(min_size=1), "split": st.sampled_from(["train", "test"]), "text": st.text()},
    optional={"video": st.none() | st.text(), "score": JSON, "label": st.none() | st.text()},
)


@given(ROWS | st.dictionaries(KEYS, JSON | st.sampled_from(["train", "test"])))
@example({"id": "a", "split": "train", "text": "x", "score": 10**400})
@example({"id": "a", "split": "train", "text": "x", "video": "a\0b"})
@example({"id": "a", "split": "train", "text": "\ud83d"})
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_object_is_a_row_or_a_sentence_that_names_its_line(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(content))
    refusal = None
    try:
        [read] = read_rows(path).rows
    except UsageError as error:
        refusal = str(error)
    if refusal is None:
        assert read.id == ("1" if content.get("id") is None else content["id"])
    else:
        assert "  line 1: " in refusal


@given(st.binary())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_rows_or_a_sentence(tmp_path, data):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    with contextlib.suppress(UsageError):
        assert read_rows(path).rows == ()


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe: is not a regular file"):
        read_rows(tmp_path / "pipe")
