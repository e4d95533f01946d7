"""What training asks of a clip: its length, its limits, and a hash of its content."""

from __future__ import annotations

import errno
import os

import pytest
from PIL import Image

from tests import media
from trml_export.config import Config
from trml_export.features.clips import check_length, digest, seconds
from trml_rt.errors import EnvironmentUnfit, InputUnusable


@pytest.fixture
def folder(tmp_path):
    """Three frame pictures."""
    for number in range(3):
        Image.new("RGB", (8, 8), (20 * number,) * 3).save(tmp_path / f"f{number}.png")
    return tmp_path


def test_a_video_lasts_as_long_as_its_stream_says(tmp_path):
    assert seconds(media.write_video(tmp_path / "a.mp4", 20, rate=10)) == 2.0


def test_pictures_folders_and_what_is_no_video_have_no_length(folder):
    (folder / "notes.txt").write_text("a note")
    for path in (folder, folder / "f0.png", folder / "notes.txt", folder / "none.mp4"):
        assert seconds(path) is None


@pytest.mark.parametrize(
    ("length", "reason"), [(0.5, "too_short"), (1.0, None), (9.0, None), (9.5, "too_long")]
)
def test_limits_are_part_of_what_they_allow(tmp_path, length, reason):
    config = Config(shortest_clip=1.0, longest_clip=9.0)
    if reason is None:
        check_length(tmp_path, length, config)
        return
    with pytest.raises(InputUnusable) as refused:
        check_length(tmp_path, length, config)
    assert refused.value.reason == reason


def test_a_clip_without_a_length_is_within_every_limit(tmp_path):
    check_length(tmp_path, None, Config(shortest_clip=1.0))


def test_a_digest_is_of_the_content_wherever_it_lies(folder, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved")
    for path in folder.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    assert digest(moved) == digest(folder)
    assert digest(moved / "f1.png") == digest(folder / "f1.png") != digest(folder / "f2.png")


def test_a_digest_of_a_folder_changes_with_whatever_can_change_its_frames(folder):
    before = digest(folder)
    (folder / "notes.txt").write_text("a note")
    (folder / ".f3.png").write_bytes(b"hidden")
    assert digest(folder) == before
    (folder / "f2.png").rename(folder / "e2.png")  # another order
    renamed = digest(folder)
    (folder / "e2.png").write_bytes(b"other pixels")
    assert len({before, renamed, digest(folder)}) == 3


def test_names_of_any_encoding_have_a_digest(folder):
    before = digest(folder)
    (folder / "f0.png").rename(folder / os.fsdecode(b"f\xe9.png"))
    assert digest(folder) != before


@pytest.mark.parametrize(
    "make",
    [lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to("nowhere")],
    ids=["folder", "pipe", "broken link"],
)
def test_a_digest_neither_fails_nor_waits_for_an_entry_that_is_no_file(folder, make):
    """Whether a clip can be used, the reading of its chosen frames says."""
    make(folder / "f3.png")
    before = digest(folder)
    path = folder / "f3.png"
    path.rmdir() if path.is_dir() else path.unlink()
    path.write_bytes((folder / "f2.png").read_bytes())
    assert digest(folder) != before


def test_a_digest_of_what_is_not_there_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        digest(tmp_path / "none.mp4")


@pytest.mark.parametrize(("look", "name"), [(digest, "f0.png"), (digest, "."), (seconds, "f0.png")])
def test_a_lack_of_open_files_is_the_fault_of_the_machine(look, name, folder, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    for function in ("av.open", "pathlib.Path.open", "pathlib.Path.read_bytes"):
        monkeypatch.setattr(function, refuse)
    with pytest.raises(EnvironmentUnfit, match="lacks memory, threads or open files"):
        look(folder / name)
