"""Which runs the method's evaluation asks for; test_protocol.py trains some."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from trml_export.evaluation import DataSplit, MethodSubject, methods_named
from trml_rt.errors import InputUnusable


@pytest.fixture
def asked(monkeypatch):
    """Note the runs that are asked for, and train none."""
    runs = []

    def note(material, protocol_runs, **_):
        runs.extend((run.method, run.completeness, run.seed) for run in protocol_runs)
        return []

    monkeypatch.setattr("trml_export.evaluation.method_subject.run_protocol", note)
    return runs


def test_every_share_method_and_seed_is_asked_for(asked, clip, tiny_config, data, cache):
    config = tiny_config.model_copy(update={"seed": 5})
    methods = methods_named(["trml", "zero"])
    MethodSubject(clip, config, cache, methods=methods, seeds=2).evaluate(DataSplit(data))
    assert asked == [(m, c, s) for c in (1.0, 0.5, 0.1) for m in ("trml", "zero") for s in (5, 6)]


def test_without_a_complete_sample_no_share_of_them_is_tried(asked, clip, tiny_config, data, cache):
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    for row in rows:
        if "text" in row:
            row.pop("video", None)
    path = data.parent / "incomplete.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    methods = methods_named(["zero"])
    MethodSubject(clip, tiny_config, cache, methods=methods, seeds=1).evaluate(DataSplit(path))
    assert asked == [("zero", 1.0, 0)]


def test_a_split_of_which_nothing_is_left_is_refused(asked, clip, tiny_config, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 20)
    rows = [
        {"id": "a", "split": "train", "text": "so", "score": 0.0},
        {"id": "b", "split": "valid", "video": "broken.mp4", "score": 0.0},
        {"id": "c", "split": "test", "text": "so", "score": 0.0},
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(InputUnusable, match="no valid sample can be used"):
        MethodSubject(clip, tiny_config, tmp_path).evaluate(DataSplit(path))
    assert asked == []
