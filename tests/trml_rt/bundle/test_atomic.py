"""Files are written whole or not at all; rule R14, for folders, is in test_bundle_format."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from trml_rt.bundle.atomic import _exchange, staged_file, staged_folder, write_bytes
from trml_rt.errors import UsageError


def test_a_file_takes_the_place_of_the_one_that_is_there(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    write_bytes(tmp_path / "file", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"new")]


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_bytes(tmp_path / "file", b"new")
    assert caught.value.filename == str(tmp_path / "file")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]


def test_a_folder_that_is_absent_is_named_by_the_file_that_was_to_be_written(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_bytes(tmp_path / "absent" / "file", b"")
    assert caught.value.filename == str(tmp_path / "absent" / "file")


KILLED_FILE = """
import os, signal, sys
from pathlib import Path
from trml_rt.bundle.atomic import staged_file
with staged_file(Path(sys.argv[1])) as file:
    file.write(b"a killed one's, which is longer")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_writer_of_a_file(target):
    ended = subprocess.run([sys.executable, "-c", KILLED_FILE, str(target)])
    assert ended.returncode == -signal.SIGKILL


def test_what_a_killed_writer_of_a_file_left_is_taken_over_by_the_next_one(tmp_path):
    kill_a_writer_of_a_file(tmp_path / "file")
    kill_a_writer_of_a_file(tmp_path / "file")
    assert len(list(tmp_path.iterdir())) == 1
    write_bytes(tmp_path / "file", b"new")
    [file] = tmp_path.iterdir()
    assert (file.name, file.read_bytes(), file.stat().st_mode & 0o777) == ("file", b"new", 0o644)


def test_of_two_writers_of_one_file_each_has_a_place_of_its_own(tmp_path):
    target = tmp_path / "file"
    with staged_file(target) as one:
        one.write(b"one")
        write_bytes(target, b"other")
        assert target.read_bytes() == b"other"
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"one")]


@pytest.mark.parametrize("plant", ["symlink_to", "hardlink_to", "fifo", "folder"])
def test_what_lies_under_the_name_of_a_half_written_file_is_not_written_to(tmp_path, plant):
    victim, target = tmp_path / "victim", tmp_path / "folder" / "file"
    target.parent.mkdir()
    victim.write_bytes(b"a thesis")
    kill_a_writer_of_a_file(target)
    [left] = target.parent.iterdir()
    left.unlink()
    if plant == "fifo":
        os.mkfifo(left)
    elif plant == "folder":
        left.mkdir()
    else:
        getattr(left, plant)(victim)
    write_bytes(target, b"new")
    assert (victim.read_bytes(), target.read_bytes()) == (b"a thesis", b"new")


def make(target, whose, meanwhile=lambda: None, *, replace=False):
    with staged_folder(target, replace=replace) as staging:
        (staging / "whose").write_text(whose)
        meanwhile()


def test_of_two_writers_of_one_folder_the_later_is_refused_and_leaves_the_first(tmp_path):
    target = tmp_path / "made"
    with pytest.raises(UsageError, match="made: exists already"):
        make(target, "the later one's", lambda: make(target, "the first one's"))
    assert (target / "whose").read_text() == "the first one's"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


KILLED = """
import os, signal, sys
from pathlib import Path
from trml_rt.bundle.atomic import staged_folder
with staged_folder(Path(sys.argv[1]), replace=True) as staging:
    (staging / "whose").write_text("a killed one's")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_writer(target):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert ended.returncode == -signal.SIGKILL


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path):
    target = tmp_path / "made"
    kill_a_writer(target)
    kill_a_writer(target)
    [left] = tmp_path.iterdir()  # the second killed one has removed what the first one left
    assert left.name.startswith(".partial-")
    make(target, "the next one's")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_what_a_killed_writer_of_another_folder_left_stays(tmp_path):
    kill_a_writer(tmp_path / "another")
    make(tmp_path / "made", "mine")
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_living_writer_is_writing_stays(tmp_path):
    target = tmp_path / "made"
    with staged_folder(target, replace=True) as first:
        with staged_folder(target, replace=True) as second:
            (second / "whose").write_text("the second one's")
        (first / "whose").write_text("the first one's")
    assert (target / "whose").read_text() == "the first one's"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_link_with_the_name_of_what_was_left_is_not_followed(tmp_path):
    kill_a_writer(tmp_path / "made")
    [left] = tmp_path.iterdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "thesis").touch()
    left.with_name(left.name + "2").symlink_to("victim")
    make(tmp_path / "made", "mine")
    assert (tmp_path / "victim" / "thesis").exists()


class Killed(BaseException):
    """What a test ends a writer with."""


@pytest.mark.parametrize("at", ["flushed", "exchanged"])
def test_a_kill_while_a_folder_is_replaced_leaves_the_old_or_the_new_one(tmp_path, monkeypatch, at):
    target = tmp_path / "made"
    make(target, "the old one's")

    def kill(*_, **__):
        raise Killed

    place = "_exchange" if at == "flushed" else "shutil.rmtree"
    with monkeypatch.context() as patch:
        patch.setattr(f"trml_rt.bundle.atomic.{place}", kill)
        with pytest.raises(Killed):
            make(target, "the new one's", replace=True)
    assert (target / "whose").read_text() == f"the {'old' if at == 'flushed' else 'new'} one's"


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_the_place_of_the_one_that_is_there(tmp_path, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr("trml_rt.bundle.atomic._exchange", lambda *_: False)
    make(tmp_path / "made", "the old one's")
    with staged_folder(tmp_path / "made", replace=True) as staging:
        (staging / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["made", "new"]


def test_folders_change_names_in_one_step_here(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert _exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "b").exists()
    assert (tmp_path / "b" / "a").exists()


def test_without_locks_of_the_file_system_nothing_is_removed(tmp_path, monkeypatch):
    kill_a_writer(tmp_path / "made")

    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    make(tmp_path / "made", "mine")
    assert (tmp_path / "made" / "whose").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2
