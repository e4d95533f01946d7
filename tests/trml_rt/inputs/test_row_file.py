"""A file of rows is JSON lines, or by its ending a table with the same keys and the same checks."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trml_rt.errors import UsageError
from trml_rt.inputs.row_file import misspelt
from trml_rt.inputs.rows import read_rows


@pytest.fixture
def table(tmp_path):
    """Return what writes a file of that name and gives its path."""

    def write(text, name="rows.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_text(text, encoding=encoding, newline="")
        return path

    return write


def test_a_table_gives_the_rows_that_json_lines_give(table):
    json = table(
        '{"id": "a", "split": "val", "text": "one, two", "score": 1.5, "speaker": "Ann"}\n'
        '{"id": "b", "split": "test", "text": "three", "speaker": null}\n',
        "rows.jsonl",
    )
    csv = table('id,split,text,video,score,speaker\r\na,val,"one, two",,1.5,Ann\r\nb,test,three,,,')
    tsv = table("split\tid\ttext\tscore\nval\ta\tone, two\t1.5\ntest\tb\tthree\t\n", "rows.TSV")

    def content(path):
        return [(r.id, r.split, r.text, r.video, r.score, r.label) for r in read_rows(path).rows]

    assert content(json) == content(csv) == content(tsv)
    assert read_rows(csv).rows[0].extra == read_rows(json).rows[0].extra == {"speaker": "Ann"}


def test_a_byte_order_mark_blank_lines_and_unnamed_columns_are_no_fault(table):
    path = table("\n,text,split,\n0,hello,train,\n\n,,,\n1,hi,test,x\n", encoding="utf-8-sig")
    assert [(r.id, r.text, r.extra) for r in read_rows(path).rows] == [
        ("3", "hello", {}),
        ("6", "hi", {}),
    ]


def test_a_row_is_named_by_the_line_where_it_begins(table):
    path = table('text,split\n"two\nlines",train\nhello,nowhere\n')
    with pytest.raises(UsageError, match="line 4: split must be"):
        read_rows(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("text,split,score\nhi,train,much\n", "line 2: score must be a number"),
        ("text,split,score\nhi,train,nan\n", "line 2: score must be a number"),
        ("text,split,score\nhi,train,1_0\n", "line 2: score must be a number"),
        ("text,split\nhi, there,train\n", "line 2: has 3 cells, and the header 2"),
        ("text,split,text\nhi,train,ho\n", "line 1: the header names text twice"),
        ("txt,split,video\nhi,train,\n", "line 1: unknown key txt; did you mean text?"),
        ("sentence,split\nhi,train\n", "line 1: the header names neither text nor video"),
        ("text;split\nhi;train\n", "line 1: the header names neither text nor video"),
        ('text,split\n"hi,train\nho,test\n', "line 2: not a row of a table"),
        ('{"text": "hi"}', "holds JSON lines; let its name end in .jsonl"),
    ],
)
def test_a_fault_of_a_table_is_named(table, text, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        read_rows(table(text))


def test_a_table_that_is_not_utf_8_is_named_with_its_line(table):
    with pytest.raises(UsageError, match="line 2 is not UTF-8; save the table as UTF-8"):
        read_rows(table("text,split\nné,train\n", encoding="latin-1"))


@pytest.mark.parametrize(
    ("text", "ending"), [("id,text,split\na,b,c\n", "csv"), ("text\tsplit\na\tb\n", "tsv")]
)
def test_a_table_under_another_name_is_told_which_to_have(table, text, ending):
    with pytest.raises(UsageError, match=rf"looks like a table; let its name end in \.{ending}"):
        read_rows(table(text, "rows.txt"))


@pytest.mark.parametrize("word", ["vidoe", "Video", "vide", "videos", "vidio", "VIDOE"])
def test_one_slip_of_a_key_is_a_misspelling_where_the_key_is_lacking(word):
    assert list(misspelt([word])) == [f"unknown key {word}; did you mean video?"]
    assert list(misspelt([word, "video"])) == []


@pytest.mark.parametrize("word", ["video_id", "context", "idx", "oediv", "speaker"])
def test_a_word_further_away_is_a_key_of_its_own(word):
    assert list(misspelt([word])) == []


@given(st.binary(), st.sampled_from(["a.csv", "a.tsv"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_rows_or_a_sentence(tmp_path, data, name):
    (tmp_path / name).write_bytes(data)
    with contextlib.suppress(UsageError):
        assert read_rows(tmp_path / name).rows == ()


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_under_a_header_is_rows_or_a_sentence(tmp_path, text):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text,split\n" + text.encode(errors="replace"))
    with contextlib.suppress(UsageError):
        assert all(row.text for row in read_rows(path).rows)
