"""A clip read in a child process is the same to the bit, and what goes wrong there is one error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import trml_rt
from tests import media
from trml_rt.errors import EnvironmentUnfit, InputUnusable
from trml_rt.inputs.apart.clips import Decoders
from trml_rt.inputs.image import Preprocessing, to_pixels
from trml_rt.inputs.limits import MediaLimits
from trml_rt.inputs.video import read_frames

SQUARE = Preprocessing(32, 32)


@pytest.fixture(scope="module")
def decoders():
    pool = Decoders(SQUARE, 8, 2, MediaLimits())
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return media.write_video(tmp_path_factory.mktemp("clips") / "v.mp4", 20)


def pool_of(**limits):
    return Decoders(SQUARE, 8, 1, MediaLimits(**limits))


def descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def child_of(pool):
    return pool._idle[-1]


def after_a_moment(act):
    timer = threading.Timer(0.2, act)
    timer.start()
    return timer


# The same frames.


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.gif", "folder", "a.png", "cut.mp4"])
def test_frames_are_those_that_are_read_here_to_the_bit(decoders, tmp_path, name):
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        for number in range(3):
            Image.fromarray(media.numbered(number)).save(path / f"{number}.png")
    elif name == "a.png":
        Image.fromarray(media.numbered(5)).save(path)
    elif name == "a.gif":
        media.write_animation(path, range(20))
    else:
        media.write_video(path, 20, container_options={"movflags": "faststart"})
    if name == "cut.mp4":
        media.truncate(path, 0.8)
    here = read_frames(path, 8, partial(to_pixels, preprocessing=SQUARE), threads=2)
    there = decoders.read_frames(path)
    assert len(there.frames) == len(here.frames)
    assert np.array_equal(np.stack(there.frames), np.stack(here.frames))
    assert there.incomplete == here.incomplete == (name == "cut.mp4")


@pytest.mark.parametrize("name", ["absent.mp4", "http://host/v.mp4", "empty.mp4"])
def test_a_refusal_is_that_which_is_given_here(decoders, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # the path in the message is the one that was given
    Path("empty.mp4").touch()
    with pytest.raises(InputUnusable) as here:
        read_frames(name, 8)
    with pytest.raises(InputUnusable) as there:
        decoders.read_frames(name)
    assert str(there.value) == str(here.value)
    assert there.value.reason == here.value.reason


@pytest.mark.parametrize("form", [str, lambda path: path.read_bytes(), lambda path: [path, path]])
def test_isolated_answers_equal_the_others(tiny_bundle, tmp_path, form):
    picture = tmp_path / "p.png"
    Image.fromarray(media.numbered(5)).save(picture)
    with trml_rt.load(tiny_bundle) as runtime:
        given = form(picture)
        isolated = runtime.infer(video=given, isolate=True)
        assert isolated == runtime.infer(video=given)
        [row] = runtime.infer_batch([{"video": given}], isolate=True)
        assert row == isolated
        child = child_of(runtime._inputs._decoders)
    assert not child.usable  # closed with the runtime


# What the child costs.


def test_one_child_serves_many_calls_and_nothing_grows(decoders, clip):
    decoders.read_frames(clip)
    child, open_before = child_of(decoders), descriptors()
    for _ in range(5):
        decoders.read_frames(clip)
    assert child_of(decoders) is child
    assert len(decoders._idle) == 1
    assert descriptors() == open_before


def test_calls_at_once_have_a_child_each(decoders, clip):
    first = decoders._take()
    decoders.read_frames(clip)
    assert child_of(decoders) is not first
    decoders._give(first)


# Crash, hang, memory.


def test_a_crash_costs_one_error_and_the_next_call_is_served(clip):
    pool = pool_of()
    pool.read_frames(clip)
    pid, before = child_of(pool).pid, descriptors()
    os.kill(pid, signal.SIGSTOP)  # so that it dies during the call
    timer = after_a_moment(lambda: [os.kill(pid, s) for s in (signal.SIGSEGV, signal.SIGCONT)])
    with pytest.raises(InputUnusable, match=r"v\.mp4: the decoder crashed on it \(SIGSEGV\)"):
        pool.read_frames(clip)
    timer.join()
    assert len(pool.read_frames(clip).frames) == 8
    assert descriptors() == before
    pool.close()


def test_a_kill_from_outside_is_no_fault_of_the_input(clip):
    pool = pool_of()
    pool.read_frames(clip)
    pid = child_of(pool).pid
    os.kill(pid, signal.SIGSTOP)
    timer = after_a_moment(partial(os.kill, pid, signal.SIGKILL))
    with pytest.raises(EnvironmentUnfit, match=r"killed while it read .*v\.mp4"):
        pool.read_frames(clip)
    timer.join()
    pool.close()


def test_a_child_that_died_idle_is_replaced_without_a_word(clip):
    pool = pool_of()
    pool.read_frames(clip)
    child = child_of(pool)
    os.kill(child.pid, signal.SIGKILL)
    child._process.wait()
    assert len(pool.read_frames(clip).frames) == 8
    pool.close()


def test_a_hang_ends_with_the_seconds(clip):
    pool = pool_of(seconds=0.3)
    child = pool._take()
    pool._give(child)
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(InputUnusable, match=r"v\.mp4: was not decoded within 0\.3 s"):
        pool.read_frames(clip)
    assert not Path(f"/proc/{child.pid}").exists()
    assert len(pool._idle) == 0


def test_more_memory_than_is_allowed_is_a_fault_of_the_clip(tmp_path):
    path = tmp_path / "long.webp"
    Image.fromarray(media.numbered(5)).save(path)
    os.truncate(path, 200 << 20)  # Pillow reads all of it, whatever the header says
    pool = pool_of(memory_mib=64)
    with pytest.raises(InputUnusable, match=r"long\.webp: takes more than 64 MiB to decode"):
        pool.read_frames(path)
    Image.fromarray(media.numbered(5)).save(path)
    child = child_of(pool)
    assert len(pool.read_frames(path).frames) == 1
    assert child_of(pool) is child
    pool.close()


SCRIPTED = """
from trml_rt.inputs.apart.within import settle
channel, settings = settle()
channel.say({"ready": True})
for _ in channel:
    channel.say(REPLY)
