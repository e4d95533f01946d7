"""What one who pushes and polls sees: answers equal to those offline, their times, and sums."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import trml_rt
from tests.conftest import TINY
from tests.trml_rt.stream.conftest import answers, assert_closed_accounts, told
from trml_rt.engines.dispatch import Dispatcher

GOOD = "what a good day"


def same_bits(streamed, offline):
    assert streamed.plain() == offline
    assert streamed.score.hex() == offline.score.hex()


@pytest.mark.parametrize(
    ("window", "every", "keep"),
    [
        (1, 0.0, True),
        (2, 0.0, True),
        (4, 0.0, True),
        (3, 0.1, True),
        (4, 0.25, True),
        (3, 0.1, False),
    ],
)
def test_a_streamed_answer_is_the_offline_one_bit_for_bit(
    rt, frames, open_stream, window, every, keep
):
    stream = open_stream(window=window, every=every, policy="every", keep_vectors=keep)
    taken, count = [], 0
    for number, frame in enumerate(frames):
        text = GOOD if number % 7 < 3 else "a bad day"
        if number % 7 in (0, 3):
            stream.push_text(text, t=number / 25, end=number / 25 + 9)
        assert stream.push_frame(frame, t=number / 25)
        if every == 0 or number / 25 >= len(taken) * every - 1e-9:
            taken.append(frame)
            same_bits(stream.poll(), rt.infer(text=text, video=taken[-window:]))
            count += 1
        assert stream.poll() is None
    totals = assert_closed_accounts(stream)
    assert totals.seen == 300
    assert totals.answered == count == len(taken)
    assert totals.dropped == ({"between": 300 - count} if every else {})


def test_a_window_with_one_new_frame_encodes_one_frame(frames, open_stream, monkeypatch):
    encoded = []
    encode = Dispatcher.encode

    def count(self, encoder, inputs):
        encoded.append((encoder, len(next(iter(inputs.values())))))
        return encode(self, encoder, inputs)

    monkeypatch.setattr(Dispatcher, "encode", count)
    stream = open_stream(window=4)
    stream.push_text(GOOD)
    for number in range(6):
        stream.push_frame(frames[number], t=number / 10)
        assert stream.poll().engine_set == "text_video"
    assert encoded == [("text", 1)] + 6 * [("frame", 1)]


def test_the_time_of_an_encoder_stands_in_the_answer_that_it_ran_for(frames, open_stream):
    stream = open_stream()
    stream.push_text(GOOD)
    stream.push_frame(frames[0], t=0.0)
    first = stream.poll()
    assert list(first.ms) == ["decode", "preprocess", "text", "frame", "fuse_text_video", "total"]
    stream.push_frame(frames[1], t=0.1)
    assert "text" not in stream.poll().ms


def test_an_answer_carries_its_times(frames, open_stream, clock):
    stream = open_stream(window=2, policy="every")
    for number in range(3):
        stream.push_frame(frames[number], t=0.5 * number)
    clock.now += 0.25
    found = answers(stream)
    assert [(each.seq, each.t0, each.t1, each.t) for each in found] == [
        (0, 0.0, 0.0, 0.0),
        (1, 0.0, 0.5, 0.5),
        (2, 0.5, 1.0, 1.0),
    ]
    assert [each.age_ms for each in found] == [250.0, 250.0, 250.0]
    record = found[2].to_dict()
    assert (record["seq"], record["epoch"], record["t0"], record["spoken"]) == (2, 0, 0.5, None)
    assert record["inputs"]["text"] == {"state": "virtual", "reason": "not_given"}


def test_a_text_pushed_after_a_frame_counts_for_it(frames, open_stream):
    stream = open_stream()
    stream.push_frame(frames[0], t=0.04)
    stream.push_text(GOOD)
    answer = stream.poll()
    assert (answer.text, answer.engine_set) == (GOOD, "text_video")


def test_a_text_alone_is_answered_once_where_no_video_comes(open_stream, rt):
    stream = open_stream()
    stream.push_text(GOOD)
    [answer] = answers(stream)
    same_bits(answer, rt.infer(text=GOOD))
    assert answers(stream) == []


def test_a_text_that_the_model_does_not_know_counts_as_missing(frames, open_stream):
    stream = open_stream()
    stream.push_text("привет")
    assert stream.poll() is None
    stream.push_frame(frames[0], t=0.0)
    answer = stream.poll()
    assert answer.engine_set == "video"
    assert answer.inputs["text"].reason == "unknown_text"


def test_the_early_answer_is_on_the_text_and_the_next_on_both(frames, open_stream, rt):
    stream = open_stream(anytime=True)
    stream.push_text(GOOD)
    stream.push_frame(frames[0], t=0.0)
    early, final = answers(stream)[-2:]
    assert (early.final, final.final) == (False, True)
    assert early.score == rt.infer(text=GOOD).score
    assert early.inputs["video"].reason == "deadline"
    assert early.to_dict()["final"] is False
    same_bits(final, rt.infer(text=GOOD, video=[frames[0]]))
    assert assert_closed_accounts(stream).answered == 1


def test_video_that_would_be_late_is_left_out_and_counted(frames, open_stream, clock, monkeypatch):
    stream = open_stream(deadline_ms=50.0, window=2)
    run = Dispatcher.encode

    def slow(self, encoder, inputs):
        clock.now += 0.08 if encoder == "frame" else 0.0
        return run(self, encoder, inputs)

    monkeypatch.setattr(Dispatcher, "encode", slow)
    for number in range(6):
        stream.push_text(GOOD)
        stream.push_frame(frames[number], t=number / 10)
        found = stream.poll()
        if number < 3:  # hardly anything is known of the device as yet
            assert (found.engine_set, found.late) == ("text_video", True)
        else:
            assert (found.engine_set, found.late) == ("text", False)
            assert found.inputs["video"].reason == "deadline"
    totals = assert_closed_accounts(stream)
    assert (totals.answered, totals.dropped) == (3, {"deadline": 3})


def test_video_alone_is_answered_late_and_says_so(frames, open_stream, clock, monkeypatch):
    stream = open_stream(deadline_ms=50.0)
    for number in range(2):
        stream.push_frame(frames[number], t=number / 10)
        clock.now += 0.06
        assert stream.poll().late


def test_a_stream_that_ends_answers_on_what_waits(frames, open_stream):
    stream = open_stream(policy="every", buffer=3)
    for number in range(3):
        assert stream.push_frame(frames[number], t=number / 10)
    stream.end()
    assert [answer.seq for answer in stream] == [0, 1, 2]
    assert stream.finished
    with pytest.raises(trml_rt.UsageError, match="told that it ends"):
        stream.push_frame(frames[0], t=1.0)


def test_a_stream_that_is_closed_drops_what_waits(frames, open_stream):
    stream = open_stream(policy="every", buffer=3)
    for number in range(3):
        stream.push_frame(frames[number], t=number / 10)
    stream.poll()
    assert stream.totals.waiting == 2
    totals = assert_closed_accounts(stream)
    assert (totals.answered, totals.dropped) == (1, {"unfinished": 2})
    stream.close()
    assert stream.poll() is None
    with pytest.raises(trml_rt.UsageError, match="is closed"):
        stream.push_text(GOOD)


def test_a_frame_whose_text_cannot_be_read_for_a_damaged_bundle_is_accounted_for(
    bundle_copy, frames
):
    tokenizer = bundle_copy / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes()[:-1] + b" ")
    with trml_rt.load(bundle_copy) as rt, rt.stream() as stream:
        stream.push_text(GOOD)
        stream.push_frame(frames[0], t=0.0)
        with pytest.raises(trml_rt.ArtefactMismatch, match=r"tokenizer\.json"):
            stream.poll()
        assert assert_closed_accounts(stream).dropped == {"unfinished": 1}


def test_one_who_waits_gets_the_answer_when_a_frame_comes(rt, frames):
    with rt.stream() as stream:
        teller = threading.Timer(0.05, lambda: stream.push_frame(frames[0], t=0.0))
        teller.start()
        assert stream.poll(timeout=30).engine_set == "video"
        teller.join()


def test_closing_ends_the_wait_of_another_thread(rt):
    stream = rt.stream()
    closer = threading.Timer(0.05, stream.close)
    closer.start()
    assert stream.poll(timeout=None) is None
    closer.join()


def test_an_event_may_close_the_stream_that_tells_it(rt, frames):
    with rt.stream(on_event=lambda event: stream.close()) as stream:
        stream.push_frame(frames[0], t=0.0)
        assert stream.poll().engine_set == "video"
        assert stream.poll(timeout=None) is None
    assert_closed_accounts(stream)


def test_several_cameras_share_the_engines_and_one_that_is_lost_harms_no_other(
    rt, frames, clock, open_stream
):
    first, second = open_stream(window=2), open_stream(window=2)
    for number in range(8):
        clock.now += 1.0
        first.push_frame(frames[number], t=float(number))
        same_bits(first.poll(), rt.infer(video=frames[max(0, number - 1) : number + 1]))
        if number < 3:
            second.push_frame(frames[100 + number], t=float(number))
            assert second.poll() is not None
        else:
            assert second.poll() is None
    assert assert_closed_accounts(first).answered == 8
    assert assert_closed_accounts(second).answered == 3


def test_streams_in_threads_of_their_own_answer_as_offline(rt, frames):
    found = {}

    def camera(name, own):
        with rt.stream(window=3, policy="every") as stream:
            scores = []
            for number, frame in enumerate(own):
                stream.push_frame(frame, t=number / 10)
                scores.append(stream.poll().score)
            found[name] = scores

    threads = [
        threading.Thread(target=camera, args=(k, frames[50 * k : 50 * k + 50])) for k in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(3):
        own = frames[50 * k : 50 * k + 50]
        offline = [rt.infer(video=own[max(0, n - 2) : n + 1]).score for n in range(50)]
        assert found[k] == offline


def test_frames_of_opencv_have_their_colours_the_other_way_round(rt, frames, open_stream):
    stream = open_stream()
    stream.push_frame(frames[0][..., ::-1], t=0.0, order="bgr")
    same_bits(stream.poll(), rt.infer(video=[frames[0]]))


@pytest.mark.parametrize(
    ("push", "match"),
    [
        (lambda s: s.push_frame(np.zeros((8, 8, 3), np.float32), t=0.0), "float32"),
        (lambda s: s.push_frame(np.zeros((2, 8, 8, 3), np.uint8), t=0.0), "one frame at a time"),
        (lambda s: s.push_frame(np.zeros((8, 8, 3), np.uint8), t=float("nan")), "t: must be"),
        (lambda s: s.push_frame(np.zeros((8, 8, 3), np.uint8), t="1"), "t: must be"),
        (lambda s: s.push_text(b"a day"), "text must be a str"),
        (lambda s: s.push_text("a day", t=3.0, end=2.0), "t before end"),
        (lambda s: s.push_text("a day", t="3"), "give seconds"),
        (lambda s: s.push_text("a day", t=1.0, end=float("inf")), "give seconds"),
        (lambda s: s.push_frame(np.zeros((8, 8, 3), np.uint8), t=10**400), "t: must be"),
        (lambda s: s.push_frame(None, t=0.0), "^frame: got NoneType"),
        (lambda s: s.push_frame(np.zeros((8, 8, 3), np.uint8), t=0.0, order="x"), "no order 'x'"),
        (lambda s: s.push_text("a day", t=10**400), "give seconds"),
        (lambda s: s.push_state("running"), "no state"),
        (lambda s: s.push_state("refused"), "no state"),
        (lambda s: s.push_state(["stalled"]), "no state"),
        (lambda s: s.push_state("stalled", 5), "message: must be a str, not int"),
        (lambda s: s.poll(timeout="a"), "timeout: must be a number of seconds, not 'a'"),
        (lambda s: s.poll(timeout=float("nan")), "timeout: must be a number of seconds, not nan"),
        (lambda s: s.poll(timeout=True), "timeout: must be a number of seconds, not True"),
        (lambda s: s.poll(10**400), "timeout: must be a number of seconds, not a number that"),
    ],
)
def test_what_cannot_be_pushed_is_refused_and_counts_nowhere(open_stream, push, match):
    stream = open_stream()
    with pytest.raises(trml_rt.UsageError, match=match):
        push(stream)
    assert stream.totals.seen == 0


def test_a_window_that_the_model_cannot_take_is_refused(rt):
    with pytest.raises(trml_rt.UsageError, match="takes at most 4 frames, not 5"):
        rt.stream(window=5)


def test_a_frame_that_cannot_be_resized_is_dropped(open_stream, events):
    stream = open_stream()
    stream.push_frame(np.zeros((1, 1 << 25, 3), np.uint8), t=0.0)
    assert stream.poll() is None
    assert assert_closed_accounts(stream).dropped == {"decode_error": 1}
    assert told(events) == []


def test_a_bundle_whose_encoder_reads_more_than_frames_keeps_nothing(frames, monkeypatch):
    monkeypatch.setattr(Dispatcher, "encoder", lambda self, source: None)
    with trml_rt.load(TINY) as rt, rt.stream(window=3) as stream:
        for number in range(4):
            stream.push_frame(frames[number], t=number / 10)
            same_bits(stream.poll(), rt.infer(video=frames[max(0, number - 2) : number + 1]))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"on_event": 5}, "on_event: must be a function, not int"),
        ({"clock": 5}, "clock: must be a function, not int"),
        ({"record": 5}, "record: must be a path"),
        ({"record": ""}, "record: is empty"),
        ({"every": 10**400}, "every: must be a number"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_when_a_stream_is_opened(rt, wrong, match):
    with pytest.raises(trml_rt.UsageError, match=match):
        rt.stream(**wrong)
