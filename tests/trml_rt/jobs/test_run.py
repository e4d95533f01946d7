"""A job answers every row once, whatever is killed, and says what became of all."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import trml_rt
from tests.conftest import TINY
from tests.trml_rt.jobs.archive import read
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, RowsFailed, UsageError
from trml_rt.jobs import run as module
from trml_rt.jobs import run_job
from trml_rt.jobs.folder import folder_of


def alone(rt, text, video):
    """Return what a single call says of a row, as a record does."""
    try:
        answer = rt.infer(text, video).to_dict()
    except trml_rt.InputUnusable as error:
        return {"error": error.reason, "message": str(error)}
    return {name: value for name, value in answer.items() if name != "ms"}


def test_every_row_has_the_answer_that_it_gets_alone_in_the_order_of_the_rows(
    run, archive, tmp_path
):
    report = run(workers=2)
    records = read(tmp_path / "a.jsonl")
    rows = [json.loads(line) for line in archive.read_text().splitlines()]
    assert [record["id"] for record in records] == [row["id"] for row in rows]
    with trml_rt.load(TINY) as rt:
        for row, record in zip(rows, records, strict=True):
            said = alone(rt, row.get("text"), row.get("video") and archive.parent / row["video"])
            assert {name: record[name] for name in said} == said
    assert (report.rows, report.answered, report.failed) == (40, 40, 3)


def test_the_report_counts_presence_reasons_and_errors(run):
    report = run()
    assert report.presence == {"text": 14, "text_video": 12, "video": 11}
    assert report.virtual == {"text": {"not_given": 11}, "video": {"not_given": 14}}
    assert report.errors == {"undecodable": 3}
    assert report.rows_per_second > 0
    with pytest.raises(RowsFailed, match=r"3 of 40 rows have an error \(undecodable 3\)"):
        report.raise_if_failed()


def test_with_degrade_a_broken_clip_counts_as_missing(run):
    report = run(degrade=True)
    assert report.virtual["video"] == {"not_given": 14, "undecodable": 1}
    assert report.errors == {"undecodable": 2}  # of rows that have nothing else


def test_a_score_in_the_rows_gives_the_metrics_of_eval(run, tmp_path):
    metrics = pytest.importorskip("trml_export.evaluation.metrics")
    report = run()
    pairs = [(r["truth"], r["score"]) for r in read(tmp_path / "a.jsonl") if "truth" in r]
    truth, score = (np.array(side) for side in zip(*pairs, strict=True))
    assert report.measured == len(pairs) == 10
    assert report.metrics == metrics.regression_metrics(truth, score)


def test_batches_give_the_same_answers_to_rounding(run, tmp_path):
    run()
    run("b.jsonl", batch=8)
    for alone, together in zip(read(tmp_path / "a.jsonl"), read(tmp_path / "b.jsonl"), strict=True):
        assert alone.pop("score", None) == pytest.approx(together.pop("score", None), abs=2e-6)
        assert alone == together


def start(archive, out, *options):
    """Start a job in a process of its own, as the command line does."""
    words = ["infer", "--data", archive, "--out", out, "--bundle", TINY, "--workers", "2", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "trml_rt", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers_of(bundle):
    """Return the processes that answer, found by the bundle that they are given."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it is gone
            words = path.read_bytes()
            if b"trml_rt.jobs.worker" in words and str(bundle).encode() in words:
                found.append(path.parent.name)
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_killed_job_goes_on_and_ends_as_a_clean_one_does(run, archive, tmp_path, seed):
    run("clean.jsonl")
    out = tmp_path / "killed.jsonl"
    chance = random.Random(seed)
    for _ in range(2):
        job = start(archive, out)
        time.sleep(chance.uniform(0.5, 3))
        job.send_signal(chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        job.communicate()
    run("killed.jsonl", resume=True)
    assert out.read_bytes() == (tmp_path / "clean.jsonl").read_bytes()


def test_ctrl_c_keeps_what_was_answered_and_ends_the_workers(archive, tmp_path, bundle_copy):
    out = tmp_path / "a.jsonl"
    words = ["infer", "--data", archive, "--out", out, "--bundle", bundle_copy]
    job = subprocess.Popen(
        [sys.executable, "-m", "trml_rt", *map(str, words)], stderr=subprocess.PIPE, text=True
    )
    while not workers_of(bundle_copy):
        time.sleep(0.05)
    job.send_signal(signal.SIGINT)
    assert job.communicate()[1].strip() == "trml-rt: interrupted"
    assert job.returncode == 130
    assert workers_of(bundle_copy) == []
    assert json.loads((folder_of(out) / "job.json").read_text())["finished"] is False


def test_a_job_that_is_killed_leaves_no_worker(archive, tmp_path, bundle_copy):
    words = ["infer", "--data", archive, "--out", tmp_path / "a.jsonl", "--bundle", bundle_copy]
    job = subprocess.Popen([sys.executable, "-m", "trml_rt", *map(str, words)])
    while not workers_of(bundle_copy):
        time.sleep(0.05)
    job.kill()
    job.wait()
    end = time.monotonic() + 20
    while workers_of(bundle_copy) and time.monotonic() < end:
        time.sleep(0.05)
    assert workers_of(bundle_copy) == []


def test_a_finished_job_is_not_begun_again_unless_that_is_said(run):
    run()
    with pytest.raises(UsageError, match=r"is finished; pass --resume"):
        run()
    assert run(resume=True).answered == 0
    assert run(force=True).answered == 40


def test_resume_answers_what_is_new_and_forgets_what_is_gone(run, archive, tmp_path):
    run()
    lines = archive.read_text().splitlines()
    archive.write_text("\n".join([*lines[:5], '{"id": "new", "text": "good"}', *lines[6:]]))
    assert run(resume=True).answered == 1
    assert [r["id"] for r in read(tmp_path / "a.jsonl")][4:7] == ["r4", "new", "r6"]
    assert [r["line"] for r in read(tmp_path / "a.jsonl")] == [*range(1, 41)]


def test_retry_failed_answers_only_rows_with_an_error(run, archive, tmp_path):
    run()
    (archive.parent / "clip7.png").write_bytes((archive.parent / "clip1.png").read_bytes())
    report = run(retry_failed=True)
    assert (report.answered, report.failed, report.rows) == (3, 2, 40)


@pytest.mark.parametrize(
    ("options", "name"), [({"degrade": True}, "degrade"), ({"batch": 4}, "batch")]
)
def test_a_job_of_another_fingerprint_is_refused_in_one_sentence(run, options, name):
    run()
    with pytest.raises(UsageError, match=f"is of a job with another {name} ") as raised:
        run(**options, resume=True)
    assert "\n" not in str(raised.value)


def test_a_shard_is_the_same_however_it_is_typed(run):
    run(shard="01/02")
    assert run(shard="1/2", resume=True).answered == 0


def test_a_job_of_another_bundle_is_refused_and_force_begins_anew(run, archive, edit_manifest):
    run()
    other = edit_manifest(lambda manifest: manifest.update(name="other"))
    out = archive.parent / "a.jsonl"
    with pytest.raises(UsageError, match="is of a job with another bundle"):
        run_job(archive, out, other, resume=True)
    assert run_job(archive, out, other, force=True).answered == 40


def test_a_file_that_no_job_wrote_is_not_replaced(run, tmp_path):
    (tmp_path / "a.jsonl").write_text("mine")
    with pytest.raises(UsageError, match=r"a\.jsonl: exists already"):
        run()
    assert not folder_of(tmp_path / "a.jsonl").exists()
    assert (tmp_path / "a.jsonl").read_text() == "mine"


def test_the_data_are_never_replaced_by_their_answers(run, archive, tmp_path):
    before = archive.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(archive)
    for name in (archive.name, "link.jsonl"):
        with pytest.raises(UsageError, match="is read for this job; name another file"):
            run(name, force=True)
    assert archive.read_bytes() == before


def test_answers_are_not_put_where_a_folder_of_clips_would_be_read_from(run, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "a.txt").write_text("what a day")
    with pytest.raises(UsageError, match=r"data\.csv: is read for this job"):
        run("clips/data.csv", data=clips)
    assert run("clips/answers.csv", data=clips).rows == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"out": "a.txt"}, r"names no format; let it end in \.jsonl, \.csv, \.parquet"),
        ({"shard": "0/2"}, "shard: must be i/N"),
        ({"shard": "3/2"}, "shard: must be i/N"),
        ({"key": "name"}, "no key 'name'; choose id, content"),
        ({"workers": 0}, "workers: must be a whole number, 1 to 256, not 0"),
        ({"batch": 0}, "batch: must be a whole number"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_before_any_work(run, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        run(**options)


def test_a_folder_that_cannot_be_written_is_the_machines_fault(run, archive, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentUnfit, match="cannot be written"):
        run_job(archive, tmp_path / "file" / "a.jsonl", TINY)


def test_a_damaged_engine_ends_the_job_as_a_call_ends(archive, bundle_copy, tmp_path):
    path = bundle_copy / "onnx" / "text.onnx"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    with pytest.raises(ArtefactMismatch, match=r"text\.onnx: the content differs"):
        run_job(archive, tmp_path / "a.jsonl", bundle_copy, workers=1)


def test_workers_are_as_many_as_cores_and_memory_allow(monkeypatch, tiny_bundle):
    bundle = trml_rt.Bundle(tiny_bundle)
    monkeypatch.setattr(module, "usable_cores", lambda: 8)
    monkeypatch.setattr(module, "available_memory", lambda: 16 << 30)
    assert module._workers(bundle, "onnxruntime") == 8
    assert module._workers(bundle, "tensorrt") == 1
    monkeypatch.setattr(module, "available_memory", lambda: 1 << 30)
    assert module._workers(bundle, "onnxruntime") == 3
    monkeypatch.setattr(module, "available_memory", lambda: 1)
    assert module._workers(bundle, "onnxruntime") == 1
