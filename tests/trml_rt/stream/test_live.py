"""Live sources: their epochs, states and drops come into the stream, and into its sum."""

from __future__ import annotations

import numpy as np
import pytest

import trml_rt
from tests import media
from tests.trml_rt.stream.conftest import assert_closed_accounts, told
from trml_rt.inputs.live import Dropped, Frame, LiveSource, State
from trml_rt.stream import opening

CAMERA = "rtsp://user:secret@camera/1"


@pytest.fixture
def camera(monkeypatch):
    """Have a live source tell what a test says."""
    made = []

    class Fake(LiveSource):
        def __init__(self, address, **settings):
            self.address, self.settings, self.closed = address, settings, False
            made.append(self)

        def __iter__(self):
            yield from self.events

        def close(self):
            self.closed = True

    def set_up(*events):
        Fake.events = events
        monkeypatch.setattr(opening, "open_source", Fake)
        return made

    return set_up


def frame(number, t, epoch, arrived=0.0):
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Frame(t, pixels, epoch, arrived)


def state(name, reason=None):
    return State(name, reason, 0, f"rtsp://camera/1: {name}")


def test_what_a_camera_tells_comes_in_its_order(rt, camera):
    camera(
        state("connecting", "connecting"),
        Dropped("before_keyframe", 3),
        state("running"),
        *(frame(n, n / 10, 0) for n in range(3)),
        state("retrying", "lost"),
        Dropped("decode_error", 2),
        state("running"),
        *(frame(10 + n, n / 10, 1) for n in range(4)),
        state("ended"),
    )
    events = []
    with rt.stream(CAMERA, policy="every", window=2, on_event=events.append) as stream:
        answers = list(stream)
    assert told(events) == [
        *(("connecting", "connecting"), ("running", None), ("retrying", "lost")),
        *(("running", None), ("ended", "ended")),
    ]
    assert [(a.epoch, a.t0, a.t1) for a in answers] == [
        *((0, 0.0, 0.0), (0, 0.0, 0.1), (0, 0.1, 0.2)),
        *((1, 0.0, 0.1), (1, 0.1, 0.2), (1, 0.2, 0.3)),
    ]
    pixels = [frame(n, 0, 0).pixels for n in (12, 13)]
    assert answers[-1].plain() == rt.infer(video=pixels)
    totals = assert_closed_accounts(stream)
    assert (totals.seen, totals.answered) == (12, 7)
    assert totals.dropped == {"before_keyframe": 3, "decode_error": 2}


def test_a_reconnect_is_an_epoch_though_time_goes_on(rt, camera):
    camera(state("running"), frame(0, 0.0, 0), frame(1, 0.1, 1), state("ended"))
    with rt.stream(CAMERA, policy="every") as stream:
        assert [a.epoch for a in stream] == [0, 1]


def test_a_camera_is_opened_with_the_rules_of_the_stream_and_closed_with_it(rt, camera):
    made = camera(state("ended"))
    with rt.stream(CAMERA, every=0.5, stall_after=3.0, restart_after=1.0, wait_for_source=True):
        pass
    [source] = made
    assert source.closed
    assert source.address == CAMERA
    settings = source.settings
    assert (settings["interval"], settings["policy"], settings["buffer"]) == (0.5, "freshest", 1)
    assert (settings["stall_after"], settings["restart_after"]) == (3.0, 3.0)
    assert settings["wait_for_source"]
    assert settings["preprocessing"].height == 8


def test_a_camera_that_never_gave_a_frame_is_an_error(rt, camera):
    camera(state("connecting", "connecting"), state("failed", "lost"))
    events = []
    with (
        rt.stream(CAMERA, on_event=events.append) as stream,
        pytest.raises(trml_rt.InputUnusable, match="rtsp://camera/1: failed") as caught,
    ):
        list(stream)
    assert (caught.value.reason, caught.value.exit_code) == ("lost", 6)
    assert told(events)[-1] == ("failed", "lost")


def test_a_source_that_fails_after_its_first_frame_ends_the_stream(rt, camera):
    camera(state("running"), frame(0, 0.0, 0), state("failed", "lost"))
    events = []
    with rt.stream("pipe:x", on_event=events.append) as stream:
        assert len(list(stream)) == 1
    assert told(events) == [("running", None), ("failed", "lost")]


def test_the_age_of_an_answer_counts_from_the_arrival_at_the_reader(rt, camera, clock):
    camera(state("running"), frame(0, 0.0, 0, arrived=clock.now - 0.3))
    with rt.stream(CAMERA, clock=clock) as stream:
        assert stream.poll(timeout=None).age_ms == pytest.approx(300)


def test_a_frame_that_was_too_long_on_its_way_is_stale(rt, camera, clock):
    camera(state("running"), frame(0, 0.0, 0, arrived=clock.now - 0.6), state("ended"))
    with rt.stream(CAMERA, clock=clock) as stream:
        assert list(stream) == []
    assert assert_closed_accounts(stream).dropped == {"stale": 1}


def test_a_pattern_is_read_by_a_real_child_to_its_end(rt):
    events = []
    pattern = "test:?rate=50&frames=20&size=64x48"
    with rt.stream(pattern, policy="every", on_event=events.append) as stream:
        answers = list(stream)
    assert [round(answer.t, 2) for answer in answers] == [n / 50 for n in range(20)]
    assert assert_closed_accounts(stream).answered == 20
    assert told(events) == [("connecting", "connecting"), ("running", None), ("ended", "ended")]


def test_a_file_that_is_decoded_apart_gives_the_same_answers(rt, tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 20, rate=10)
    found = []
    for isolate in (False, True):
        with rt.stream(path, every=0.3, isolate=isolate) as stream:
            found.append(list(stream))
    here, apart = ([answer.plain() for answer in answers] for answers in found)
    assert here == apart
    assert [answer.t for answer in found[1]] == pytest.approx([0.3 * n for n in range(7)])


def test_what_names_no_source_is_refused_at_once_and_leaves_no_record(rt, tmp_path):
    with pytest.raises(trml_rt.UsageError, match="the scheme ftp: is not read"):
        rt.stream("ftp://camera/1", record=tmp_path / "r.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_exists_opens_no_camera(rt, camera, tmp_path):
    made = camera(state("ended"))
    (tmp_path / "r.jsonl").write_text("")
    with pytest.raises(trml_rt.UsageError, match="exists"):
        rt.stream(CAMERA, record=tmp_path / "r.jsonl")
    assert made == []


def test_a_decoder_that_is_killed_costs_a_retry_and_real_video_comes_back(rt, monkeypatch):
    real, sources = opening.open_source, []

    def open_source(address, **settings):
        sources.append(real(address, **{**settings, "backoff": (0.05, 0.05)}))
        return sources[-1]

    monkeypatch.setattr(opening, "open_source", open_source)
    events, reasons, killed = [], [], False
    with rt.stream(
        "test:?rate=50&size=64x48", window=3, hold=1e9, on_event=events.append
    ) as stream:
        stream.push_text("a good day")
        for answer in stream:
            reasons.append(answer.inputs["video"].reason)
            if answer.epoch == 0 and answer.inputs["video"].frames == 3 and not killed:
                killed = True
                sources[0]._child.kill()
            if answer.inputs["video"].frames == 3 and ("retrying", "lost") in told(events):
                break
    assert [event for event in told(events) if event[0] != "connecting"] == [
        *(("running", None), ("retrying", "lost"), ("running", None)),
    ]
    assert {reason.value for reason in reasons if reason is not None} <= {"connecting", "lost"}
    assert answer.epoch == 1
    assert_closed_accounts(stream)
