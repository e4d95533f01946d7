"""Read a text file the way an operator expects: one UTF-8 text, or one clear sentence."""

from __future__ import annotations

from pathlib import Path

from trml_rt.errors import InputUnusable, blames_machine, lacks_resource

__all__ = ["SIZE_LIMIT", "read_text"]

# A context holds some 300 characters; a megabyte is a file named by mistake.
SIZE_LIMIT = 1_000_000


def read_text(path: str | Path) -> str:
    """Return the text of the UTF-8 file at `path`, without a byte order mark.

    Raises InputUnusable, with reason "empty_text" for a file of nothing but white space, and
    "undecodable" for one that is absent, no regular file, too large, binary or not UTF-8.
    Raises EnvironmentUnfit where the machine lacks memory or open files.
    """
    path = Path(path)
    with blames_machine(path):
        data = _read(path)
    if len(data) > SIZE_LIMIT:
        raise InputUnusable(
            f"{path}: larger than {SIZE_LIMIT // 1_000_000} MB; pass one utterance as UTF-8 text",
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


def _read(path: Path) -> bytes:
    try:
        # A pipe or a device may never end, so only what is a file is opened.
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "does not exist"
            raise InputUnusable(f"{path}: {what}; pass a UTF-8 text file", reason="undecodable")
        with path.open("rb") as file:
            # One byte more than allowed: a file that grows meanwhile is not read to its end.
            return file.read(SIZE_LIMIT + 1)
    except OSError as error:
        if lacks_resource(error):
            raise
        raise InputUnusable(
            f"{path}: cannot be read: {error.strerror}; check the path and its permissions",
            reason="undecodable",
        ) from error
