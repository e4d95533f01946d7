"""The file of answers: the same records as JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import os
import sys

import pytest

from tests.trml_rt.jobs.archive import read
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import EnvironmentUnfit
from trml_rt.jobs.records import columns, flat, write_records

TASK_OF_CLASSES = {"kind": "classification", "labels": ["sad", "glad"]}
CLASSES = {
    "key": "k",
    "label": "glad",
    "score": 0.75,
    "probabilities": {"sad": 0.25, "glad": 0.75},
    "inputs": {
        "text": {"state": "real", "tokens": 3, "truncated": False, "unknown": 0.0},
        "video": {"state": "virtual", "reason": "not_given"},
    },
    "engine_set": "text",
    "backend": "onnxruntime",
    "engines": "portable",
    "verified": True,
}


def test_a_table_has_a_column_for_every_cell_of_a_record(tiny_bundle):
    task = Bundle(tiny_bundle).manifest.task
    classes = task.model_copy(update={**TASK_OF_CLASSES, "labels": ("sad", "glad")})
    assert flat(CLASSES).keys() <= columns(classes).keys()
    assert flat(CLASSES)["probability_sad"] == 0.25
    assert flat(CLASSES)["video_reason"] == "not_given"
    failed = {"key": "k", "id": "a", "line": 1, "truth": 0.5, "error": "x", "message": "y"}
    assert flat(failed).keys() <= columns(task).keys()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_holds_what_the_json_lines_hold(run, tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    run()
    run(f"a.{ending}")
    expected = [flat(record) for record in read(tmp_path / "a.jsonl")]
    if ending == "csv":
        with (tmp_path / "a.csv").open(newline="") as file:
            found = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
        expected = [
            {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in row.items()}
            for row in expected
        ]
    else:
        from pyarrow import parquet

        table = parquet.read_table(tmp_path / "a.parquet").to_pylist()
        found = [{k: v for k, v in row.items() if v is not None} for row in table]
    assert found == expected


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_file_name_that_is_no_utf_8_is_written_all_the_same(run, tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.mp4")).write_bytes(b"no video")
    run(f"a.{ending}", data=folder)
    assert b"\\udcff.mp4" in (tmp_path / f"a.{ending}").read_bytes().replace(b"\\\\", b"\\")


@pytest.mark.parametrize("names", [("a.parquet", "rows.jsonl"), ("a.csv", "rows.parquet")])
def test_without_its_package_parquet_is_refused_before_any_work(run, archive, monkeypatch, names):
    archive.with_name("rows.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EnvironmentUnfit, match=r"Parquet needs the package pyarrow; .*\[batch\]"):
        run(names[0], data=archive.with_name(names[1]))


def test_a_file_that_cannot_be_finished_leaves_the_earlier_one(tiny_bundle, tmp_path):
    out, task = tmp_path / "a.csv", Bundle(tiny_bundle).manifest.task
    out.write_text("earlier")

    def records():
        yield {"key": "a"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(out, records(), task)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert out.read_text() == "earlier"
