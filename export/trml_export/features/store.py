"""Keep feature vectors on disk under a content hash, so that they are computed once.

The folder holds two files. `vectors.f32` holds rows of d float32 and only grows. It is read through
a memory map, so a data set need not fit into memory. `index.sqlite` says which rows belong to which
key. A transaction that names vectors is committed after they are on the disk. A process that is
killed loses its last chunk, and the next one writes over the rows that nothing names.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import numpy.typing as npt

from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, cannot_write

__all__ = ["Entry", "Failure", "FeatureStore", "Stored"]

_log = logging.getLogger(__name__)

_SCHEMA = 2
_ASKED_AT_ONCE = 500  # keys in one query; SQLite takes 999 and more


@dataclass(frozen=True)
class Failure:
    """Why nothing could be decoded: the reason in one word, and a sentence without the path."""

    reason: str
    message: str


@dataclass(frozen=True)
class Stored:
    """What is stored of one input: its vectors (rows, d), or why it has none.

    `seconds` is the length of a clip that has one; `incomplete` as in `trml_rt.inputs.video.Clip`.
    """

    vectors: npt.NDArray[np.float32]
    incomplete: bool = False
    seconds: float | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Entry:
    """Where the vectors of a key lie: `count` rows from `start` on; the rest as in `Stored`."""

    start: int
    count: int
    incomplete: bool
    seconds: float | None
    failure: Failure | None


class FeatureStore:
    """The vectors of size d in a folder, which is made if it does not exist.

    Every method may raise:
        ArtefactMismatch: the store is damaged.
        EnvironmentUnfit: the folder cannot be made, read or written.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._file = folder / "vectors.f32"
        self._size = size
        with self._guarded():
            folder.mkdir(parents=True, exist_ok=True)
        with self._guarded(), self._connected() as index:
            (schema,) = index.execute("PRAGMA user_version").fetchone()
            if schema == 0:
                with self.writing():
                    index.execute(
                        "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, start INTEGER, "
                        "count INTEGER, incomplete INTEGER, seconds REAL, reason TEXT, message TEXT"
                        ") WITHOUT ROWID"
                    )
                    index.execute(f"PRAGMA user_version = {_SCHEMA}")
            elif schema != _SCHEMA:
                raise self._damaged(f"its schema is {schema}, not {_SCHEMA}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock while new vectors are made; a second process waits, and logs it."""
        lock = filelock.FileLock(self._folder / ".lock")
        with self._guarded():
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                _log.warning("%s: another process fills this cache; waiting for it", self._folder)
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def find(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return the entries of those `keys` that the store holds."""
        distinct = list(dict.fromkeys(keys))
        entries: dict[str, Entry] = {}
        with self._guarded(), self._connected() as index:
            for first in range(0, len(distinct), _ASKED_AT_ONCE):
                part = distinct[first : first + _ASKED_AT_ONCE]
                marks = ", ".join("?" * len(part))
                for key, start, count, incomplete, seconds, reason, message in index.execute(
                    f"SELECT * FROM entries WHERE key IN ({marks})", part
                ):
                    failure = None if reason is None else Failure(reason, message)
                    entries[key] = Entry(start, count, bool(incomplete), seconds, failure)
        return entries

    def add(self, items: Mapping[str, Stored]) -> None:
        """Store all of `items` under their keys, or none of them.

        Call it inside `writing`, or in a process of a group whose first one is inside it.
        """
        rows, vectors = [], []
        with self._guarded(), self._connected() as index:
            index.execute(
                "BEGIN IMMEDIATE"
            )  # several processes may add for one that holds the lock
            end = start = self._end(index)
            for key, item in items.items():
                failure = item.failure
                why = (None, None) if failure is None else (failure.reason, failure.message)
                count = len(item.vectors)
                rows.append((key, end, count, item.incomplete, item.seconds, *why))
                vectors.append(item.vectors)
                end += count
            self._write(start, np.concatenate(vectors).astype(np.float32, copy=False))
            index.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def vectors(self) -> npt.NDArray[np.float32]:
        """Return all rows (rows, d), read-only, as a map of the file."""
        with self._guarded():
            with self._connected() as index:
                rows = self._end(index)
            if rows == 0:
                return np.zeros((0, self._size), np.float32)
            length = self._file.stat().st_size if self._file.exists() else 0
            if length < rows * self._size * 4:
                raise self._damaged(f"{self._file.name} ends early")
            return np.memmap(self._file, np.float32, "r", shape=(rows, self._size))

    def _write(self, start: int, vectors: npt.NDArray[np.float32]) -> None:
        with self._file.open("r+b" if self._file.exists() else "w+b") as file:
            file.seek(start * self._size * 4)
            file.write(vectors.tobytes())
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def _end(index: sqlite3.Connection) -> int:
        (end,) = index.execute("SELECT MAX(start + count) FROM entries").fetchone()
        return int(end or 0)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._folder / "index.sqlite", timeout=60)
        try:
            with connection:  # one transaction
                yield connection
        finally:
            connection.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unusable(error) from None
        except sqlite3.OperationalError as problem:
            code = errno.ENOSPC if "disk is full" in str(problem) else errno.EIO
            raise self._unusable(OSError(code, str(problem))) from None
        except sqlite3.DatabaseError as problem:
            raise self._damaged(str(problem)) from None

    def _unusable(self, error: OSError) -> EnvironmentUnfit:
        return cannot_write(self._folder, error, "name another folder with --cache")

    def _damaged(self, what: str) -> ArtefactMismatch:
        return ArtefactMismatch(f"{self._folder}: the feature cache is damaged ({what}); delete it")
