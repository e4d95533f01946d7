"""Files are written whole or not at all; rule R14, for folders, is in test_bundle_format."""

from __future__ import annotations

import errno

import pytest

from trml_rt.bundle.atomic import staged_folder, write_bytes
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


def make(target, whose, meanwhile=lambda: None):
    with staged_folder(target) as staging:
        (staging / "whose").write_text(whose)
        meanwhile()


def test_of_two_writers_of_one_folder_the_later_is_refused_and_leaves_the_first(tmp_path):
    target = tmp_path / "made"
    with pytest.raises(UsageError, match="made: exists already"):
        make(target, "the later one's", lambda: make(target, "the first one's"))
    assert (target / "whose").read_text() == "the first one's"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
