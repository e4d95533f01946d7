"""Only regular files of a bounded size are opened; hashes are in test_bundle_format.py."""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path

import pytest

import trml_rt
from tests.conftest import TINY, file_entry
from trml_rt.backends.cpu import describe_device
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle.calibration import calibration_hash, open_calibration
from trml_rt.bundle.files import RECORD_LIMIT, FileEntry, open_checked, open_file, read_record
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


def checked(path):
    return open_checked(path, FileEntry.model_validate(file_entry(path)), "copy it again")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "it"
    path.write_bytes(b"the hashed bytes")
    time.sleep(0.02)  # the clock of a file system ticks, so the next change has another time
    return path


def overwrite(path, data=b"x" * 16):
    """Write in place, and set the time of the last change back."""
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_is_put_in_the_place_of_a_checked_file_is_not_read(file):
    with checked(file) as opened:
        file.with_name("other").write_bytes(b"other bytes")
        file.with_name("other").replace(file)
        again = Path(os.fspath(opened)).read_bytes()
        with opened.open() as stream:
            parts = stream.read(3), stream.read()
        assert [opened.read_bytes(), again] == [b"the hashed bytes"] * 2
        assert parts == (b"the", b" hashed bytes")
        assert str(opened) == str(file)


@pytest.mark.parametrize("size", [16, 3])
def test_a_checked_file_that_is_written_to_while_it_is_loaded_is_refused(file, size):
    words = "it: was changed while it was loaded; copy it again"
    with pytest.raises(ArtefactMismatch, match=words), checked(file):
        overwrite(file, b"x" * size)


def test_what_goes_wrong_while_a_file_is_loaded_is_told_first(file):
    def fail():
        overwrite(file)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), checked(file):
        fail()


def test_descriptors_are_closed(file):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with checked(file):
        pass
    with pytest.raises(ArtefactMismatch):
        open_checked(file, FileEntry(sha256="0" * 64, bytes=16), "copy it again")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("way", ["rename", "write"])
def test_a_graph_that_is_exchanged_between_hash_and_load_is_not_run(bundle_copy, monkeypatch, way):
    graph, load = bundle_copy / "onnx" / "text.onnx", OnnxRuntimeBackend.load
    other = (TINY / "onnx" / "frame.onnx").read_bytes()  # which would be refused by its tensors

    def exchange(self, engine, path):
        if way == "write":
            time.sleep(0.02)
            overwrite(graph, graph.read_bytes())
        else:
            graph.with_name("other").write_bytes(other)
            graph.with_name("other").replace(graph)
        return load(self, engine, path)

    with trml_rt.load(TINY) as rt:
        expected = rt.infer(text="good")
    monkeypatch.setattr(OnnxRuntimeBackend, "load", exchange)
    with trml_rt.load(bundle_copy) as rt:
        if way == "write":
            with pytest.raises(
                ArtefactMismatch, match=r"text\.onnx: was changed while it was load"
            ):
                rt.infer(text="good")
        else:
            assert rt.infer(text="good").score == expected.score


def test_a_file_that_another_one_replaced_is_refused_for_who_opened_it_by_its_name(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 16)
    with checked(file) as held:
        held.refuse_replaced()
        other = tmp_path / "other"
        other.write_bytes(b"x" * 16)
        other.replace(file)
        with pytest.raises(ArtefactMismatch, match="was changed while it was loaded"):
            held.refuse_replaced()
        file.unlink()
        with pytest.raises(ArtefactMismatch, match="was changed while it was loaded"):
            held.refuse_replaced()
