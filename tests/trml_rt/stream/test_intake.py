"""What becomes of frames at the door: their place in time, and what is dropped for which cause."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.trml_rt.stream.conftest import answers, assert_closed_accounts


def push(stream, frames, times):
    for number, t in enumerate(times):
        stream.push_frame(frames[number], t=t)


def test_with_freshest_the_newest_frame_takes_the_place_of_the_one_that_waits(frames, open_stream):
    stream = open_stream()
    push(stream, frames, (0.0, 0.1, 0.2))
    assert [answer.t for answer in answers(stream)] == [0.2]
    totals = assert_closed_accounts(stream)
    assert (totals.seen, totals.answered, totals.dropped) == (3, 1, {"buffer": 2})


def test_with_every_a_frame_for_which_there_is_no_room_is_not_taken(frames, open_stream):
    stream = open_stream(policy="every", buffer=2)
    assert [stream.push_frame(frames[n], t=n / 10) for n in range(3)] == [True, True, False]
    assert stream.totals.seen == 2
    assert stream.poll().t == 0.0
    assert stream.push_frame(frames[2], t=0.2)
    assert [answer.t for answer in answers(stream)] == [0.1, 0.2]
    assert assert_closed_accounts(stream).dropped == {}


def test_a_frame_that_waited_too_long_is_stale(frames, open_stream, clock):
    stream = open_stream(max_staleness=0.5)
    stream.push_frame(frames[0], t=0.0)
    clock.now += 0.6
    assert stream.poll() is None
    stream.push_frame(frames[1], t=0.6)
    clock.now += 0.4
    assert stream.poll().t == 0.6
    assert assert_closed_accounts(stream).dropped == {"stale": 1}


def test_with_every_no_frame_is_stale(frames, open_stream, clock):
    stream = open_stream(policy="every")
    stream.push_frame(frames[0], t=0.0)
    clock.now += 1000
    assert stream.poll() is not None


def test_frames_are_taken_on_a_grid_of_time_that_rounding_does_not_move(frames, open_stream):
    stream = open_stream(policy="every", every=0.1, buffer=300)
    push(stream, frames, [n / 30 for n in range(300)])
    times = [answer.t for answer in answers(stream)]
    assert len(times) == 100
    assert times == pytest.approx([n / 10 for n in range(100)])
    assert assert_closed_accounts(stream).dropped == {"between": 200}


def test_a_late_frame_does_not_move_the_grid(frames, open_stream):
    stream = open_stream(policy="every", every=1.0)
    push(stream, frames, (0.0, 1.4, 1.9, 2.0, 2.5, 3.1))
    assert [answer.t for answer in answers(stream)] == [0.0, 1.4, 2.0, 3.1]


def test_a_frame_whose_time_did_not_move_is_dropped(frames, open_stream):
    stream = open_stream(policy="every")
    push(stream, frames, (0.0, 0.0, 0.0, 0.1))
    assert [answer.t for answer in answers(stream)] == [0.0, 0.1]
    assert assert_closed_accounts(stream).dropped == {"unchanged": 2}


@pytest.mark.parametrize(("jump", "epochs"), [(0.0, [0, 1]), (10.5, [0, 0]), (10.6, [0, 1])])
def test_a_step_back_or_far_ahead_begins_an_epoch_with_a_window_of_its_own(
    frames, open_stream, jump, epochs
):
    stream = open_stream(policy="every", window=4)
    push(stream, frames, (0.5, jump))
    found = answers(stream)
    assert [answer.epoch for answer in found] == epochs
    assert found[1].inputs["video"].frames == (1 if epochs[1] else 2)
    assert found[1].t0 == (jump if epochs[1] else 0.5)


def test_time_never_runs_back_within_an_epoch_and_no_window_spans_two(frames, open_stream):
    stream = open_stream(policy="every", window=3, every=0.1, buffer=300)
    push(stream, frames, [n % 40 / 25 for n in range(200)])
    found = answers(stream)
    assert {answer.epoch for answer in found} == {0, 1, 2, 3, 4}
    for before, after in pairwise(found):
        assert after.epoch > before.epoch or (after.epoch == before.epoch and after.t > before.t)
        assert after.t0 <= after.t1
    assert all(answer.t1 - answer.t0 < 0.3 for answer in found)
    assert_closed_accounts(stream)


def test_a_text_without_a_time_goes_on_counting_where_time_jumps(frames, open_stream):
    stream = open_stream(policy="every", hold=5.0)
    stream.push_frame(frames[0], t=1000.0)
    stream.push_text("a good day")
    assert stream.poll().text == "a good day"
    stream.push_frame(frames[1], t=3.0)
    stream.push_frame(frames[2], t=8.0)
    stream.push_frame(frames[3], t=8.1)
    assert [answer.text for answer in answers(stream)] == ["a good day", "a good day", None]


def test_a_text_before_the_first_frame_counts_from_that_frame_on(frames, open_stream, clock):
    stream = open_stream(hold=5.0)
    stream.push_text("a good day")
    clock.now += 1.0
    stream.push_frame(frames[0], t=700.0)
    assert stream.poll().text == "a good day"


def test_a_text_that_is_answered_before_the_first_frame_costs_no_epoch(frames, open_stream, clock):
    stream = open_stream()
    clock.now += 3.0
    stream.push_text("a good day")
    assert (stream.poll().t, stream.totals.seen) == (0.0, 0)
    stream.push_frame(frames[0], t=0.0)
    answer = stream.poll()
    assert (answer.epoch, answer.t, answer.text) == (0, 0.0, "a good day")
    stream.push_frame(frames[0], t=-1.0)
    assert stream.poll().epoch == 1
