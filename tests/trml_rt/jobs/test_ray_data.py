"""Rows that Ray spreads over actors get the answers that a job on one machine gives.

The tests that need Ray start a cluster of two CPUs on this machine: `make test-ray`.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY
from tests.trml_rt.jobs.archive import read
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError
from trml_rt.jobs import run_job
from trml_rt.jobs.records import flat
from trml_rt.ray import Answers


@pytest.fixture
def table(archive):
    """The rows of the archive as a table of Arrow."""
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.Table.from_pylist(
        [{k: row.get(k) for k in ("id", "text", "video", "score")} for row in read(archive)]
    )


def cells(records):
    return [{k: v for k, v in flat(r).items() if k != "line" and v is not None} for r in records]


def test_a_table_gets_the_rows_and_columns_of_a_job(run, table, archive, tmp_path):
    run()
    answers = Answers(TINY, folder=archive.parent)
    answered = answers(table)
    assert answered.schema == answers.schema
    assert "line" not in answered.column_names
    assert cells(answered.to_pylist()) == cells(read(tmp_path / "a.jsonl"))
    assert answers(table.slice(3, 5)).to_pylist() == answered.to_pylist()[3:8]  # the worker lives


def test_a_row_that_breaks_a_rule_stays_in_its_place(table, archive):
    rows = [{"id": "a", "text": None}, {"id": "b", "text": "good"}]
    first, second = Answers(TINY)(type(table).from_pylist(rows)).to_pylist()
    assert (first["id"], first["error"]) == ("a", "bad_row")
    assert first["message"] == "neither text nor video; give one at least"
    assert second["error"] is None


def test_a_clip_that_crashes_costs_its_row_alone(table, archive, crashing):
    (archive.parent / "crash.png").write_bytes((archive.parent / "clip1.png").read_bytes())
    rows = [{"text": "good", "video": None}, {"text": None, "video": "crash.png"}]
    answers = Answers(TINY, folder=archive.parent)
    for _ in range(2):
        found = answers(type(table).from_pylist(rows)).to_pylist()
        assert [row["error"] for row in found] == [None, "decoder_crash"]


def test_a_worker_ends_with_its_answers(table, archive):
    with Answers(TINY, folder=archive.parent) as first:
        first(table.slice(0, 1))
        process = first._actor._crew._workers[0].process
    assert process.poll() is not None
    second = Answers(TINY, folder=archive.parent)
    second(table.slice(0, 1))
    process = second._actor._crew._workers[0].process
    del second
    assert process.poll() is not None


def blocks(word):
    """Return the Python examples of the page that hold `word`."""
    page = (Path(__file__).parents[3] / "docs" / "jobs.md").read_text()
    found = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [block for block in found if word in block]


def test_the_function_of_the_page_for_spark_answers_batches_of_arrow(table, archive, monkeypatch):
    monkeypatch.chdir(archive.parent)
    Path("bundle").symlink_to(TINY)
    names: dict[str, Any] = {}
    (block,) = blocks("def answer(")
    exec(block, names)
    answered = [*names["answer"](table.to_batches(max_chunksize=25))]
    assert [batch.num_rows for batch in answered] == [25, 15]


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="threads: must be a whole number"):
        Answers(TINY, threads=0)


def test_without_ray_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    run()
    with pytest.raises(EnvironmentUnfit, match=r"--ray needs the package ray; .*\[ray\]"):
        run(ray="local", force=True)
    assert run(resume=True).answered == 0  # nothing was lost


@pytest.fixture
def with_ray(monkeypatch):
    """Ray, whose actors find this checkout."""
    pytest.importorskip("ray", reason="make test-ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


def actors():
    """Return the processes that are actors of a job."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::MapWorker" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.filterwarnings("default")
def test_a_job_on_ray_writes_the_bytes_of_a_local_one_also_when_an_actor_is_killed(
    run, with_ray, tmp_path
):
    run()
    stop, killed = threading.Event(), []

    def kill_one():
        while not killed and not stop.wait(0.05):
            if found := actors():
                time.sleep(0.2)
                os.kill(found[0], signal.SIGKILL)
                killed.append(found[0])

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        report = run("b.jsonl", ray="local", workers=2)
    finally:
        stop.set()
        killer.join()
    assert (report.answered, len(killed)) == (40, 1)
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()


@pytest.mark.filterwarnings("default")
def test_the_example_of_the_page_runs(with_ray, archive, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.chdir(archive.parent)
    Path("bundle").symlink_to(TINY)
    (block,) = blocks("map_batches")
    try:
        exec(block, {})
    finally:
        ray.shutdown()
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table("answers").num_rows == 40


@pytest.mark.filterwarnings("default")
def test_a_damaged_engine_ends_a_job_on_ray_as_it_ends_a_local_one(
    with_ray, archive, bundle_copy, tmp_path
):
    path = bundle_copy / "onnx" / "text.onnx"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    with pytest.raises(ArtefactMismatch, match=r"text\.onnx: the content differs"):
        run_job(archive, tmp_path / "a.jsonl", bundle_copy, ray="local", workers=1)


@pytest.mark.filterwarnings("default")
def test_an_address_where_no_cluster_is_is_refused(run, with_ray):
    with pytest.raises(EnvironmentUnfit, match=r"no cluster of Ray at 127\.0\.0\.1:1 "):
        run(ray="127.0.0.1:1")
