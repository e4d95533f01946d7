"""An earlier report is held to what is timed now, or refused in one sentence."""

from __future__ import annotations

import json

import pytest

from trml_rt.errors import ArtefactMismatch
from trml_rt.proof.bench_compare import SCHEMA, Earlier


def times(low: float, middle: float, high: float) -> dict[str, float]:
    return {"p25_ms": low, "p50_ms": middle, "p75_ms": high}


REPORT = {
    **{"schema": SCHEMA, "bundle_sha256": "ab", "backend": "auto", "threads": None, "inputs": {}},
    "device": {"cpus": 2, "cpu": "A", "gpu": "Orin"},
    "engine_sets": {
        "text": {"portable": times(9, 10, 11), "int8": times(4, 5, 6)},
        "video": {"portable": times(9, 10, 11)},
    },
    "batches": {"text": {"8": {"int8": times(20, 21, 22)}}},
    "callers": {},
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "earlier.json"
    path.write_text(json.dumps(REPORT))
    return path


def changed(path, **fields):
    path.write_text(json.dumps(REPORT | fields))
    return path


def test_medians_are_compared_and_the_spread_says_what_differs(path):
    now = REPORT | {
        "engine_sets": {
            "text": {"portable": times(12, 20, 21), "int8": times(2, 2.5, 3)},
            "video": {"portable": times(7, 8, 9)},
        },
        "batches": {"text": {"8": {"int8": times(22, 23, 24)}, "32": {"int8": times(1, 1, 1)}}},
    }
    found = Earlier(path).compare(now)
    assert found["earlier"] == str(path)
    assert found["rows"] == {
        "text, portable": {"ratio": 0.5, "verdict": "slower"},
        "text, int8": {"ratio": 2.0, "verdict": "faster"},
        "video, portable": {"ratio": 1.25, "verdict": "same"},  # 9 lies in both halves
        "text, 8 rows, int8": {"ratio": 0.913, "verdict": "same"},  # 22 lies in both halves
    }
    assert found["in_one_alone"] == ["text, 32 rows, int8"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("bundle_sha256", "cd"), ("backend", "openvino"), ("threads", 1), ("inputs", {"text": "a"})],
)
def test_a_run_of_something_else_is_refused_by_field(path, field, value):
    Earlier(path).refuse_other(REPORT)
    with pytest.raises(ArtefactMismatch, match=f"{field} is .* there, .* here; compare with"):
        Earlier(path).refuse_other(REPORT | {field: value})


def test_another_device_is_refused_and_a_gpu_that_nothing_runs_on_now_is_not(path):
    Earlier(path).refuse_other(REPORT | {"device": {"cpus": 2, "cpu": "A"}})
    with pytest.raises(ArtefactMismatch, match="device cpu is 'A' there, 'B' here"):
        Earlier(path).refuse_other(REPORT | {"device": {"cpus": 2, "cpu": "B"}})


def test_another_schema_is_refused_before_anything_is_timed(path):
    with pytest.raises(ArtefactMismatch, match=r"schema is 99 there, .*; another version"):
        Earlier(changed(path, schema=99))
    path.write_text("{}")
    with pytest.raises(ArtefactMismatch, match=f"schema is None there, {SCHEMA} here"):
        Earlier(path)


@pytest.mark.parametrize(
    "field",
    [
        {"engine_sets": 5},
        {"engine_sets": {"text": {"int8": {}}}},
        {"engine_sets": {"text": {"int8": times(3, 0, 1)}}},
        {"batches": []},
        {"device": 7},
    ],
    ids=str,
)
def test_what_is_no_report_is_refused(path, field):
    with pytest.raises(ArtefactMismatch, match="is no report of trml-rt bench"):
        Earlier(changed(path, **field))


def test_a_file_that_cannot_be_read_or_parsed_is_refused(tmp_path):
    with pytest.raises(ArtefactMismatch, match=r"cannot be read .*; name a JSON of trml-rt bench"):
        Earlier(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ArtefactMismatch, match="not valid JSON"):
        Earlier(tmp_path / "a.json")
