"""The rows of a job: from JSON lines, a table, Parquet, or a folder of clips and texts.

    {"id": "a1", "text": "what a day", "video": "clips/a1.mp4", "score": 1.4}

Every key may be left out, but one of `text` and `video` must be there. A row that breaks a rule is
kept with its fault, because a job does not stop for a row. Each row has a key, by which a job that
goes on knows what it has answered.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from trml_rt.bundle.files import sha256_of
from trml_rt.errors import UsageError, lacks_package
from trml_rt.inputs.row_file import KEYS, misspelt, numbered
from trml_rt.inputs.rows import FILES, read_file, refuse_all, wrong_types
from trml_rt.progress import counted

__all__ = ["KEY_KINDS", "PARQUET", "JobRow", "Shard", "read_job_rows", "row_of"]

_log = logging.getLogger(__name__)

KEY_KINDS = ("id", "content")
"""What a row is known by: its id, else its words and the size and time of its clip; or content."""

PARQUET = ".parquet"

# A folder that is no file of rows gives a row for each of these; the others are left out.
_TEXT = ".txt"
_VIDEOS = r"3gp|asf|avi|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|mxf|ogv|ts|webm|wmv"
_PICTURES = r"avif|bmp|gif|hei[cf]|jpe?g|png|tiff?|webp"
_CLIP = re.compile(rf"\.({_VIDEOS}|{_PICTURES})")


class Shard(NamedTuple):
    """Part `number`, from 1 on, of `of` parts of a data set."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, row: JobRow) -> bool:
        """Say whether `row` is of this part; what it is named decides, not where it stands."""
        digest = hashlib.sha256(json.dumps(row.named).encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1


@dataclass(frozen=True, slots=True)
class JobRow:
    """One row; of `text`, `text_file` and `video` those are None that it does not have.

    `line` is where it begins, or its place in a folder or a table of Parquet, from 1 on. `video`
    and `text_file` are as the rows name them, relative to `folder`. `truth` is its score or label.
    """

    line: int
    folder: Path
    id: str | None = None
    text: str | None = None
    text_file: str | None = None
    video: str | None = None
    score: float | None = None
    label: str | None = None
    fault: str | None = None
    key: str = ""

    @property
    def named(self) -> list[str | None]:
        """What names the row, whatever becomes of its files."""
        return [self.id or self.text, self.text_file, None if self.id else self.video]

    def inputs(self) -> dict[str, str]:
        """Return what a worker needs: `text`, or the paths `text_file` and `video`."""
        paths = {"text_file": self.text_file, "video": self.video}
        found = {name: str(self.folder / path) for name, path in paths.items() if path is not None}
        return found if self.text is None else {"text": self.text, **found}


def read_job_rows(data: Path, *, key: str = "id", shard: Shard | None = None) -> list[JobRow]:
    """Return the rows of `data`, each with a key that no other one has.

    Args:
        data: a file of rows (.csv, .tsv, .parquet, else JSON lines), a folder with one named
            `data`, or a folder of clips and texts, of which two with one name are one row.
        key: "id": a row's id is its key. Without an id, its words and the path, size and time of
            its files are. "content": the content of the files counts instead, and the id beside.
        shard: only the rows of this part.

    Raises:
        UsageError: the data cannot be read, or has no row that can be used.
        EnvironmentUnfit: the package for Parquet is lacking.
    """
    rows: list[JobRow] = []
    lines: dict[str, int] = {}
    for row in _rows(data):
        if row.id is not None:
            first = lines.setdefault(row.id, row.line)
            if first != row.line and row.fault is None:
                row = replace(row, fault=f"id {row.id!r} stands twice, also in line {first}")
        rows.append(row)
    faults = [f"line {row.line}: {row.fault}" for row in rows if row.fault is not None]
    if not rows:
        raise UsageError(f"{data}: holds no row to answer")
    if len(faults) == len(rows):  # a wrong header, a wrong key: nobody wants that many answers
        refuse_all(data, faults)
    chosen = [row for row in rows if shard is None or shard.holds(row)]
    keyed = counted(chosen, len(chosen), "reading the clips for keys", _log)
    return _unique(replace(row, key=_key(row, key)) for row in keyed)


def row_of(content: Mapping[str, Any], number: int, folder: Path, key: str) -> JobRow:
    """Return the row that `content` is, with the key that it has unless another has it."""
    row = _row(content, number, folder)
    return replace(row, key=_key(row, key))


def _rows(data: Path) -> Iterator[JobRow]:
    try:
        is_clips = data.is_dir() and not any(os.path.lexists(data / name) for name in FILES)
    except OSError as error:  # a name that is too long
        raise UsageError(f"{data}: cannot be read ({error.strerror or error})") from None
    if is_clips:
        yield from _of_folder(data)
        return
    if data.suffix.lower() == PARQUET:
        folder, lines = data.parent, _parquet_lines(data)
    else:
        path, whole = read_file(data)
        folder, lines = path.parent, numbered(path, whole)
    for number, content in lines:
        if isinstance(content, str):
            yield JobRow(number, folder, fault=content)
        else:
            yield _row(content, number, folder)


def _row(content: Mapping[str, Any], number: int, folder: Path) -> JobRow:
    faults = [*misspelt(content), *_faults(content), *wrong_types(content)]
    identity, score = content.get("id"), content.get("score")
    row = JobRow(number, folder, id=None if identity is None else str(identity))
    if faults:
        return replace(row, fault="; ".join(faults))
    return replace(
        row,
        text=content.get("text"),
        video=content.get("video"),
        score=None if score is None else float(score),
        label=content.get("label"),
    )


def _faults(content: Mapping[str, Any]) -> Iterator[str]:
    identity, text, video = (content.get(name) for name in ("id", "text", "video"))
    if identity is not None and (isinstance(identity, bool) or not isinstance(identity, str | int)):
        yield "id must be a string or a whole number"
    if identity == "":
        yield "id is empty; leave it out where there is none"
    if text is None and video is None:
        yield "neither text nor video; give one at least"
    if text is not None and not isinstance(text, str):
        yield "text must be a string"
    if video is not None and (not isinstance(video, str) or not video or "\0" in video):
        yield "video must be a path; leave it out where there is none"


def _parquet_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield what the columns of our names hold, by the number of the row."""
    try:
        path.stat()  # before a package is asked for
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise lacks_package("reading Parquet", error, "batch") from None

    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            names = table.schema_arrow.names
            faults = [*misspelt(names)]
            if not {"text", "video"} & set(names):
                faults.append(f"has neither a column text nor video, but {', '.join(names[:20])}")
            if faults:
                raise UsageError(f"{path}: {'; '.join(faults)}")
            for batch in table.iter_batches(columns=[name for name in names if name in KEYS]):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {name: cell for name, cell in row.items() if cell is not None}
    except (OSError, ArrowException) as error:
        raise UsageError(f"{path}: cannot be read as Parquet ({error})") from None


def _of_folder(folder: Path) -> Iterator[JobRow]:
    """Yield a row for each clip and each text below `folder`; those of one name are one row."""
    found: dict[str, dict[str, list[str]]] = {}
    left_out: Counter[str] = Counter()
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            ending = Path(name).suffix.lower()
            kind = "text" if ending == _TEXT else "video" if _CLIP.fullmatch(ending) else None
            path = (Path(place) / name).relative_to(folder)
            if name.startswith(".") or kind is None:
                left_out[ending or name] += 1
            else:
                pair = found.setdefault(str(path.with_suffix("")), {"text": [], "video": []})
                pair[kind].append(str(path))
    if left_out:
        shown = ", ".join(f"{count} of {ending}" for ending, count in left_out.most_common(5))
        _log.info("left out of %s: files that are neither clip nor text (%s)", folder, shown)
    number = 0
    for pair in found.values():
        texts, videos = pair["text"], pair["video"]
        if len(videos) > 1:  # one text cannot belong to two clips
            pairs: list[tuple[str | None, str | None]] = [(None, video) for video in videos]
            pairs += [(text, None) for text in texts]
        else:
            pairs = [(texts[0] if texts else None, videos[0] if videos else None)]
        for text, video in pairs:
            number += 1
            yield JobRow(number, folder, text_file=text, video=video)


def _key(row: JobRow, kind: str) -> str:
    if row.fault is not None:
        return row.id or f"line {row.line}"
    if kind == "id" and row.id is not None:
        return row.id
    files = [path for path in (row.text_file, row.video) if path is not None]
    look = _content if kind == "content" else _state
    state = [look(row.folder / path) for path in files]
    of_row = [row.id, row.text, row.text_file, row.video, *state]
    return hashlib.sha256(json.dumps(of_row).encode()).hexdigest()[:32]


def _state(path: Path) -> Any:
    """Return size and time of a file, or of each file of a folder; None if it is not there."""
    try:
        if path.is_dir():
            return [[name.name, _state(name)] for name in sorted(path.iterdir())]
        status = path.stat()
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


def _content(path: Path) -> Any:
    """Return the hash of a file, or of each file of a folder; None if it cannot be read."""
    try:
        if path.is_dir():
            return [[name.name, _content(name)] for name in sorted(path.iterdir())]
        return sha256_of(path)
    except (OSError, ValueError):
        return None


def _unique(rows: Iterator[JobRow]) -> list[JobRow]:
    """Return the rows; of equal ones the second gets the key with "#2" at its end, and so on."""
    seen: Counter[str] = Counter()
    keyed = []
    for row in rows:
        key = row.key
        while seen[key]:
            seen[row.key] += 1
            key = f"{row.key}#{seen[row.key]}"
        seen[key] += 1
        keyed.append(replace(row, key=key))
    return keyed