"""


@pytest.mark.parametrize(
    "reply",
    [
        {"frames": "many", "incomplete": False},
        {"frames": 2},
        {"error": 5},
        {"error": {"kind": "SystemExit", "message": "", "reason": None}},
        {"error": {"kind": "InputUnusable", "message": "", "reason": "no word of ours"}},
    ],
    ids=str,
)
def test_a_child_that_was_taken_over_can_only_spoil_its_own_clip(
    tmp_path, monkeypatch, clip, reply
):
    (tmp_path / "scripted_child.py").write_text(SCRIPTED.replace("REPLY", repr(reply)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("trml_rt.inputs.apart.clips._WORKER", "scripted_child")
    with pytest.raises(InputUnusable, match=r"crashed on it \(it sent what is no message\)"):
        pool_of().read_frames(clip)


# In a process of its own: a signal that comes late would end the tests.
CTRL_C = """
import os, signal, sys, threading
from pathlib import Path
from tests.trml_rt.inputs.apart.test_clips import pool_of

signal.signal(signal.SIGINT, signal.default_int_handler)
pool = pool_of()
child = pool._take()
pool._give(child)
os.kill(child.pid, signal.SIGSTOP)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    pool.read_frames(sys.argv[1])
except KeyboardInterrupt:
    print("child is there:", Path(f"/proc/{child.pid}").exists())
"""


def test_ctrl_c_ends_the_child_that_would_answer_the_next_call(clip):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(
        [sys.executable, "-c", CTRL_C, str(clip)], env=environment, capture_output=True, text=True
    )
    assert ended.stdout == "child is there: False\n", ended.stderr
