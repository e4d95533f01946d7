from __future__ import annotations

import pytest

from trml_rt.errors import InputUnusable
from trml_rt.inputs.text import SIZE_LIMIT, read_text


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
