"""A worker that crashes costs its row a second try alone, and no other row anything."""

from __future__ import annotations

import json

import pytest

from tests.trml_rt.jobs.archive import make_archive, read
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit
from trml_rt.jobs import crew


def write(folder, *names):
    """Write a row for each clip that is named, all of them sound, and two of text."""
    make_archive(folder, 5)
    clip = (folder / "clip1.png").read_bytes()
    rows = [{"id": "t1", "text": "good"}, {"id": "t2", "text": "bad"}]
    for name in names:
        (folder / name).write_bytes(clip)
        rows.insert(1, {"id": name, "video": name})
    path = folder / "clips.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("threads", [1, 2])
def test_a_clip_that_crashes_its_worker_twice_is_a_row_with_an_error(
    run, tmp_path, crashing, threads
):
    data = write(tmp_path, "crash.png", "b.png", "c.png")
    report = run(data=data, threads=threads)
    by_id = {record["id"]: record for record in read(tmp_path / "a.jsonl")}
    assert by_id.pop("crash.png")["error"] == "decoder_crash"
    assert "SIGSEGV twice" in read(tmp_path / "a.jsonl")[3]["message"]
    assert [record.get("error") for record in by_id.values()] == [None] * 4
    assert report.errors == {"decoder_crash": 1}


def test_a_clip_that_crashes_once_is_answered(run, tmp_path, crashing):
    assert run(data=write(tmp_path, "once.png", "b.png")).failed == 0


def test_a_worker_that_was_killed_is_not_called_a_crash_of_the_decoder(run, tmp_path, crashing):
    assert run(data=write(tmp_path, "kill.png", "b.png")).errors == {"worker_killed": 1}


def test_where_row_after_row_crashes_it_is_not_the_rows(run, tmp_path, crashing, monkeypatch):
    monkeypatch.setattr(crew, "_IN_A_ROW", 2)
    with pytest.raises(EnvironmentUnfit, match="2 rows one after another ended their worker"):
        run(data=write(tmp_path, "crash1.png", "crash2.png", "crash3.png"))


def test_crashes_are_counted_anew_after_an_answer(run, tmp_path, crashing, monkeypatch):
    monkeypatch.setattr(crew, "_IN_A_ROW", 2)
    data = write(tmp_path, "crash1.png", "b.png", "crash2.png")
    assert run(data=data).errors == {"decoder_crash": 2}


def test_a_worker_that_cannot_be_started_is_the_machines_fault(run, monkeypatch):
    monkeypatch.setattr(crew, "python_command", lambda *_: ["/nowhere/python"])
    with pytest.raises(EnvironmentUnfit, match="a worker cannot be started"):
        run()


def test_engines_that_were_changed_meanwhile_do_not_answer(run, monkeypatch):
    said = json.dumps({"ready": {"backend": "onnxruntime", "engines": "new", "verified": True}})
    monkeypatch.setattr(
        crew, "python_command", lambda *_: ["sh", "-c", f"echo '{said}'; exec sleep 9"]
    )
    with pytest.raises(ArtefactMismatch, match="its engines were changed while a job began"):
        run()


def test_a_worker_that_is_ended_while_it_loads_is_the_machines_fault(run, monkeypatch):
    monkeypatch.setattr(crew, "python_command", lambda *_: ["sh", "-c", "kill -KILL $$"])
    with pytest.raises(EnvironmentUnfit, match="was ended by SIGKILL while it loaded the bundle"):
        run()
