"""A source tells its frames and its state, and outlives what happens to its reader."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests import media
from trml_rt.errors import UsageError
from trml_rt.inputs.image import Preprocessing, to_pixels
from trml_rt.inputs.limits import MediaLimits
from trml_rt.inputs.live import Dropped, Frame, State, open_source
from trml_rt.inputs.live.source import _Watch
from trml_rt.inputs.video import read_frames

SQUARE = Preprocessing(32, 32)
FAST = {"stall_after": 0.3, "restart_after": 0.7, "backoff": (0.05, 0.1)}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return media.write_video(tmp_path_factory.mktemp("clips") / "v.mp4", 20)


def states(events):
    return [event.name for event in events if isinstance(event, State)]


def frames(events):
    return [event for event in events if isinstance(event, Frame)]


def drops(events):
    counted = Counter()
    for event in events:
        if isinstance(event, Dropped):
            counted[event.cause] += event.count
    return counted


def until(source, done, seconds=20.0):
    """Return the events up to the one that is `done`."""
    events, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        event = source.poll(0.1)
        if event is not None:
            events.append(event)
            if done(event):
                return events
    raise AssertionError(f"never done: {events}")


def is_state(name):
    return lambda event: isinstance(event, State) and event.name == name


def is_frame(event):
    return isinstance(event, Frame)


# Files, and the pattern.


def test_a_file_gives_every_frame_as_infer_reads_it_and_ends(clip):
    offline = read_frames(clip, 20, partial(to_pixels, preprocessing=SQUARE)).frames
    with open_source(clip, SQUARE) as source:
        events = list(source)
        assert not source.live
    assert states(events) == ["connecting", "running", "ended"]
    live = frames(events)
    assert [frame.t for frame in live] == pytest.approx([n / 10 for n in range(20)])
    assert np.array_equal([frame.pixels for frame in live], offline)


def test_an_interval_takes_the_first_frame_of_each(clip):
    with open_source(clip, SQUARE, interval=0.45) as source:
        taken = [frame.t for frame in frames(source)]
    assert taken == pytest.approx([0.0, 0.5, 0.9, 1.4, 1.8])


def test_the_pattern_runs_at_its_rate_and_ends_after_its_frames():
    with open_source("test:?rate=50&frames=10&size=64x48", SQUARE) as source:
        events = list(source)
    assert states(events) == ["connecting", "running", "ended"]
    assert [frame.t for frame in frames(events)] == pytest.approx([n / 50 for n in range(10)])
    arrived = [frame.arrived for frame in frames(events)]
    assert arrived[-1] - arrived[0] > 0.15


def test_a_slow_taker_loses_nothing_of_a_file(clip):
    with open_source(clip, SQUARE, buffer=2) as source:
        until(source, is_frame)
        time.sleep(0.3)
        assert len(frames(source)) == 19


def test_freshest_drops_the_oldest_and_counts_them(clip):
    with open_source(clip, SQUARE, buffer=2, policy="freshest") as source:
        time.sleep(0.1)
        source._thread.join(20)
        events = list(source)
    assert [frame.t for frame in frames(events)] == pytest.approx([1.8, 1.9])
    assert drops(events) == {"buffer": 18}


@pytest.mark.parametrize("name", ["absent.mp4", "empty.mp4", "text.mp4"])
def test_what_is_no_video_fails_with_one_sentence(tmp_path, name):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    with open_source(tmp_path / name, SQUARE) as source:
        [_, failed] = source
    assert (failed.name, failed.reason) == ("failed", "lost")
    assert failed.message.startswith(f"{tmp_path / name}: cannot be read")
    assert failed.message.count(str(tmp_path)) == failed.message.count("cannot be read") == 1


def test_a_clip_that_takes_more_memory_than_it_may_fails_with_one_sentence():
    clip = Path(__file__).parents[4] / "samples" / "smiling.mp4"
    with open_source(clip, SQUARE, limits=MediaLimits(memory_mib=1)) as source:
        [_, failed] = source
    assert (failed.name, failed.reason) == ("failed", "lost")
    assert "MiB" in failed.message
    assert "; scale it down, or allow more" in failed.message


def test_damaged_packets_of_a_file_are_counted(tmp_path):
    path = media.write_video(tmp_path / "v.ts", 20, gop=1)
    data = bytearray(path.read_bytes())
    for at in range(188 * 20, 188 * 40):
        data[at] ^= 0x55 if at % 188 > 20 else 0
    path.write_bytes(data)
    with open_source(path, SQUARE) as source:
        events = list(source)
    assert states(events)[-1] == "ended"
    assert 10 < len(frames(events)) <= 20


# The watchdog.


def test_a_crashed_reader_costs_one_retrying_and_begins_an_epoch():
    with open_source("test:?rate=50&size=64x48", SQUARE, **FAST) as source:
        until(source, is_frame)
        os.kill(source._child.pid, signal.SIGSEGV)
        events = until(source, is_state("running"))
        last = until(source, is_frame)[-1]
    assert states(events) == ["retrying", "running"]
    assert events[-2].message.startswith("test:?rate=50&size=64x48: the decoder crashed (SIGSEGV)")
    assert {frame.epoch for frame in frames(events)} <= {0}
    assert (last.epoch, last.t) == (1, 0.0)


def test_a_reader_that_hangs_is_stalled_then_replaced():
    with open_source("test:?rate=50&size=64x48", SQUARE, **FAST) as source:
        until(source, is_frame)
        pid = source._child.pid
        os.kill(pid, signal.SIGSTOP)
        events = until(source, is_state("running"))
        assert not Path(f"/proc/{pid}").exists()
    assert states(events) == ["stalled", "retrying", "running"]
    told = [event for event in events if isinstance(event, State)]
    assert [event.reason for event in told] == ["stalled", "lost", None]
    assert "no frame came for 0.7 s; trying again in 0.1 s" in told[1].message


def test_a_reader_that_comes_back_in_time_is_kept():
    with open_source("test:?rate=50&size=64x48", SQUARE, **FAST | {"restart_after": 30}) as source:
        until(source, is_frame)
        os.kill(source._child.pid, signal.SIGSTOP)
        until(source, is_state("stalled"))
        os.kill(source._child.pid, signal.SIGCONT)
        until(source, is_state("running"))
        assert until(source, is_frame)[-1].epoch == 0


SCRIPTED = """
import time
from trml_rt.inputs.apart.within import settle
channel, settings = settle()
channel.say({"ready": True})
channel.say({"opened": True, "finite": False})
for message, seconds in SCRIPT:
    channel.say(message)
    time.sleep(seconds)
