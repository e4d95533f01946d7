"""Rows of a job: which files they come from, which keys they get, which faults they keep."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from trml_rt.errors import UsageError
from trml_rt.jobs.rows import Shard, read_job_rows


@pytest.fixture
def write(tmp_path):
    """Write rows as JSON lines, and return their file."""

    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def test_a_row_needs_neither_a_split_nor_a_file_that_is_there(write, tmp_path):
    (row,) = read_job_rows(write({"id": "a", "video": "absent.mp4", "score": 1, "mood": "?"}))
    assert (row.key, row.fault, row.score) == ("a", None, 1.0)
    assert row.inputs() == {"video": str(tmp_path / "absent.mp4")}


def test_a_table_gives_the_rows_of_json_lines(tmp_path, write):
    (tmp_path / "rows.csv").write_text('id,text,video\na,"what, a day",\nb,,b.mp4\n')
    lines = write({"id": "a", "text": "what, a day"}, {"id": "b", "video": "b.mp4"})
    from_table = read_job_rows(tmp_path / "rows.csv")
    assert [(r.key, r.inputs()) for r in from_table] == [
        (r.key, r.inputs()) for r in read_job_rows(lines)
    ]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"id": "b"}, "neither text nor video; give one at least"),
        ({"id": "b", "text": 3}, "text must be a string"),
        ({"id": True, "text": "a"}, "id must be a string or a whole number"),
        ({"id": "", "text": "a"}, "id is empty; leave it out where there is none"),
        ({"id": "b", "text": "a", "score": "x"}, "score must be a number"),
        ({"id": "b", "text": "a", "vidoe": "x"}, "unknown key vidoe; did you mean video?"),
        ({"id": "b", "video": ["x"]}, "video must be a path; leave it out where there is none"),
        ({"id": "a", "text": "a"}, "id 'a' stands twice, also in line 1"),
    ],
)
def test_a_row_that_breaks_a_rule_keeps_its_fault_and_stops_nothing(write, row, fault):
    first, second = read_job_rows(write({"id": "a", "text": "good"}, row))
    assert first.fault is None
    assert fault in second.fault
    assert first.key != second.key


def test_a_line_that_was_cut_off_is_a_row_with_a_fault(write):
    path = write({"text": "good"})
    with path.open("a") as file:
        file.write('{"text": "b')
    sound, cut = read_job_rows(path)
    assert (sound.fault, cut.key) == (None, "line 2")
    assert cut.fault


def test_rows_that_all_break_a_rule_are_refused_before_any_work(write):
    with pytest.raises(UsageError, match="2 problems\n  line 1: unknown key txt"):
        read_job_rows(write({"txt": "a"}, {"txt": "b"}))


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_rows_is_refused(tmp_path, content):
    (tmp_path / "rows.jsonl").write_text(content)
    with pytest.raises(UsageError, match="holds no row"):
        read_job_rows(tmp_path / "rows.jsonl")


def test_a_whole_number_is_an_id(write):
    assert [row.key for row in read_job_rows(write({"id": 7, "text": "a"}))] == ["7"]


def test_without_an_id_the_key_changes_with_the_size_and_the_time_of_the_clip(write, tmp_path):
    path, clip = write({"text": "a", "video": "v.mp4"}), tmp_path / "v.mp4"
    keys = set()
    for content, time in ((b"1", 1), (b"22", 1), (b"22", 2)):
        clip.write_bytes(content)
        os.utime(clip, (time, time))
        keys.add(read_job_rows(path)[0].key)
    clip.unlink()
    assert len(keys | {read_job_rows(path)[0].key}) == 4


def test_an_archive_that_moves_as_a_whole_keeps_its_keys(write, tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"1")
    path = write({"video": "v.mp4"})
    moved = shutil.copytree(tmp_path, tmp_path / "elsewhere")  # with the times
    assert read_job_rows(path)[0].key == read_job_rows(moved / path.name)[0].key


def test_by_content_a_replaced_clip_has_another_key_also_with_an_id_and_the_same_time(
    write, tmp_path
):
    path, clip = write({"id": "a", "video": "v.mp4"}), tmp_path / "v.mp4"
    keys = []
    for content in (b"1", b"2", b"1"):
        clip.write_bytes(content)
        os.utime(clip, (1, 1))
        keys.append(read_job_rows(path, key="content")[0].key)
    assert keys[0] == keys[2] != keys[1]


def test_equal_rows_without_an_id_have_a_key_each(write):
    keys = [row.key for row in read_job_rows(write(*[{"text": "a"}] * 3))]
    assert keys == [keys[0], f"{keys[0]}#2", f"{keys[0]}#3"]


def test_a_folder_gives_a_row_for_each_clip_and_text_and_pairs_those_of_one_name(tmp_path):
    for name in ("b.mp4", "b.txt", "a.JPG", "c.txt", "notes.pdf", ".hidden.mp4", "in/d.webm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    rows = read_job_rows(tmp_path)
    assert [(row.text_file, row.video) for row in rows] == [
        (None, "a.JPG"),
        ("b.txt", "b.mp4"),
        ("c.txt", None),
        (None, "in/d.webm"),
    ]


def test_two_clips_of_one_name_are_two_rows_and_share_no_text(tmp_path):
    for name in ("a.mp4", "a.png", "a.txt"):
        (tmp_path / name).write_bytes(b"x")
    found = [(row.text_file, row.video) for row in read_job_rows(tmp_path)]
    assert found == [(None, "a.mp4"), (None, "a.png"), ("a.txt", None)]


def test_a_folder_with_a_file_of_rows_stands_for_it(tmp_path):
    (tmp_path / "data.csv").write_text("text\ngood\n")
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert [row.text for row in read_job_rows(tmp_path)] == ["good"]


def test_shards_have_every_row_once_and_equal_rows_together(write):
    rows = [{"id": f"r{n}", "text": "a"} for n in range(40)] + [{"text": "same"}] * 3
    path = write(*rows)
    parts = [read_job_rows(path, shard=Shard(number, 3)) for number in (1, 2, 3)]
    whole = read_job_rows(path)
    assert sorted(row.key for part in parts for row in part) == sorted(row.key for row in whole)
    assert sorted(row.line for part in parts for row in part) == [*range(1, 44)]
    assert all(len(part) > 5 for part in parts)


def test_parquet_gives_the_rows_of_json_lines(tmp_path, write):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"id": 1, "text": "what a day", "score": 0.5}, {"id": 2, "video": "b.mp4", "other": 1}]
    columns = {key: [row.get(key) for row in rows] for key in ("id", "text", "video", "score")}
    parquet.write_table(pyarrow.table(columns), tmp_path / "rows.parquet")
    assert read_job_rows(tmp_path / "rows.parquet") == read_job_rows(write(*rows))


def test_parquet_that_is_none_or_has_no_column_of_ours_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR?")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        read_job_rows(path)
    parquet.write_table(pyarrow.table({"words": ["a"]}), path)
    with pytest.raises(UsageError, match="has neither a column text nor video, but words"):
        read_job_rows(path)


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.parquet", "n" * 300])
def test_data_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="cannot be read"):
        read_job_rows(tmp_path / name)
