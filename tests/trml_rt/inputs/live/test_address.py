"""What a user may name as a source, and that no message shows its credentials."""

from __future__ import annotations

import pytest

from trml_rt.errors import UsageError
from trml_rt.inputs.live.address import parse_address


@pytest.mark.parametrize(
    ("text", "kind", "name", "live"),
    [
        ("/dev/video0", "camera", "/dev/video0", True),
        ("rtsp://camera/1", "rtsp", "rtsp://camera/1", True),
        ("RTSPS://u:p@camera:8554/1", "rtsp", "rtsps://camera:8554/1", True),
        ("https://h/live.m3u8?token=abc", "http", "https://h/live.m3u8", True),
        ("-", "pipe", "standard input", False),
        ("pipe:", "pipe", "standard input", False),
        ("pipe:/tmp/fifo", "pipe", "/tmp/fifo", False),
        ("test:", "test", "test:", True),
        ("https://h/1?token=" + "a" * 5000, "http", "https://h/1", True),
        ("clip.mp4", "file", "clip.mp4", False),
        ("/dev/videos/a.mp4", "file", "/dev/videos/a.mp4", False),
        ("holiday: day 1.mp4", "file", "holiday: day 1.mp4", False),
    ],
)
def test_a_source_is_known_by_its_form(text, kind, name, live):
    address = parse_address(text)
    assert (address.kind, address.name, address.live) == (kind, name, live)


def test_a_file_that_is_there_is_a_file_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test:").touch()
    assert parse_address("test:").kind == "file"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names nothing"),
        ("a\0b", "names nothing"),
        ("ftp://u:secret@host/v.mp4", "the scheme ftp: is not read"),
        ("concat://a", "the scheme concat: is not read"),
        ("ftp://[::1", "the scheme ftp: is not read"),
        ("rtsp://[::1", "names no host"),
        ("rtsp://", "names no host"),
        ("rtsp://host:99999/1", "no port"),
        ("http://host/a b", "names no host"),
        ("test:?rate=0", "test: does not know rate=0"),
        ("test:?size=1x1,movie=/etc/passwd", "does not know size="),
        ("test:?movie=/etc/passwd", "does not know movie="),
    ],
)
def test_what_names_no_source_is_refused_in_words_that_help(text, words):
    with pytest.raises(UsageError, match=r"^video: ") as refused:
        parse_address(text)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


def test_credentials_are_cut_out_however_they_are_written():
    text = "rtsp://admin:p%40ss!@camera:554/1?token=t0ken&x=1234"
    address = parse_address(text)
    assert address.name == "rtsp://camera:554/1"
    said = address.clean(f"{text} p%40ss! p@ss! t0ken admin 1234 refused")
    assert said == "rtsp://camera:554/1 *** *** *** *** *** refused"
    assert "p%40" not in repr(address)
