"""The states of video: which faults are seen, each told once, and how the real one comes back."""

from __future__ import annotations

import numpy as np

from tests.trml_rt.stream.conftest import answers, assert_closed_accounts, told

GOOD = "what a good day"


def show(stream, clock, frames, seconds, start=0.0, rate=10):
    """Push frames in real time and return all answers."""
    found = []
    for number in range(round(seconds * rate)):
        stream.push_frame(frames[number], t=start + number / rate)
        found += answers(stream)
        clock.now += 1 / rate
    return found


def wait(stream, clock, seconds):
    found = []
    for _ in range(round(seconds * 10)):
        clock.now += 0.1
        found += answers(stream)
    return found


def test_a_camera_that_gives_nothing_is_stalled_and_answers_go_on(
    frames, open_stream, clock, events
):
    stream = open_stream(window=2, hold=60, stall_after=2.0)
    stream.push_text(GOOD)
    show(stream, clock, frames, 1)
    found = wait(stream, clock, 5.5)
    assert told(events) == [("running", None), ("stalled", "stalled")]
    assert {answer.inputs["video"].reason.value for answer in found} == {"stalled"}
    assert len(found) == 4  # one at once, and one a second
    times = [answer.t for answer in found]
    assert times == sorted(times)


def test_real_video_comes_back_with_a_full_window_and_not_before(
    frames, open_stream, clock, events
):
    stream = open_stream(window=3)
    show(stream, clock, frames, 1)
    wait(stream, clock, 3)
    events.clear()
    found = show(stream, clock, frames, 0.5, start=4.0)
    assert told(events) == [("running", None)]
    assert [answer.inputs["video"].frames for answer in found] == [3, 3, 3]
    assert found[0].t0 == 4.0
    totals = assert_closed_accounts(stream)
    assert totals.dropped == {}
    assert totals.answered == 15


def test_a_camera_that_comes_and_goes_does_not_flap(frames, open_stream, clock, events):
    stream = open_stream(window=4, hold=600)
    stream.push_text(GOOD)
    show(stream, clock, frames, 1)
    for round_ in range(5):
        wait(stream, clock, 3)
        found = show(stream, clock, frames, 0.2, start=10.0 * (round_ + 1))
        assert all(answer.inputs["video"].state == "virtual" for answer in found)
    assert told(events) == [("running", None), ("stalled", "stalled")]
    assert assert_closed_accounts(stream).answered == 10


def test_time_stamps_that_stand_still_are_a_frozen_camera(frames, open_stream, clock, events):
    stream = open_stream()
    for number in range(30):
        stream.push_frame(frames[number], t=0.5)
        stream.poll()
        clock.now += 0.1
    assert told(events) == [("running", None), ("stalled", "frozen")]
    assert assert_closed_accounts(stream).dropped == {"unchanged": 29}


def test_a_still_scene_still_gives_answers(frames, open_stream, clock, events):
    stream = open_stream()
    still = np.repeat(frames[:1], 100, axis=0)
    assert len(show(stream, clock, still, 10)) == 100
    assert told(events) == [("running", None)]


def test_equal_frames_count_as_frozen_where_the_caller_asks(frames, open_stream, clock, events):
    stream = open_stream(window=2, freeze_after=1.0)
    still = np.repeat(frames[:1], 100, axis=0)
    assert len(show(stream, clock, still, 3)) == 10
    found = show(stream, clock, frames[1:], 1, start=3.0)
    assert told(events) == [("running", None), ("stalled", "frozen"), ("running", None)]
    assert len(found) == 9
    totals = assert_closed_accounts(stream)
    assert totals.dropped == {"unchanged": 20}


def test_equal_frames_that_are_black_say_so(open_stream, clock, events):
    stream = open_stream(freeze_after=1.0)
    show(stream, clock, np.full((20, 8, 8, 3), 16, np.uint8), 2)
    assert told(events)[-1] == ("stalled", "black")


