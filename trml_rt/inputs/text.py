"""Read a text the way an operator expects: one UTF-8 text, or one clear sentence."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

from trml_rt.errors import InputUnusable, blames_machine, lacks_resource

__all__ = ["SIZE_LIMIT", "read_stream", "read_text", "text_or_file"]

# A context holds some 300 characters; a megabyte is a file named by mistake.
SIZE_LIMIT = 1_000_000

# What is meant as a file, be it there or not: the ending of a text file, or one word with a slash
# or an ending.
_PATH = re.compile(
    r".*\.(txt|text|md|srt|vtt|json|jsonl|csv)|\S*/\S*|\S+\.[A-Za-z]\w{0,4}", re.DOTALL
)


def text_or_file(value: str) -> str | Path:
    """Return what a person means who types `value` for a text: the text, or a file that holds it.

    A value that names a file is that file. So is one that looks like a path, which is then refused
    when it is read. All else is the text itself.
    """
    try:
        names_file = os.path.isfile(value)  # noqa: PTH113 - of a Path "a//b" or "./a" looks changed
    except ValueError:  # a zero byte
        names_file = False
    return Path(value) if names_file or _PATH.fullmatch(value) else value


def read_text(path: str | Path, *, limit: int = SIZE_LIMIT) -> str:
    """Return the text of the UTF-8 file at `path`, without a byte order mark.

    A file of more than `limit` bytes is refused.

    Raises InputUnusable, with reason "empty_text" for a file of nothing but white space, and
    "undecodable" for one that is absent, no regular file, too large, binary or not UTF-8.
    Raises EnvironmentUnfit where the machine lacks memory or open files.
    """
    path = Path(path)
    with blames_machine(path):
        data = _read(path, limit)
    return _decoded(data, path, limit)


def read_stream(stream: BinaryIO, name: str) -> str:
    """Return the text of a binary stream, which errors call `name`; raises as `read_text` does."""
    try:
        with blames_machine(name):
            data = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise InputUnusable(
            f"{name}: cannot be read: {error.strerror}", reason="undecodable"
        ) from error
    return _decoded(data, name)


def _decoded(data: bytes, path: str | Path, limit: int = SIZE_LIMIT) -> str:
    if len(data) > limit:
        what = "one utterance" if limit == SIZE_LIMIT else "a part of it"
        raise InputUnusable(
            f"{path}: larger than {limit // 1_000_000} MB; pass {what} as UTF-8 text",
            reason="undecodable",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputUnusable(
            f"{path}: not UTF-8 at byte {error.start}; convert the file to UTF-8",
            reason="undecodable",
        ) from error
    if "\0" in text:
        raise InputUnusable(
            f"{path}: holds zero bytes, so it is no text; pass a UTF-8 text file",
            reason="undecodable",
        )
    if not text.strip():
        raise InputUnusable(f"{path}: holds no text; leave the text out", reason="empty_text")
    return text


def _read(path: Path, limit: int) -> bytes:
    try:
        # A pipe or a device may never end, so only what is a file is opened.
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "does not exist"
            raise InputUnusable(f"{path}: {what}; pass a UTF-8 text file", reason="undecodable")
        with path.open("rb") as file:
            # One byte more than allowed: a file that grows meanwhile is not read to its end.
            return file.read(limit + 1)
    except OSError as error:
        if lacks_resource(error):
            raise
        raise InputUnusable(
            f"{path}: cannot be read: {error.strerror}; check the path and its permissions",
            reason="undecodable",
        ) from error
