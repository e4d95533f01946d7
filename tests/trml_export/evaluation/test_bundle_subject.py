"""A bundle is evaluated on the runtime that is open; here that of the committed tiny bundle."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

import trml_rt
from tests import media
from trml_export.evaluation import BundleSubject, DataSplit, evaluate
from trml_rt.errors import InputUnusable


@pytest.fixture
def subject(tiny_bundle):
    with trml_rt.load(tiny_bundle) as runtime:
        yield BundleSubject(runtime)


def _write(folder, *rows):
    """Write `rows` as the test split, and the two splits that every data set needs."""
    lines = [{"id": f"r{i}", "split": "test", **row} for i, row in enumerate(rows)]
    lines += [{"id": s, "split": s, "text": "so", "score": 0.0} for s in ("train", "valid")]
    path = folder / "data.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return DataSplit(path)


def test_the_scores_are_those_of_the_runtime(subject, tmp_path):
    media.write_video(tmp_path / "a.mp4", 8)
    split = _write(
        tmp_path,
        {"text": "good day", "score": 1.0},
        {"video": "a.mp4", "score": 0.5},
        {"text": "not a bad day", "video": "a.mp4", "score": 0.0},
    )
    (run,) = evaluate(subject, split).runs
    trace, video = subject.runtime.trace, tmp_path / "a.mp4"
    scores = [  # not clipped to the range of the task, as MMSA counts
        trace("good day")["text"]["prediction"],
        trace(video=video)["video"]["prediction"],
        trace("not a bad day", video)["text_video"]["prediction"],
    ]
    errors = [abs(s[0, 0] - target) for s, target in zip(scores, (1, 0.5, 0), strict=True)]
    assert run["cases"][0]["mae"] == pytest.approx(np.mean(errors), abs=1e-6)


def test_an_unusable_clip_counts_as_missing_and_is_named(subject, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 20)
    split = _write(
        tmp_path,
        {"text": "good day", "video": "broken.mp4", "score": 1.0},
        {"video": "broken.mp4", "score": 1.0},
    )
    evaluation = evaluate(subject, split)
    assert evaluation.data["samples"] == {"text_video": 0, "text": 1, "video": 0}
    assert [(p["id"], p["reason"]) for p in evaluation.problems] == [
        ("r0", "undecodable"),
        ("r1", "undecodable"),
    ]


def test_a_split_of_which_nothing_is_left_is_refused(subject, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 20)
    with pytest.raises(InputUnusable, match="no test sample can be used"):
        evaluate(subject, _write(tmp_path, {"video": "broken.mp4", "score": 1.0}))


def test_the_record_says_what_ran(subject, tmp_path):
    evaluation = evaluate(subject, _write(tmp_path, {"text": "good day", "score": 1.0}))
    assert evaluation.subject == {
        "kind": "bundle",
        "name": subject.runtime.bundle.manifest.name,
        **subject.runtime.provenance,
        "methods": {"bundle": "portable"},
    }
