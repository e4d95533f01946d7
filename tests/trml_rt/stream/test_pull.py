"""A stream that has sources: files, folders, iterables, and texts on their own clock."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

import trml_rt
from tests import media
from tests.conftest import TINY
from tests.trml_rt.stream.conftest import assert_closed_accounts, told
from trml_rt.inputs.in_turn import frames_in_turn

GOOD, BAD = "a good day", "a bad day"


def test_a_video_gives_the_answers_of_infer_on_the_same_frames(rt, tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 20, rate=10)
    pictures = [picture for _, picture in frames_in_turn(path)]
    events = []
    with rt.stream(path, window=3, on_event=events.append) as stream:
        found = list(stream)
    assert [answer.plain() for answer in found] == [
        rt.infer(video=pictures[max(0, n - 2) : n + 1]) for n in range(20)
    ]
    assert [answer.t for answer in found] == pytest.approx([n / 10 for n in range(20)])
    assert told(events) == [("connecting", "connecting"), ("running", None), ("ended", "ended")]
    totals = assert_closed_accounts(stream)
    assert (totals.seen, totals.answered) == (20, 20)


def test_the_same_file_gives_the_same_answers_each_time(rt, tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 30, rate=10)
    texts = [(0.5, 1.0, GOOD), (2.0, 2.5, BAD), (9.0, 9.5, GOOD)]

    def run():
        events = []
        with rt.stream(path, texts, every=0.3, hold=0.5, on_event=events.append) as stream:
            return list(stream), events

    first = run()
    for _ in range(5):
        assert run() == first
    answers, events = first
    assert [answer.text for answer in answers] == [
        *(None, None, GOOD, GOOD, GOOD, GOOD, None, BAD, BAD, BAD, GOOD)
    ]
    reasons = {answer.inputs["text"].reason for answer in answers if answer.inputs["text"].reason}
    assert reasons == {"not_given", "stale"}
    assert [(event.input, event.state) for event in events] == [
        ("video", "connecting"),
        ("video", "running"),
        ("text", "running"),
        ("video", "ended"),
        ("text", "ended"),
    ]


def test_subtitles_count_at_their_times(rt, tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 30, rate=10)
    srt = f"1\n00:00:00,000 --> 00:00:00,900\n{GOOD}\n\n2\n00:00:02,000 --> 00:00:02,500\n{BAD}\n"
    (tmp_path / "v.srt").write_text(srt)
    with rt.stream(path, tmp_path / "v.srt", every=0.5, hold=0) as stream:
        assert [answer.text for answer in stream] == [GOOD, GOOD, None, None, BAD, BAD]


def test_a_folder_of_pictures_is_a_video_of_a_picture_a_second(rt, tmp_path):
    for number in range(3):
        Image.fromarray(media.numbered(number)).save(tmp_path / f"{number}.png")
    with rt.stream(tmp_path) as stream:
        assert [answer.t for answer in stream] == [0.0, 1.0, 2.0]


def test_frames_of_an_iterable_have_the_order_that_is_named(rt, frames):
    pairs = [(n / 10, frame[..., ::-1]) for n, frame in enumerate(frames[:3])]
    with rt.stream(pairs, order="bgr", window=1) as stream:
        assert [a.score for a in stream] == [rt.infer(video=[f]).score for f in frames[:3]]


def test_texts_alone_are_answered_each_in_order(rt):
    with rt.stream(
        text=[GOOD, (3.0, BAD), {"t": 4.0, "text": GOOD}, '{"t": 5, "text": "bad"}']
    ) as stream:
        found = list(stream)
    assert [answer.text for answer in found] == [GOOD, BAD, GOOD, "bad"]
    assert [answer.t for answer in found][1:] == [3.0, 4.0, 5.0]
    assert found[0].plain() == rt.infer(text=GOOD)
    assert found[0].inputs["video"].reason == "not_given"


def test_texts_that_come_one_by_one_are_answered_as_they_come(rt):
    more = threading.Event()

    def lines():
        yield GOOD
        assert more.wait(30)
        yield BAD

    with rt.stream(text=lines()) as stream:
        assert stream.poll(timeout=30).text == GOOD
        more.set()
        assert stream.poll(timeout=30).text == BAD
        assert stream.poll(timeout=30) is None
        assert stream.finished


def test_a_slow_consumer_loses_nothing_of_a_file(rt, tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 40, rate=10)
    with rt.stream(path, buffer=1) as stream:
        found = list(stream)
    assert len(found) == 40
    assert stream.totals.dropped == {}


def test_what_fails_in_a_source_is_raised_where_answers_are_polled(rt, frames, tmp_path):
    events = []
    with (
        rt.stream(tmp_path / "absent.mp4", on_event=events.append) as stream,
        pytest.raises(trml_rt.InputUnusable, match=r"absent\.mp4"),
    ):
        list(stream)
    assert told(events) == [("connecting", "connecting"), ("failed", "lost")]

    def broken():
        yield 0.0, frames[0]
        raise ZeroDivisionError

    with rt.stream(broken()) as stream:
        assert stream.poll(timeout=30) is not None
        with pytest.raises(ZeroDivisionError):
            stream.poll(timeout=30)
    assert assert_closed_accounts(stream).answered == 1


def test_the_limits_of_the_runtime_hold_for_the_file_of_a_stream(tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 2)
    small = trml_rt.MediaLimits(pixels=1000)
    with (
        trml_rt.load(TINY, limits=small) as rt,
        rt.stream(path) as stream,
        pytest.raises(trml_rt.InputUnusable, match="pixels are too many"),
    ):
        list(stream)


def test_a_stream_that_is_closed_early_ends_its_threads(rt, tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 60, rate=10)
    closed = []

    def texts():
        try:
            while True:
                yield GOOD
        finally:
            closed.append(True)

    before = threading.active_count()
    with rt.stream(path, texts()) as stream:
        assert stream.poll(timeout=30) is not None
    assert threading.active_count() == before
    assert closed == [True]
    assert_closed_accounts(stream)


def test_a_stream_that_is_told_to_end_answers_on_what_waits_and_stops(rt, frames):
    def camera():
        number = 0
        while True:
            yield number / 10, frames[number % 300]
            number += 1

    with rt.stream(camera(), buffer=4) as stream:
        assert stream.poll(timeout=30) is not None
        stream.end()
        rest = list(stream)
    assert len(rest) <= 5
    assert assert_closed_accounts(stream).dropped == {}


@pytest.mark.parametrize(
    ("sources", "match"),
    [
        ({"video": 3}, "video: must be a path, or pairs of a time and a frame, not int"),
        ({"video": b"RIFF"}, "not bytes"),
        ({"text": [3]}, "text 1: must be a str"),
        ({"text": ["so far", "{"]}, "text 2: is no JSON"),
        ({"text": [b"\xff"]}, "text 1: is not UTF-8 at byte 0"),
        ({"text": 3}, "text: must be a path, or texts one after another, not int"),
        ({"video": "v.mp4", "order": "grb"}, "no order 'grb'"),
    ],
)
def test_what_is_no_source_is_refused_at_once(rt, sources, match):
    with pytest.raises((trml_rt.UsageError, trml_rt.InputUnusable), match=match):
        rt.stream(**sources)


@pytest.mark.parametrize(
    ("sources", "match"),
    [
        ({"video": [np.zeros((8, 8, 3), np.uint8)]}, "must be pairs of a time and a frame"),
        ({"text": iter([3])}, "text 1: must be a str"),
        ({"text": iter([(1.0, 2.0, 3.0, "a")])}, "text 1: must be a str"),
    ],
)
def test_an_item_that_is_none_is_refused_where_answers_are_polled(rt, sources, match):
    events = []
    stream = rt.stream(**sources, on_event=events.append)
    with stream, pytest.raises(trml_rt.UsageError, match=match):
        list(stream)
    assert (events[-1].input, events[-1].state) == (*sources, "failed")


def test_more_texts_than_may_wait_are_refused(rt):
    with pytest.raises(trml_rt.UsageError, match="65537 texts are more than 65536"):
        rt.stream(text=[(float(n), "a") for n in range(65537)])


def test_a_file_of_texts_that_is_wrong_is_refused_at_once(rt, tmp_path):
    (tmp_path / "t.srt").write_text("no times")
    with pytest.raises(trml_rt.InputUnusable, match="neither SRT"):
        rt.stream(text=tmp_path / "t.srt")


def test_lines_that_cannot_be_read_end_no_stream(rt):
    events = []
    texts = iter([b"{", b"a good day", "{", b"\xff"])
    with rt.stream(text=texts, on_event=events.append) as stream:
        assert [answer.text for answer in stream] == ["a good day"]
    refused = [event for event in events if event.state == "refused"]
    assert [event.message.split(":")[0] for event in refused] == ["text 1", "text 3", "text 4"]
    assert stream.totals.refused_texts == 3


def test_of_lines_that_cannot_be_read_a_bounded_number_waits_to_be_told(open_stream):
    stream = open_stream()
    fault = trml_rt.InputUnusable("text 1: is no JSON", reason="undecodable")
    told = [stream._intake.refuse_text(fault) for _ in range(65)]
    assert told == [True] * 64 + [False]
    assert stream.poll() is None
    assert stream._intake.refuse_text(fault)