def test_frames_that_all_come_too_late_are_stale(frames, open_stream, clock, events):
    stream = open_stream(hold=60)
    stream.push_text(GOOD)
    stream.push_frame(frames[0], t=0.0)
    stream.poll()
    for number in range(1, 8):
        stream.push_frame(frames[number], t=float(number) / 2)
        clock.now += 0.6  # a slow consumer
        stream.poll()
    assert told(events) == [("running", None), ("stalled", "stale")]
    assert assert_closed_accounts(stream).dropped == {"stale": 7}


def test_a_source_that_is_lost_says_so_behind_its_last_frames(frames, open_stream, clock, events):
    stream = open_stream(policy="every", window=2)
    stream.push_state("connecting")
    stream.push_frame(frames[0], t=0.0)
    stream.push_state("retrying", "the camera is gone")
    stream.push_frame(frames[1], t=0.1)
    stream.push_frame(frames[2], t=0.2)
    stream.push_state("ended")
    found = answers(stream)
    assert told(events) == [
        ("connecting", "connecting"),
        ("running", None),
        ("retrying", "lost"),
        ("running", None),
        ("ended", "ended"),
    ]
    assert events[2].message == "the camera is gone"
    assert [answer.t0 for answer in found] == [0.0, 0.1]
    assert assert_closed_accounts(stream).dropped == {}


def test_frames_that_never_made_a_full_window_are_unfinished(frames, open_stream):
    stream = open_stream(policy="every", window=3)
    stream.push_frame(frames[0], t=0.0)
    stream.push_state("retrying")
    stream.push_frame(frames[1], t=0.1)
    stream.push_state("retrying")
    stream.push_frame(frames[2], t=0.2)
    assert [answer.t for answer in answers(stream)] == [0.0]
    totals = assert_closed_accounts(stream)
    assert (totals.answered, totals.dropped) == (1, {"unfinished": 2})


def test_no_event_comes_twice_for_one_change(frames, open_stream, events):
    stream = open_stream()
    for _ in range(3):
        stream.push_state("connecting")
    stream.poll()
    assert [event.to_dict() for event in events] == [
        {"event": "video", "state": "connecting", "reason": "connecting", "epoch": 0}
    ]


def test_texts_after_the_end_of_video_are_answered_alone_and_in_order(frames, open_stream, rt):
    stream = open_stream(policy="every")
    stream.push_text("a good day", t=0.0, end=1.0)
    stream.push_text("a bad day", t=20.0, end=21.0)
    stream.push_text("what a day", t=30.0, end=31.0)
    stream.push_frame(frames[0], t=0.5)
    stream.push_state("ended")
    found = answers(stream)
    assert [(answer.text, answer.t) for answer in found] == [
        ("a good day", 0.5),
        ("a bad day", 20.0),
        ("what a day", 30.0),
    ]
    assert found[1].inputs["video"].reason == "ended"
    assert found[1].score == rt.infer(text="a bad day").score


def test_a_frame_that_is_stale_now_and_then_is_no_loss(frames, open_stream, clock, events):
    stream = open_stream()
    for number in range(8):
        stream.push_frame(frames[number], t=float(number))
        clock.now += 0.6 if number % 2 else 0.1
        stream.poll()
        clock.now += 0.9 if number % 2 else 0.4
    assert told(events) == [("running", None)]
    assert assert_closed_accounts(stream).dropped == {"stale": 4}


def test_a_frame_that_an_answer_on_a_text_has_overtaken_is_stale(frames, open_stream, clock):
    stream = open_stream(window=1, buffer=2, max_staleness=2.2, hold=60)
    stream.push_text(GOOD)
    stream.push_frame(frames[0], t=0.0)
    found = answers(stream)
    stream.push_frame(frames[1], t=0.04)
    clock.now += 0.3
    stream.push_frame(frames[2], t=0.34)
    clock.now += 2.1  # the first one is stale by now, and the other is not
    found += answers(stream)
    assert [answer.engine_set for answer in found][-2:] == ["text_video", "text"]
    assert assert_closed_accounts(stream).dropped == {"stale": 2}
