"""A record proves that a stream answered as `infer` does, whatever its source was."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import trml_rt
from tests.conftest import TINY
from tests.trml_rt.stream.conftest import answers

GOOD = "a good day"


@pytest.fixture
def record(rt, frames, tmp_path):
    """A record of a stream that had text, video, both, and an early answer."""
    path = tmp_path / "r.jsonl"
    with rt.stream(window=3, record=path, anytime=True, hold=0.3) as stream:
        stream.push_text(GOOD)
        found = answers(stream)
        for number in range(12):
            if number == 6:
                stream.push_text("привет")
            stream.push_frame(frames[number], t=number / 10)
            found += answers(stream)
    assert {answer.engine_set for answer in found} == {"text", "video", "text_video"}
    assert {answer.final for answer in found} == {True, False}
    return path, found


def test_every_recorded_answer_is_that_of_infer(rt, record):
    path, found = record
    replay = rt.replay(path)
    assert (replay.answers, replay.differing, replay.equal) == (len(found), 0, True)
    replay.raise_if_unequal()
    assert replay.to_dict() == {
        "answers": len(found),
        "differing": 0,
        "largest_difference": 0.0,
        "equal": True,
        "cut": False,
    }


def test_each_frame_is_written_once(record):
    path, _ = record
    assert (path.parent / "r.jsonl.frames").stat().st_size == 12 * 8 * 8 * 3
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["bundle"] == "tiny"
    assert lines[-1]["frames"] == [9, 10, 11]
    assert lines[-1]["times"] == [0.9, 1.0, 1.1]


def test_an_answer_that_differs_in_one_bit_is_found(rt, record):
    path, found = record
    lines = path.read_text().splitlines()
    last = json.loads(lines[-1])
    score = float.fromhex(last["bits"]["score"])
    last["bits"]["score"] = float(np.nextafter(score, 9)).hex()
    path.write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    replay = rt.replay(path)
    assert (replay.differing, replay.equal) == (1, False)
    assert 0 < replay.largest_difference < 1e-6
    with pytest.raises(trml_rt.VerificationFailed, match=f"1 of {len(found)} recorded answers"):
        replay.raise_if_unequal()


def test_an_answer_that_was_changed_beside_its_bits_is_found(rt, record):
    path, _ = record
    lines = path.read_text().splitlines()
    last = json.loads(lines[-1])
    last["answer"]["score"] += 0.5
    path.write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    replay = rt.replay(path)
    assert replay.differing == 1
    assert replay.largest_difference == pytest.approx(0.5, abs=1e-5)


def test_a_frame_that_was_changed_is_found(rt, record):
    path, _ = record
    pixels = path.parent / "r.jsonl.frames"
    data = bytearray(pixels.read_bytes())
    data[-8 * 8 * 3 :] = bytes(8 * 8 * 3)
    pixels.write_bytes(data)
    assert rt.replay(path).differing == 1


def test_a_record_that_was_cut_off_is_read_to_its_last_line(rt, record):
    path, found = record
    assert not rt.replay(path).cut
    path.write_bytes(path.read_bytes()[:-20])
    replay = rt.replay(path)
    assert (replay.answers, replay.equal, replay.cut) == (len(found) - 1, True, True)


def test_a_disk_that_is_full_ends_the_record_and_not_the_stream(rt, frames, tmp_path):
    events = []
    path = tmp_path / "r.jsonl"
    with rt.stream(record=path, on_event=events.append) as stream:
        stream.push_frame(frames[0], t=0.0)
        assert stream.poll() is not None
        stream._work._recorder._lines.close()
        stream._work._recorder._lines = open("/dev/full", "wb", buffering=0)  # noqa: PTH123, SIM115
        for number in (1, 2):
            stream.push_frame(frames[number], t=number / 10)
            assert stream.poll() is not None
    [event] = [event for event in events if event.input == "record"]
    assert event.state == "failed"
    assert "No space left on device); free some space" in event.message
    assert rt.replay(path).answers == 1


def test_a_record_is_not_written_over_another(rt, record):
    path, _ = record
    with pytest.raises(trml_rt.UsageError, match=r"r\.jsonl: exists"):
        rt.stream(record=path)
    path.unlink()
    with pytest.raises(trml_rt.UsageError, match=r"r\.jsonl\.frames: exists"):
        rt.stream(record=path)
    assert not path.exists()


def test_a_record_of_another_bundle_is_refused(record, edit_manifest):
    path, _ = record
    with (
        trml_rt.load(edit_manifest(lambda m: m.update(name="other"))) as other,
        pytest.raises(trml_rt.UsageError, match="was recorded with the bundle 'tiny'"),
    ):
        other.replay(path)


@pytest.mark.parametrize(
    ("content", "error", "match"),
    [
        (None, trml_rt.UsageError, r"r\.jsonl: cannot be read"),
        ("", trml_rt.ArtefactMismatch, "no record"),
        ("{", trml_rt.ArtefactMismatch, "no record"),
        ("[]", trml_rt.ArtefactMismatch, "no record"),
        ('{"record": 2}', trml_rt.ArtefactMismatch, "no record"),
    ],
)
def test_what_is_no_record_is_refused(rt, tmp_path, content, error, match):
    if content is not None:
        (tmp_path / "r.jsonl").write_text(content)
        (tmp_path / "r.jsonl.frames").write_bytes(b"")
    with pytest.raises(error, match=match):
        rt.replay(tmp_path / "r.jsonl")


def test_a_record_that_is_no_path_is_refused(rt):
    with pytest.raises(trml_rt.UsageError, match="record: must be a path"):
        rt.replay(3)


def test_a_record_whose_frames_are_gone_is_refused(rt, record):
    path, _ = record
    frames = path.parent / "r.jsonl.frames"
    frames.rename(path.parent / "kept")
    with pytest.raises(trml_rt.UsageError, match=r"r\.jsonl\.frames: cannot be read"):
        rt.replay(path)
    (path.parent / "kept").rename(frames)
    frames.write_bytes(frames.read_bytes()[:300])
    with pytest.raises(trml_rt.ArtefactMismatch, match="is damaged"):
        rt.replay(path)
    shutil.copy(TINY / "model.json", path)
    with pytest.raises(trml_rt.ArtefactMismatch, match="no record of a stream"):
        rt.replay(path)


def test_a_stream_that_cannot_be_opened_leaves_no_record(rt, tmp_path):
    texts = [(float(n), "a") for n in range(65537)]
    with pytest.raises(trml_rt.UsageError, match="more than 65536"):
        rt.stream(text=texts, record=tmp_path / "r.jsonl")
    assert list(tmp_path.iterdir()) == []
