"""What a job keeps on disk: parts that are whole, one writer at a time, damage named."""

from __future__ import annotations

import json
import os

import filelock
import pytest

from tests.conftest import TINY
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError
from trml_rt.jobs.folder import Parts, folder_of, opened
from trml_rt.jobs.run import run_job


def record(key, **said):
    return {"key": key, "label": "x", **said}


def test_of_one_key_the_last_record_counts_also_when_it_is_read_again(tmp_path):
    parts = Parts(tmp_path)
    for each in (record("a", error="bad"), record("b"), record("a", score=1.0)):
        parts.add(each)
        parts.flush()
    again = Parts(tmp_path)
    assert [again.read(key) for key in ("a", "b")] == [record("a", score=1.0), record("b")]
    assert not again.failed("a")
    assert len(list(tmp_path.glob("*.jsonl"))) == 3


def test_what_is_added_is_on_disk_after_a_second(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("trml_rt.jobs.folder.time.monotonic", lambda: now[0])
    parts = Parts(tmp_path)
    parts.add(record("a"))
    assert not list(tmp_path.iterdir())
    now[0] = 1.0
    parts.add(record("b"))
    assert len(list(tmp_path.iterdir())) == 1
    now[0] = 1000.0
    parts.add(record("c"))
    now[0] = 1009.0  # less than a hundredth of the time so far
    parts.add(record("d"))
    assert len(list(tmp_path.iterdir())) == 2


def test_compacting_leaves_one_part_in_the_order_of_the_rows(tmp_path):
    parts = Parts(tmp_path)
    for key in "ab":
        parts.add(record(key))
        parts.flush()
    parts.compact([record("b"), record("a")])
    assert [*parts] == [*Parts(tmp_path)] == ["b", "a"]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", ['{"key": "a"', '{"key": 1}\n', "[]\n", "\xff\n"])
def test_a_damaged_part_is_named_with_the_way_out(tmp_path, content):
    (tmp_path / "00000001.jsonl").write_text(content, "latin-1")
    with pytest.raises(ArtefactMismatch, match=r"00000001\.jsonl: is damaged .*; delete it"):
        Parts(tmp_path)


@pytest.fixture
def begin(tiny_bundle, tmp_path):
    task = Bundle(tiny_bundle).manifest.task
    return lambda **options: opened(
        tmp_path / "a.jsonl", {"n": 1}, task, **{"go_on": False, "force": False, **options}
    )


def test_two_processes_do_not_work_on_one_job(begin, tmp_path):
    with (
        begin(),
        pytest.raises(EnvironmentUnfit, match="another process works on this job"),
        begin(),
    ):
        pass
    with begin():
        pass


def test_a_record_of_a_job_that_is_none_is_refused_and_force_begins_anew(begin, tmp_path):
    folder = folder_of(tmp_path / "a.jsonl")
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps({"fingerprint": {}}))
    with pytest.raises(ArtefactMismatch, match="is not what a job writes; pass --force"), begin():
        pass
    with begin(force=True) as job:
        assert [*job.parts] == []


def test_a_lock_of_a_process_that_is_gone_holds_nobody(begin, tmp_path):
    folder = folder_of(tmp_path / "a.jsonl")
    folder.mkdir()
    if (child := os.fork()) == 0:
        filelock.FileLock(folder / ".lock").acquire()
        os._exit(0)
    os.waitpid(child, 0)
    with begin() as job:
        assert job.job.finished is False


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_with_what_no_job_wrote_is_left_alone(tmp_path, force):
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    rows.write_text('{"text": "good"}\n')
    notes = tmp_path / "answers.jsonl.job" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("of the user")
    with pytest.raises(UsageError, match=r"holds notes\.txt, which no job wrote"):
        run_job(rows, out, TINY, force=force)
    assert [*notes.parent.iterdir()] == [notes]


def test_a_pipe_in_place_of_the_record_of_a_job_is_refused(tmp_path):
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    rows.write_text('{"text": "good"}\n')
    folder_of(out).mkdir()
    os.mkfifo(folder_of(out) / "job.json")
    with pytest.raises(ArtefactMismatch, match=r"job\.json: cannot be read \(not a regular file\)"):
        run_job(rows, out, TINY)
