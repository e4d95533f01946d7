"""Faults that cameras, files and texts have: each ends in the state, the reason and the sum of
frames that the pages tell. `docs/live-sources.md` lists them all, with their tests."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

import trml_rt
from tests import media
from tests.trml_rt.inputs.live.test_servers import (
    AT_ONCE,
    JPEG,
    fed,
    http_server,
    needs_rtsp,
    playlist,
    rtsp_server,
)
from tests.trml_rt.stream.conftest import assert_closed_accounts, told
from trml_rt.stream import opening

ROOT = Path(__file__).parents[3]
GOOD = "a good day"
PATTERN = "test:?rate=50&size=64x48"


@pytest.fixture
def open_live(rt, events, monkeypatch):
    """Open a stream on a source whose watchdog is quick; return it with its sources."""
    real = opening.open_source
    opened = []

    def open_source(address, **settings):
        opened.append(real(address, **{**settings, "backoff": (0.05, 0.1)}))
        return opened[-1]

    monkeypatch.setattr(opening, "open_source", open_source)
    quick = {"stall_after": 0.5, "restart_after": 1.0, "window": 2, "hold": 1e9}

    def open_one(address, **arguments):
        stream = rt.stream(address, [GOOD], on_event=events.append, **{**quick, **arguments})
        return stream, opened

    return open_one


def until(stream, done):
    """Return the answers up to the one after which it is `done`."""
    found = []
    for answer in stream:
        found.append(answer)
        if done(answer):
            return found
    raise AssertionError("the stream has ended before")


def real(answer):
    return answer.inputs["video"].frames == 2


def virtual(reason):
    return lambda answer: answer.inputs["video"].reason == reason


def of_video(events):
    """The changes of video, from the first frame on."""
    changes = told(events)
    return changes[changes.index(("running", None)) :]


def fifo(folder, data):
    path = folder / "fifo"
    os.mkfifo(path)
    return f"pipe:{path}", fed(path, data)


# Sources that are absent, lost, and back.


def test_an_absent_source_fails_and_its_credentials_are_nowhere(open_live, events):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        stream, _ = open_live(f"rtsp://me:geheim@127.0.0.1:{free.getsockname()[1]}/a?token=abcdef")
        with stream, pytest.raises(trml_rt.InputUnusable) as caught:
            list(stream)
    assert told(events) == [("connecting", "connecting"), ("failed", "lost")]
    assert caught.value.reason == "lost"
    said = [str(caught.value), *(str(event.to_dict()) for event in events)]
    assert not [text for text in said if "geheim" in text or "abcdef" in text]
    assert assert_closed_accounts(stream).seen == 0


def test_a_source_that_is_waited_for_is_retried_while_texts_are_answered(open_live, events):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"rtsp://127.0.0.1:{free.getsockname()[1]}/camera"
        stream, _ = open_live(address, wait_for_source=True, every=0.05)
        with stream:
            until(stream, virtual("lost"))
    assert told(events) == [("connecting", "connecting"), ("retrying", "lost")]
    assert_closed_accounts(stream)


@needs_rtsp
def test_a_camera_whose_cable_is_pulled_is_lost_and_comes_back(open_live, events):
    with rtsp_server(JPEG) as (server, port):
        address = f"rtsp://me:secret@127.0.0.1:{port}/camera"
        stream, _ = open_live(address, every=0.1, stall_after=9.0)
        until(stream, real)
        server.kill()
    with stream:
        lost = until(stream, virtual("lost"))
        with rtsp_server(JPEG, port):
            back = until(stream, real)[-1]
    assert lost[-1].engine_set == "text"
    assert of_video(events) == [("running", None), ("retrying", "lost"), ("running", None)]
    assert back.epoch == 1
    assert_closed_accounts(stream)


# Sources that stand still.


def test_a_decoder_that_stands_still_for_a_while_is_stalled_and_then_real_again(open_live, events):
    stream, [source] = open_live(PATTERN, restart_after=30.0, every=0.02)
    with stream:
        until(stream, real)
        os.kill(source._child.pid, signal.SIGSTOP)
        until(stream, virtual("stalled"))
        os.kill(source._child.pid, signal.SIGCONT)
        back = until(stream, real)[-1]
    assert of_video(events) == [("running", None), ("stalled", "stalled"), ("running", None)]
    assert back.epoch == 1  # its time is before that of the answers in between
    assert_closed_accounts(stream)


def test_a_decoder_that_hangs_is_replaced(open_live, events):
    stream, [source] = open_live(PATTERN, every=0.02)
    with stream:
        until(stream, real)
        hung = source._child.pid
        os.kill(hung, signal.SIGSTOP)
        back = until(stream, lambda answer: answer.epoch == 1 and real(answer))[-1]
    assert of_video(events) == [
        *(("running", None), ("stalled", "stalled"), ("retrying", "lost"), ("running", None)),
    ]
    assert back.inputs["video"].state == "real"
    assert not Path(f"/proc/{hung}").exists()
    assert_closed_accounts(stream)


@pytest.mark.parametrize("every", [0.0, 0.02])
def test_frames_whose_time_stands_still_are_frozen(open_live, events, tmp_path, every):
    clip = tmp_path / "v.mkv"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("mjpeg", rate=100)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        [packet] = stream.encode(av.VideoFrame.from_ndarray(media.numbered(5), format="rgb24"))
        for number in range(120):
            again = av.Packet(bytes(packet))
            again.stream, again.time_base = stream, packet.time_base
            again.pts = again.dts = min(number, 20)
            container.mux(again)
    path = tmp_path / "fifo"
    os.mkfifo(path)
    frozen = threading.Event()
    writer = threading.Thread(target=drip, args=(clip.read_bytes(), path, frozen))
    writer.start()
    stream, _ = open_live(f"pipe:{path}", policy="freshest", every=every)
    with stream:
        until(stream, virtual("frozen"))
        frozen.set()
    writer.join()
    assert of_video(events)[:2] == [("running", None), ("stalled", "frozen")]
    assert_closed_accounts(stream)


def drip(data, path, enough):
    """Write `data` in about a second and a half, or until it is enough."""
    with path.open("wb", buffering=0) as file:
        for at in range(0, len(data), len(data) // 60):
            if enough.is_set():
                return
            file.write(data[at : at + len(data) // 60])
            enough.wait(0.025)


def test_a_frame_that_comes_a_hundred_times_a_second_is_frozen_where_one_asks(
    frames, open_stream, clock, events
):
    for freeze_after, state in ((None, ("running", None)), (1.0, ("stalled", "frozen"))):
        events.clear()
        stream = open_stream(every=0.1, freeze_after=freeze_after)
        for number in range(300):
            stream.push_frame(frames[0], t=number / 100)
            stream.poll()
            clock.now += 0.01
        assert told(events)[-1] == state
        totals = assert_closed_accounts(stream)
        assert totals.dropped["between"] == 270
        assert totals.dropped.get("unchanged", 0) == (0 if freeze_after is None else 20)


# What a source gives.


def test_a_clip_whose_times_go_back_to_zero_begins_an_epoch(open_live, events, tmp_path):
    data = media.write_video(tmp_path / "v.ts", 20).read_bytes()
    address, writer = fifo(tmp_path, data + data)
    stream, _ = open_live(address)
    with stream:
        found = [answer for answer in stream if answer.inputs["video"].state == "real"]
    writer.join()
    assert [answer.epoch for answer in found] == [0] * 20 + [1] * 20
    assert all(answer.t1 - answer.t0 < 0.15 for answer in found)  # no window spans two
    assert told(events)[-1] == ("ended", "ended")
    assert assert_closed_accounts(stream).answered == 40


def test_a_stream_that_is_joined_within_a_group_begins_with_its_next_keyframe(
    open_live, events, tmp_path
):
    pictures = [media.numbered(number) for number in range(30)]
    path = media.write_video(tmp_path / "v.ts", pictures, gop=10, options=AT_ONCE)
    data = path.read_bytes()
    with av.open(str(path)) as clip:
        places = [p.pos for p in clip.demux(video=0) if p.pos is not None]
    tables = data[: places[0]]  # what a joined stream repeats
    address, writer = fifo(tmp_path, tables + data[places[1] :])
    stream, _ = open_live(address)
    with stream:
        found = [answer for answer in stream if answer.inputs["video"].state == "real"]
    writer.join()
    totals = assert_closed_accounts(stream)
    assert len(found) == totals.answered == 20
    assert totals.dropped == {"before_keyframe": 9}
    assert told(events)[-1] == ("ended", "ended")


def test_hls_that_is_finished_is_answered_whole_and_ends(open_live, events, tmp_path):
    playlist(tmp_path, finished=True)
    with http_server(tmp_path) as server:
        stream, _ = open_live(f"{server}/live.m3u8", policy="every")
        with stream:
            list(stream)
    assert of_video(events) == [("running", None), ("ended", "ended")]
    assert assert_closed_accounts(stream).answered == 20


def test_hls_that_does_not_grow_is_stalled_and_then_lost(open_live, events, tmp_path):
    playlist(tmp_path, finished=False)
    with http_server(tmp_path) as server:
        stream, _ = open_live(f"{server}/live.m3u8", every=0.1)
        with stream:
            until(stream, virtual("lost"))
    assert of_video(events) == [("running", None), ("stalled", "stalled"), ("retrying", "lost")]
    assert_closed_accounts(stream)


def test_a_resolution_that_changes_is_no_fault(open_live, events, tmp_path):
    parts = [
        media.write_video(
            tmp_path / f"{n}.ts",
            [media.numbered(n, *size)] * 5,
            gop=5,
            pts=pts,
            options=AT_ONCE,
        )
        for n, size, pts in ((1, (64, 48), range(5)), (2, (128, 96), range(5, 10)))
    ]
    address, writer = fifo(tmp_path, b"".join(part.read_bytes() for part in parts))
    stream, _ = open_live(address)
    with stream:
        list(stream)
    writer.join()
    assert of_video(events) == [("running", None), ("ended", "ended")]
    assert assert_closed_accounts(stream).answered == 10


# Texts, clocks, sinks.


def test_texts_that_end_and_a_text_that_comes_late(rt, frames, open_stream, clock, events):
    stream = open_stream(policy="every", hold=1.0)
    reasons = []
    for number in range(6):
        if number == 2:
            stream.push_text(GOOD, t=0.5, end=1.5)  # it was said before, and counts until 2.5
        if number == 3:
            stream._intake.end_of_texts()
        stream.push_frame(frames[number], t=float(number))
        report = stream.poll().inputs["text"]
        reasons.append(report.reason and report.reason.value)
    assert reasons == ["not_given", "not_given", None, "ended", "ended", "ended"]
    of_text = [(event.state, event.reason) for event in events if event.input == "text"]
    assert of_text == [("running", None), ("ended", trml_rt.Reason.ENDED)]
    assert assert_closed_accounts(stream).answered == 6


def test_a_clock_that_is_set_back_changes_nothing(rt, frames, events, monkeypatch):
    hour = iter(range(10_000, 0, -100))
    monkeypatch.setattr(time, "time", lambda: float(next(hour)))
    with rt.stream(on_event=events.append) as stream:
        found = []
        for number in range(10):
            stream.push_frame(frames[number], t=number / 10)
            found.append(stream.poll())
    assert {answer.epoch for answer in found} == {0}
    assert all(0 <= answer.age_ms < 10_000 for answer in found)
    assert told(events) == [("running", None)]
    assert assert_closed_accounts(stream).answered == 10


@pytest.mark.parametrize(("policy", "lost"), [("freshest", 48), ("every", 0)])
def test_a_slow_sink_costs_the_frames_that_wait_or_makes_the_source_wait(rt, policy, lost):
    given, taken = threading.Event(), threading.Event()

    def frames():
        pixels = np.zeros((8, 8, 3), np.uint8)
        yield 0.0, pixels
        taken.wait(30)  # the sink has its first answer, and takes its time with it
        for number in range(1, 50):
            yield number / 10, pixels
            if number == 49 or policy == "every":
                given.set()

    with rt.stream(frames(), policy=policy, max_staleness=60.0) as stream:
        seqs = []
        for answer in stream:
            seqs.append(answer.seq)
            taken.set()
            given.wait(30)
    assert seqs == list(range(50 - lost))
    totals = assert_closed_accounts(stream)
    assert (totals.seen, sum(totals.dropped.values())) == (50, lost)
    assert set(totals.dropped) <= {"buffer"}


# The page.

ROW = re.compile(r"^\| [^|]+ \| [^|]+ \| `(test_\w+)` of `(tests/[\w/]+\.py)` \|$", re.MULTILINE)


def test_the_page_names_a_test_for_each_fault():
    page = (ROOT / "docs" / "live-sources.md").read_text()
    rows = ROW.findall(page)
    assert len(rows) >= 20
    for name, path in rows:
        assert f"\ndef {name}(" in (ROOT / path).read_text(), name
