"""The folder beside the answers of a job: what the job is, and what it has answered so far.

    answers.parquet.job/job.json            the fingerprint, and whether the job is finished
    answers.parquet.job/parts/00000001.jsonl  records; of one key the last part counts

A part is written whole and renamed. Who holds the lock is the only writer.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from trml_rt.bundle.atomic import (
    check_writable,
    is_partial,
    remove_partials,
    staged_file,
    write_bytes,
)
from trml_rt.bundle.files import read_record
from trml_rt.bundle.manifest import Task
from trml_rt.bundle.records import parse_json
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError, cannot_write
from trml_rt.jobs.records import to_line

__all__ = ["Job", "JobFolder", "Parts", "folder_of", "opened", "read_job"]

_JOB, _PARTS, _LOCK = "job.json", "parts", ".lock"
_SECONDS = 1.0  # between two parts, at first
_SHARE = 0.01  # of the time so far, later on: a kill costs no more, and parts stay few


def folder_of(out: Path) -> Path:
    """Return the folder of the job that writes `out`."""
    return out.with_name(f"{out.name}.job")


class _Place(NamedTuple):
    """Where a record stands: the number of its part, its offset there, and whether it failed."""

    part: int
    offset: int
    failed: bool


class Parts:
    """The records of a job on disk, found by key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, _Place] = {}
        self._pending: list[tuple[str, bytes, bool]] = []
        self._numbers = sorted(int(path.stem) for path in folder.glob("*.jsonl"))
        self._begun = self._flushed = time.monotonic()
        for number in self._numbers:
            self._index(number)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def has(self, key: str) -> bool:
        """Say whether there is a record of `key`."""
        return key in self._places

    def failed(self, key: str) -> bool:
        """Say whether the record of `key` has an error."""
        return self._places[key].failed

    def add(self, record: Mapping[str, Any]) -> None:
        """Keep a record; it is on disk after the next part."""
        self._pending.append((record["key"], to_line(record), "error" in record))
        now = time.monotonic()
        if now - self._flushed >= max(_SECONDS, _SHARE * (now - self._begun)):
            self.flush()

    def flush(self) -> None:
        """Write what is kept as one part."""
        if not self._pending:
            return
        number, offset = self._next(), 0
        write_bytes(self._path(number), b"".join(line for _, line, _ in self._pending))
        for key, line, failed in self._pending:
            self._places[key] = _Place(number, offset, failed)
            offset += len(line)
        self._numbers.append(number)
        self._pending = []
        self._flushed = time.monotonic()

    def read(self, key: str) -> dict[str, Any]:
        """Return the record of `key`."""
        place = self._places[key]
        path = self._path(place.part)
        try:
            with path.open("rb") as file:
                file.seek(place.offset)
                line = file.readline()
        except OSError as error:
            raise _damaged(path, error.strerror or str(error)) from None
        return _record(path, line)

    def compact(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Leave one part, with `records` in their order, in place of all."""
        number, old = self._next(), [*self._numbers]
        with staged_file(self._path(number)) as file:
            file.writelines(map(to_line, records))
        for each in old:
            self._path(each).unlink()
        self._numbers, self._places = [number], {}
        self._index(number)

    def _next(self) -> int:
        return self._numbers[-1] + 1 if self._numbers else 1

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08}.jsonl"

    def _index(self, number: int) -> None:
        path, offset = self._path(number), 0
        with path.open("rb") as file:
            for line in file:
                record = _record(path, line)
                self._places[record["key"]] = _Place(number, offset, "error" in record)
                offset += len(line)


class Job(NamedTuple):
    """What a job is: its fingerprint, the task of its bundle, and whether it is finished."""

    fingerprint: Mapping[str, Any]
    task: Task
    finished: bool = False

    def write(self, folder: Path) -> None:
        """Write it into the job's folder."""
        content = {**self._asdict(), "task": self.task.model_dump()}
        write_bytes(folder / _JOB, (json.dumps(content, indent=1) + "\n").encode())


class JobFolder(NamedTuple):
    """The folder of one job, while its lock is held."""

    folder: Path
    job: Job
    parts: Parts

    def finish(self) -> None:
        """Write down that every row has a record, and the answers are written."""
        self.job._replace(finished=True).write(self.folder)


@contextlib.contextmanager
def opened(
    out: Path, fingerprint: Mapping[str, Any], task: Task, *, go_on: bool, force: bool
) -> Iterator[JobFolder]:
    """Yield the folder of the job that writes `out`, made or found, while nobody else writes.

    Args:
        out: the file of answers.
        fingerprint: what must be the same in every run of the job.
        task: of the bundle.
        go_on: work on a job that is finished, too.
        force: begin anew, whatever there is.

    Raises:
        UsageError: there is another job, or a finished one, or what no job wrote.
        ArtefactMismatch: a file of the job is damaged.
        EnvironmentUnfit: it cannot be written, or another process is at work.
    """
    import filelock

    folder = folder_of(out)
    if out.exists() and not folder.exists() and not force:
        raise UsageError(f"{out}: exists already; name another file, or pass --force")
    _refuse_strange(folder)
    try:
        (folder / _PARTS).mkdir(parents=True, exist_ok=True)
        check_writable(folder, "name another file with --out")
        lock = filelock.FileLock(folder / _LOCK)
        with lock.acquire(timeout=0):
            remove_partials(folder)
            remove_partials(folder / _PARTS)
            if force:
                shutil.rmtree(folder / _PARTS)
                (folder / _PARTS).mkdir()
                (folder / _JOB).unlink(missing_ok=True)
            if (folder / _JOB).exists():
                _refuse_another(out, _read(folder), fingerprint, go_on=go_on)
            job = Job(fingerprint, task)
            job.write(folder)
            yield JobFolder(folder, job, Parts(folder / _PARTS))
    except filelock.Timeout:
        raise EnvironmentUnfit(
            f"{folder}: another process works on this job; wait for it to end"
        ) from None
    except OSError as error:
        raise cannot_write(folder, error, "name another file with --out") from None


def read_job(out: Path) -> tuple[Job, Parts]:
    """Return the finished job that wrote `out`, and its records.

    Raises:
        UsageError: no job wrote it, or it is not finished.
        ArtefactMismatch: the file is damaged.
    """
    folder = folder_of(out)
    if not (folder / _JOB).is_file():
        raise UsageError(f"{out}: no job wrote it, as {folder} is not there; name another file")
    job = _read(folder)
    if not job.finished:
        raise UsageError(f"{out}: its job is not finished; let it end, and merge then")
    return job, Parts(folder / _PARTS)


def _refuse_strange(folder: Path) -> None:
    """Refuse a folder of that name in which something lies that no job writes."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:  # absent, or the first who writes there says why it cannot be
        return
    for name in names:
        if name not in (_JOB, _PARTS, _LOCK) and not is_partial(name):
            raise UsageError(f"{folder}: holds {name}, which no job wrote; name another --out")


def _refuse_another(out: Path, job: Job, fingerprint: Mapping[str, Any], *, go_on: bool) -> None:
    for name, value in fingerprint.items():
        if (then := job.fingerprint.get(name)) != value:
            raise UsageError(
                f"{folder_of(out)}: is of a job with another {name} ({then}, not {value}); name "
                "another file with --out, or pass --force to answer every row again"
            )
    if job.finished and not go_on:
        raise UsageError(
            f"{out}: is finished; pass --resume to answer rows that are new, --retry-failed to "
            "answer those with an error again, or --force to answer all again"
        )


def _read(folder: Path) -> Job:
    path = folder / _JOB
    try:
        data = read_record(path)
    except OSError as error:
        raise ArtefactMismatch(f"{path}: cannot be read ({error.strerror})") from None
    content = parse_json(data, str(path))
    try:
        task = Task.model_validate_json(json.dumps(content["task"]))
        return Job(dict(content["fingerprint"]), task, content["finished"] is True)
    except (KeyError, TypeError, ValueError):
        raise ArtefactMismatch(
            f"{path}: is not what a job writes; pass --force to begin anew"
        ) from None


def _record(path: Path, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if line.endswith(b"\n") and isinstance(record["key"], str):
            return dict(record)
    except (ValueError, TypeError, KeyError):
        pass
    raise _damaged(path, "a line is no record")


def _damaged(path: Path, how: str) -> ArtefactMismatch:
    return ArtefactMismatch(
        f"{path}: is damaged ({how}); delete it, and the job answers its rows again"
    )