"""


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """Have a source read by a child that says what a test wants."""

    def use(*script):
        text = SCRIPTED.replace("SCRIPT:", f"{list(script)!r}:")
        (tmp_path / "scripted_child.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr("trml_rt.inputs.live.source._WORKER", "scripted_child")

    return use


FRAME = {"frame": 0, "t": 0.0, "jumps": False}


def test_damaged_packets_alone_are_stalled_and_then_lost(scripted):
    damaged = ({"drops": {"decode_error": 1}}, 0.05)
    scripted((FRAME, 0.0), *[damaged] * 60)
    with open_source("rtsp://camera/1", SQUARE, **FAST) as source:
        events = until(source, is_state("retrying"))
    assert states(events) == ["connecting", "running", "stalled", "retrying"]
    assert drops(events)["decode_error"] > 5


def test_packets_before_a_keyframe_are_no_stall(scripted):
    waiting = ({"drops": {"before_keyframe": 3}}, 0.1)
    scripted(*[waiting] * 10, (FRAME, 0.1))
    with open_source("rtsp://camera/1", SQUARE, **FAST) as source:
        events = until(source, is_frame)
    assert states(events) == ["connecting", "running"]
    assert drops(events) == {"before_keyframe": 30}


def test_frames_between_two_that_are_wanted_are_a_sign_of_life(scripted):
    scripted((FRAME, 0.1), *[({"drops": {}}, 0.1)] * 10, ({**FRAME, "t": 1.0}, 0.1))
    with open_source("rtsp://camera/1", SQUARE, **FAST) as source:
        events = until(source, is_frame) + until(source, is_frame)
    assert states(events) == ["connecting", "running"]


def test_a_jump_of_time_begins_an_epoch(scripted):
    scripted((FRAME, 0.0), ({**FRAME, "jumps": True}, 1.0))
    with open_source("rtsp://camera/1", SQUARE, **FAST) as source:
        events = until(source, is_frame) + until(source, is_frame)
    assert [frame.epoch for frame in frames(events)] == [0, 1]


@pytest.mark.parametrize(
    "nonsense", [{"frame": "x"}, {"frame": 0}, {"drops": 1}, {"drops": {"x": 1}}]
)
def test_a_child_that_talks_nonsense_is_started_again(scripted, nonsense):
    scripted((FRAME, 0.0), (nonsense, 5.0))
    with open_source("rtsp://camera/1", SQUARE, **FAST) as source:
        events = until(source, is_state("retrying"))
    assert "the decoder sent what is no message" in events[-1].message


def test_what_a_child_says_of_an_address_has_no_credentials(scripted):
    scripted((FRAME, 0.0), ({"lost": "rtsp://me:secret@camera/1: secret is wrong"}, 5.0))
    with open_source("rtsp://me:secret@camera/1", SQUARE, **FAST) as source:
        events = until(source, is_state("retrying"))
    assert events[-1].message.startswith("rtsp://camera/1: *** is wrong; trying again in ")


def test_a_first_connection_that_fails_is_the_end_unless_one_waits(tmp_path, clip):
    path = tmp_path / "late.mp4"
    with open_source(path, SQUARE) as source:
        assert states(source) == ["connecting", "failed"]
    with open_source(path, SQUARE, wait_for_source=True, **FAST) as source:
        until(source, is_state("retrying"))
        path.write_bytes(clip.read_bytes())
        assert states(source)[-2:] == ["running", "ended"]


def test_waits_grow_from_the_least_to_the_most_with_chance():
    watch = _Watch(2, 5, 1.0, 30.0, False)
    waits = [watch.delay(tries) for tries in (0, 1, 2, 3, 4, 5, 100)]
    for wait, least in zip(waits, [1, 2, 4, 8, 16, 30, 30], strict=True):
        assert least <= wait <= min(30, least * 1.25)
    assert watch.delay(0) != watch.delay(0)


# The end.


@pytest.mark.parametrize("moment", ["at once", "in the middle", "full"])
def test_closing_gives_everything_back(clip, moment):
    before = resources()
    source = open_source(clip if moment == "full" else "test:", SQUARE, buffer=1)
    if moment != "at once":
        until(source, is_frame)
    started = time.monotonic()
    source.close()
    source.close()
    assert time.monotonic() - started < 3
    assert [event for event in source if is_frame(event)][1:] == []
    assert source.poll(0) is None
    assert resources() == before


def test_closing_ends_an_iteration_in_another_thread():
    source = open_source("test:", SQUARE)
    taker = threading.Thread(target=lambda: list(source))
    taker.start()
    source.close()
    taker.join(3)
    assert not taker.is_alive()


def resources():
    return len([*Path("/proc/self/fd").iterdir()]), threading.active_count()


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": -1},
        {"stall_after": 0},
        {"stall_after": 9},
        {"backoff": (2, 1)},
        {"buffer": 0},
        {"policy": "some"},
        {"restart_after": float("nan")},
    ],
)
def test_arguments_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError):
        open_source("test:", SQUARE, **wrong)
