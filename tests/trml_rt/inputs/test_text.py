from __future__ import annotations

import io
from pathlib import Path

import pytest

from trml_rt.errors import InputUnusable
from trml_rt.inputs.text import SIZE_LIMIT, read_stream, read_text, text_or_file


@pytest.fixture
def text_file(tmp_path):
    def write(data: bytes):
        path = tmp_path / "text.txt"
        path.write_bytes(data)
        return path

    return write


def reason_of(path) -> str:
    with pytest.raises(InputUnusable) as caught:
        read_text(path)
    return caught.value.reason


def test_a_text_comes_back_as_written(text_file):
    assert read_text(text_file("naïve 😂\r\n".encode())) == "naïve 😂\r\n"


def test_a_byte_order_mark_is_no_part_of_the_text(text_file):
    assert read_text(text_file(b"\xef\xbb\xbfhello")) == "hello"


def test_a_text_of_the_largest_size_is_read(text_file):
    assert len(read_text(text_file(b"a" * SIZE_LIMIT))) == SIZE_LIMIT


@pytest.mark.parametrize("data", [b"", b" \r\n\t", b"\xef\xbb\xbf\n"])
def test_a_file_without_text_is_an_empty_text(text_file, data):
    assert reason_of(text_file(data)) == "empty_text"


@pytest.mark.parametrize(
    "data",
    [b"caf\xe9", b"\xff\xfeh\x00i\x00", b"abc\x00def", b"a" * (SIZE_LIMIT + 1)],
    ids=["latin-1", "utf-16", "zero-byte", "too-large"],
)
def test_a_file_that_is_no_utf8_text_is_undecodable(text_file, data):
    assert reason_of(text_file(data)) == "undecodable"


@pytest.mark.parametrize("name", ["", "absent.txt", "zero\0byte.txt"])
def test_a_path_that_is_no_file_is_undecodable(tmp_path, name):
    assert reason_of(tmp_path / name) == "undecodable"


def test_the_message_names_the_file_and_the_faulty_byte(text_file):
    path = text_file(b"caf\xe9")
    with pytest.raises(InputUnusable, match=r"text\.txt: not UTF-8 at byte 3"):
        read_text(path)


@pytest.mark.parametrize(
    "words", ["what a day", "great", "so good. Really", "and/or what not", "3.5", "", "no\nline"]
)
def test_words_are_the_text_itself(words):
    assert text_or_file(words) == words


@pytest.mark.parametrize(
    "name", ["t.txt", "my text.txt", "./t", "dir/t", "/no/such", "talk.srt", "t.log", "~/t"]
)
def test_what_looks_like_a_path_is_one_and_missed_where_it_is_absent(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text_or_file(name) == Path(name)
    with pytest.raises(InputUnusable, match="does not exist"):
        read_text(text_or_file(name))


def test_words_that_name_a_file_are_that_file_and_a_folder_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("what a day").write_text("from the file")
    Path("great").mkdir()
    assert read_text(text_or_file("what a day")) == "from the file"
    assert text_or_file("great") == "great"


def test_a_stream_is_held_to_the_rules_of_a_file():
    assert read_stream(io.BytesIO(b"\xef\xbb\xbfwhat a day"), "standard input") == "what a day"
    for data, words in (
        (b"", "holds no text"),
        (b"caf\xe9", "not UTF-8 at byte 3"),
        (b"a\0", "holds zero bytes"),
        (b"a" * (SIZE_LIMIT + 1), "larger than 1 MB"),
    ):
        with pytest.raises(InputUnusable, match=f"^standard input: {words}"):
            read_stream(io.BytesIO(data), "standard input")
