"""A child starts without files of the working directory, and ends with its parent."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from trml_rt.backends.process import python_command
from trml_rt.errors import EnvironmentUnfit
from trml_rt.inputs.apart.process import Child, ChildEnded

ECHO = """
import sys, time
from trml_rt.inputs.apart.within import settle
channel, settings = settle()
channel.say({"ready": True})
for message in channel:
    channel.memory[:1] = message.get("byte", 0)
    if "raw" in message:
        channel._socket.sendall(message["raw"].encode())
    elif "hang" in message:
        channel.say({})
        time.sleep(60)
    elif "exit" in message:
        print("last words"); sys.exit(message["exit"])
    else:
        channel.say({**message, "settings": settings})
"""


@pytest.fixture
def echo(tmp_path, monkeypatch):
    (tmp_path / "echo_child.py").write_text(ECHO)
    monkeypatch.syspath_prepend(tmp_path)
    children = []

    def start(**settings):
        children.append(Child("echo_child", settings, shared=16))
        return children[-1]

    yield start
    for child in children:
        child.end()


def descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def gone(pid):
    for _ in range(300):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_messages_and_memory_go_both_ways(echo):
    child = echo(n=1)
    child.tell({"word": "\udce9", "byte": 7})
    assert child.hear(10) == {"word": "\udce9", "byte": 7, "settings": {"n": 1}}
    assert child.frames(1, (2, 2)).tolist() == [[[7, 0], [0, 0]]]
    assert child.hear(0.01) is None


def test_a_process_with_many_open_files_can_have_children_too(echo):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this machine allows fewer open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    with contextlib.ExitStack() as many:
        while many.enter_context(Path("/dev/null").open("rb")).fileno() < 1100:
            pass
        child = echo()
        child.tell({"word": 1})
        assert child.hear(10)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_end_of_a_child_says_how(echo):
    child = echo()
    child.tell({"exit": 3})
    with pytest.raises(ChildEnded, match="exit code 3: last words"):
        child.hear(10)


@pytest.mark.parametrize("raw", ["no json\n", "[1]\n", "x" * (2 << 20), "[" * 100_000 + "\n"])
def test_a_child_that_talks_nonsense_is_ended(echo, raw):
    child = echo()
    child.tell({"raw": raw})
    with pytest.raises(ChildEnded, match="no message"):
        child.hear(10)
    assert gone(child.pid)


def test_the_shared_memory_cannot_shrink_under_us(echo):
    child = echo()
    theirs = Path(f"/proc/{child.pid}/fd").iterdir()
    [memory] = [path for path in theirs if "trml-rt-frames" in str(path.readlink())]
    with pytest.raises(PermissionError):
        os.truncate(memory, 0)


def test_a_child_that_does_not_start_is_no_fault_of_the_input(tmp_path, monkeypatch):
    (tmp_path / "broken_child.py").write_text("raise SystemExit('no such thing')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvironmentUnfit, match=r"did not start \(exit code 1: no such thing\)"):
        Child("broken_child", {}, shared=1)


def test_the_end_gives_back_descriptors_and_the_process(echo):
    before = descriptors()
    child = echo()
    child.end()
    child.end()
    assert descriptors() == before
    assert gone(child.pid)


PARENT = """
import sys, threading, time
from trml_rt.inputs.apart.process import Child
kept = []
thread = threading.Thread(target=lambda: kept.append(Child("echo_child", {}, shared=1)))
thread.start(); thread.join()  # it outlives the thread that started it
kept[0].tell({"hang": 1}); assert kept[0].hear(10) == {}
print(kept[0].pid, flush=True)
time.sleep(60)
"""


def test_a_child_is_killed_with_its_parent_and_not_with_a_thread_of_it(echo, tmp_path):
    del echo  # its module
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(python_command("parent"), stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        os.kill(parent.pid, signal.SIGKILL)
    assert gone(pid)


FORKING = """
import os, sys
from trml_rt.inputs.apart.clips import Decoders
from trml_rt.inputs.image import Preprocessing
from trml_rt.inputs.limits import MediaLimits
pool = Decoders(Preprocessing(8, 8), 1, 1, MediaLimits())
pool.read_frames(sys.argv[1])
[child] = pool._idle
if os.fork() == 0:
    own = pool.read_frames(sys.argv[1]).frames[0].shape
    sys.exit(0 if own == (8, 8, 3) and pool._idle[-1].pid != child.pid else 1)
assert os.wait()[1] == 0
assert child.usable and pool.read_frames(sys.argv[1]).frames and pool._idle[-1] is child
print("alive")
"""


def test_a_fork_starts_a_child_of_its_own_and_leaves_that_of_its_parent(tmp_path, monkeypatch):
    picture = tmp_path / "p.png"
    Image.new("RGB", (9, 9)).save(picture)
    (tmp_path / "forking.py").write_text(FORKING)
    monkeypatch.syspath_prepend(tmp_path)
    command = python_command("forking", str(picture))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("alive\n", "")


def test_no_file_of_the_working_directory_runs(echo, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("numpy", "av", "json"):
        (folder / f"{name}.py").write_text("raise SystemExit('a stranger ran')")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    child = echo()
    child.tell({"word": 1})
    assert child.hear(10) == {"word": 1, "settings": {}}
