"""Files that a record lists by size and hash: describe them, and refuse what differs.

Only regular files are opened: a pipe would block for ever, a device may never end.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, cast

from pydantic import AfterValidator, Field

from trml_rt.bundle.records import Strict, expected, refuse, shown
from trml_rt.errors import ArtefactMismatch

__all__ = [
    "RECORD_LIMIT",
    "CheckedFile",
    "Digest",
    "FileEntry",
    "FileLike",
    "check_files",
    "check_hash",
    "describe_files",
    "open_checked",
    "open_file",
    "path_problem",
    "read_record",
    "sha256_of",
]

RECORD_LIMIT = 16 << 20
"""The most bytes that a record may have, such as model.json (R1)."""


def _digest(value: str) -> str:
    if re.fullmatch(r"[0-9a-f]{64}", value) is None:
        raise expected("a sha256 of 64 lower-case hex digits")
    return value


Digest = Annotated[str, AfterValidator(_digest)]
"""A sha256 as lower-case hex."""


class FileEntry(Strict):
    """One file, by its content."""

    sha256: Digest
    bytes: Annotated[int, Field(ge=0)]


def path_problem(path: str) -> str | None:
    """Say why `path` may not stand in a manifest, or None (R4)."""
    parts = path.split("/")
    if not path or path.startswith("/") or "\\" in path or ":" in path or "\0" in path:
        return f"{path!r}: not a relative path with forward slashes"
    if any(part in ("", ".", "..") for part in parts):
        return f"{path!r}: leaves the folder, or is not in its simplest form"
    return None


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device or a folder.
    """
    return open(path, "rb", opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    _check_regular(Path(path).stat(), path)  # first: opening alone can block, or wind a tape
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        _check_regular(os.fstat(handle), path)  # it may have been replaced meanwhile
    except OSError:
        os.close(handle)
        raise
    return handle


def _check_regular(status: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def read_record(path: Path) -> bytes:
    """Return the bytes of a record, such as model.json.

    Raises:
        OSError: it cannot be read, is no regular file, or has more than `RECORD_LIMIT` bytes.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > RECORD_LIMIT:
            raise OSError(errno.EFBIG, f"larger than {RECORD_LIMIT >> 20} MiB", str(path))
        return file.read(size)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a regular file in lower-case hex, reading it in pieces."""
    digest = hashlib.sha256()
    with open_file(path) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, FileEntry]:
    """Return the entries of `files` for `names` under `folder`."""
    return {
        name: FileEntry(sha256=sha256_of(folder / name), bytes=(folder / name).stat().st_size)
        for name in sorted(names)
    }


_LEADS_OUT = "leads out of the folder through a link"  # as in the cache of a model hub


def check_files(folder: Path, files: dict[str, FileEntry], remedy: str) -> None:
    """Refuse a folder in which a listed file is absent, outside, or of another size (R4, R6).

    Raises:
        ArtefactMismatch: listing every such file; `remedy` is what to do where one is not whole.
    """
    problems: list[str] = []
    whole = True
    root = folder.resolve()
    for name, entry in files.items():
        path = folder / name
        try:
            if problem := path_problem(name):
                problems.append(problem)
            elif not path.is_file():
                problems.append(f"{name}: file is missing")
                whole = False
            elif not path.resolve().is_relative_to(root):
                problems.append(f"{name}: {_LEADS_OUT}")
            elif (size := path.stat().st_size) != entry.bytes:
                problems.append(f"{name}: {shown(entry.bytes)} bytes expected, {size} found")
                whole = False
        except OSError as error:
            problems.append(f"{name}: cannot be read ({error.strerror})")
    if any(problem.endswith(_LEADS_OUT) for problem in problems):
        problems.append("copy the folder with the files that its links lead to: cp -rL")
    if not whole:
        problems.append(remedy)
    if problems:
        refuse(str(folder), problems)


def check_hash(path: Path, entry: FileEntry, remedy: str) -> None:
    """Refuse a file whose content is not what its entry states (R7).

    Raises:
        ArtefactMismatch: naming the file, and `remedy` as what to do.
    """
    with _blames_file(path, remedy):
        digest = sha256_of(path)
    _compare(digest, path, entry, remedy)


class CheckedFile:
    """A file that stays open since its hash was compared: what is put in its place is not read.

    It can be read like a `Path`. Its path as a str is for messages; as a path of the system it
    names the open file itself, where the system has names for open files. Leaving its context
    fails if the file was written to meanwhile, as far as the clock of its file system tells.
    """

    def __init__(self, path: Path, file: BinaryIO, status: os.stat_result, remedy: str) -> None:
        self._path, self._file, self._status, self._remedy = path, file, status, remedy

    def __str__(self) -> str:
        return str(self._path)

    def __fspath__(self) -> str:
        again = f"/proc/self/fd/{self._file.fileno()}"
        return again if os.path.exists(again) else os.fspath(self._path)  # noqa: PTH110

    def open(self, mode: str = "rb") -> BinaryIO:
        """Return a file object at the first byte; `mode` is always "rb"."""
        self._file.seek(0)
        return cast(BinaryIO, os.fdopen(os.dup(self._file.fileno()), mode))

    def read_bytes(self) -> bytes:
        """Return all bytes."""
        with self.open() as file:
            return file.read()

    def refuse_replaced(self) -> None:
        """Refuse a file that another one replaced, for who opened it by its name, too.

        Raises:
            ArtefactMismatch: its path names another file by now.
        """
        try:
            now = self._path.stat()
        except OSError:
            now = None
        if now is None or not os.path.samestat(now, self._status):
            raise self._changed()

    def _changed(self) -> ArtefactMismatch:
        return ArtefactMismatch(f"{self}: was changed while it was loaded; {self._remedy}")

    def __enter__(self) -> CheckedFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        now, before = os.fstat(self._file.fileno()), self._status
        self._file.close()
        written = (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)
        # A file that another one replaces has the time of its change changed, too.
        touched = now.st_ctime_ns != before.st_ctime_ns and now.st_nlink == before.st_nlink
        if kind is None and (written or touched):
            raise self._changed()


FileLike = Path | CheckedFile
"""A file as a back end gets it: its path, or open since its hash was compared."""


def open_checked(
    path: Path,
    entry: FileEntry,
    remedy: str,
    check: Callable[[bytes, str], None] = lambda data, source: None,  # noqa: ARG005
) -> CheckedFile:
    """Open a file whose content is what its entry states (R7); use it as a context manager.

    Args:
        path: the file.
        entry: what it must be.
        remedy: what to do if it is not.
        check: refuses bytes that it is given with the path.

    Raises:
        ArtefactMismatch: as `check_hash` does.
    """
    with _blames_file(path, remedy):
        file = open_file(path)
    try:
        with _blames_file(path, remedy):
            status = os.fstat(file.fileno())
            data = file.read(entry.bytes + 1)  # no more of a file that grows meanwhile
        _compare(hashlib.sha256(data).hexdigest(), path, entry, remedy)
        check(data, str(path))
    except BaseException:
        file.close()
        raise
    return CheckedFile(path, file, status, remedy)


@contextlib.contextmanager
def _blames_file(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtefactMismatch(f"{path}: cannot be read ({error.strerror}); {remedy}") from None


def _compare(digest: str, path: Path, entry: FileEntry, remedy: str) -> None:
    if digest != entry.sha256:
        raise ArtefactMismatch(
            f"{path}: the content differs from its sha256 in the manifest; {remedy}"
        )
