"""Only regular files of a bounded size are opened; hashes are in test_bundle_format.py."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.conftest import TINY
from trml_rt.backends.cpu import describe_device
from trml_rt.bundle.calibration import calibration_hash, open_calibration
from trml_rt.bundle.files import RECORD_LIMIT, open_file, read_record
from trml_rt.bundle.folder import Bundle
from trml_rt.engines.fastest import file_name, read_fastest
from trml_rt.errors import ArtefactMismatch


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def listener(path):
    here = os.getcwd()  # noqa: PTH109 - the name of a socket must be short
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as it:
            it.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("kind", [pipe, device, listener])
def test_what_is_no_regular_file_is_not_opened(tmp_path, kind):
    kind(tmp_path / "it")
    with pytest.raises(OSError, match="not a regular file"):
        open_file(tmp_path / "it")


def test_a_folder_is_refused_in_the_words_of_the_system(tmp_path):
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        open_file(tmp_path)


def test_a_file_that_a_pipe_replaces_before_it_is_opened_is_refused(tmp_path, monkeypatch):
    path, looked_at = tmp_path / "it", (TINY / "model.json").stat()
    os.mkfifo(path)
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", lambda _: looked_at)
        with pytest.raises(OSError, match="not a regular file"):
            open_file(path)
    assert len(list(descriptors.iterdir())) == before


def test_a_record_may_be_as_large_as_the_limit_and_no_larger(tmp_path):
    path = tmp_path / "model.json"
    path.touch()
    os.truncate(path, RECORD_LIMIT)
    assert len(read_record(path)) == RECORD_LIMIT
    os.truncate(path, 40 << 30)  # no byte of it is on the disk, and none is read
    with pytest.raises(OSError, match="larger than 16 MiB"):
        read_record(path)


def test_a_pipe_in_the_place_of_a_calibration_is_refused(bundle_copy):
    record = bundle_copy / "calibration" / "calibration.json"
    record.parent.mkdir()
    os.mkfifo(record)
    with pytest.raises(ArtefactMismatch, match=r"cannot be read \(not a regular file\)"):
        open_calibration(Bundle(bundle_copy))
    assert calibration_hash(record.parent) is None


def test_a_pipe_in_the_place_of_what_was_found_fastest_is_refused(bundle_copy):
    path = bundle_copy / "engines" / file_name(describe_device())
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(ArtefactMismatch, match=r"cannot be read \(not a regular file\)"):
        read_fastest(Bundle(bundle_copy))


def test_a_bundle_of_links_within_its_folder_is_read(tmp_path):
    folder = shutil.copytree(TINY, tmp_path / "bundle")
    (folder / "model.json").rename(folder / "kept.json")
    (folder / "model.json").symlink_to("kept.json")
    assert Bundle(folder).manifest.name == Bundle(TINY).manifest.name
