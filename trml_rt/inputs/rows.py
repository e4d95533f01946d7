"""Read one JSON object a line, or a table; every fault is found before any work begins.

    {"id": "a1", "split": "train", "text": "what a day", "video": "clips/a1.mp4", "score": 1.4}

`split` is train, valid or test; val and dev mean valid. `id` may be left out: then it is the number
of the line. `text` or `video` may be left out (or null), not both; a video is a video file, a
picture or a folder of frame pictures, by a path relative to the file. `score` and `label` may both
stand in a row. Other keys are kept. Training, calibration and verification read rows here.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from trml_rt.bundle.arguments import is_finite
from trml_rt.errors import UsageError
from trml_rt.inputs.row_file import extra_keys, misspelt, numbered

__all__ = [
    "FILES",
    "SPLITS",
    "Row",
    "Rows",
    "Scan",
    "evenly",
    "read_file",
    "read_rows",
    "refuse_all",
    "scan_rows",
    "wrong_types",
]

SPLITS = ("train", "valid", "test")

FILES = ("data.jsonl", "data.csv", "data.tsv")
"""What a folder stands for: the one of them that is in it."""

_SPLIT_OF = {"train": "train", "valid": "valid", "val": "valid", "dev": "valid", "test": "test"}
_SHOWN = 20

Item = TypeVar("Item")


@dataclass(frozen=True)
class Row:
    """One row; `score` and `label` are None where the file has none.

    `line` is where it begins, or 0 in a layout without lines. `extra` holds the keys that nothing
    here reads, as the file has them.
    """

    id: str
    split: str
    text: str | None
    video: Path | None
    score: float | None
    label: str | None
    line: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scan:
    """The rows of a file without faults, and each fault with the line that has it."""

    path: Path
    rows: tuple[Row, ...]
    problems: tuple[tuple[int, str], ...]
    sha256: str


@dataclass(frozen=True)
class Rows:
    """Rows in file order, and the hash of the whole file."""

    rows: tuple[Row, ...]
    sha256: str

    def of_split(self, split: str) -> Rows:
        """Return the rows of one split."""
        return replace(self, rows=tuple(row for row in self.rows if row.split == split))

    def apart(self, every: int) -> tuple[Rows, Rows]:
        """Return the rows without every `every`-th, and those."""
        others = tuple(row for number, row in enumerate(self.rows) if number % every)
        return replace(self, rows=others), replace(self, rows=self.rows[::every])


def read_rows(path: Path, target_faults: Callable[[Row], Iterable[str]] = lambda _: ()) -> Rows:
    """Read and check the file `path`, or the one of `FILES` that is in the folder `path`.

    Args:
        path: the file or folder.
        target_faults: says what is wrong with the score or label of a row, whose types are right;
            of the row's other fields it must not read any.

    Raises:
        UsageError: the file cannot be read, or a line is wrong; the message counts the problems
            and lists the first twenty.
    """
    scan = scan_rows(path, target_faults)
    refuse_all(scan.path, [f"line {number}: {problem}" for number, problem in scan.problems])
    return Rows(scan.rows, scan.sha256)


def scan_rows(path: Path, target_faults: Callable[[Row], Iterable[str]] = lambda _: ()) -> Scan:
    """Read as `read_rows` does, and return the faults of lines instead of raising them.

    Raises:
        UsageError: the file cannot be read, or its ending and its content do not go together.
    """
    path, data = read_file(path)
    rows: list[Row] = []
    problems: list[tuple[int, str]] = []
    line_of: dict[str, int] = {}
    for number, content in numbered(path, data):
        if isinstance(content, str):
            problems.append((number, content))
            continue
        faults = list(misspelt(content))
        if content.get("id") is None:
            content["id"] = str(number)
        faults += _faults(content, path.parent)
        identity = content["id"]
        if isinstance(identity, str) and identity in line_of:
            faults.append(f"id {identity!r} stands twice, also in line {line_of[identity]}")
        elif isinstance(identity, str):
            line_of[identity] = number
        if wrong := wrong_types(content):
            faults += wrong
        else:
            row = _row(content, path.parent, number)
            faults += target_faults(row)
            rows += [] if faults else [row]
        problems += [(number, fault) for fault in faults]
    return Scan(path, tuple(rows), tuple(problems), hashlib.sha256(data).hexdigest())


def read_file(path: Path) -> tuple[Path, bytes]:
    """Return the file of rows that `path` is, or that is in this folder, and its bytes.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    try:
        if path.is_dir():  # an error for a name that is too long, too
            path = _file_in(path)
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe or a device may never end
            raise UsageError(f"{path}: is not a regular file; name a file of rows, or its folder")
        return path, path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None


def _file_in(folder: Path) -> Path:
    """Return the file of rows of a folder; UsageError unless there is exactly one."""
    found = [folder / name for name in FILES if os.path.lexists(folder / name)]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise UsageError(f"{folder}: holds {names}; name the one to read")
    if not found:
        raise UsageError(f"{folder}: holds none of {', '.join(FILES)}; name a file of rows")
    return found[0]


def refuse_all(path: Path, problems: Sequence[str]) -> None:
    """Raise UsageError with the number of `problems` and the first twenty, if there are any."""
    if not problems:
        return
    lines = [f"{path}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"]
    lines += [f"  {problem}" for problem in problems[:_SHOWN]]
    lines += [f"  and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    raise UsageError("\n".join(lines))


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` of `items`, evenly spread over them, or all when there are fewer."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


def _faults(content: dict[str, Any], folder: Path) -> Iterator[str]:
    """Yield what is wrong with one row."""
    if not isinstance(content["id"], str) or not content["id"]:
        yield "id must be a string that is not empty; leave it out to have the number of the line"
    split = content.get("split")
    if not isinstance(split, str) or split not in _SPLIT_OF:
        yield f"split must be one of {', '.join(SPLITS)}"
    text, video = content.get("text"), content.get("video")
    if text is None and video is None:
        yield "neither text nor video; give one at least"
    if text is not None and (not isinstance(text, str) or not text.strip()):
        yield "text must be a string that is not blank; leave it out where there is none"
    elif text is not None and any("\ud800" <= character <= "\udfff" for character in text):
        yield "text holds half of a surrogate pair, which is no character"
    if video is not None:
        if not isinstance(video, str) or not video:
            yield "video must be a path; leave it out where there is none"
        elif problem := _unreadable(folder / video):
            yield f"video {video} {problem}"


def wrong_types(content: Mapping[str, Any]) -> list[str]:
    """List what is wrong with the types of score and label."""
    score, label = content.get("score"), content.get("label")
    faults = []
    if score is not None and not is_finite(score):
        faults.append("score must be a number")
    if label is not None and not isinstance(label, str):
        faults.append("label must be a string")
    return faults


def _unreadable(path: Path) -> str | None:
    """Say why `path` is neither a file nor a folder, or None."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return "does not exist"
    regular = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return None if regular else "is neither a file nor a folder"


def _row(content: dict[str, Any], folder: Path, line: int) -> Row:
    """Return the row; where it has faults, they are known and it is thrown away."""
    video, score = content.get("video"), content.get("score")
    return Row(
        id=str(content.get("id")),
        split=_SPLIT_OF.get(str(content.get("split")), ""),
        text=content.get("text"),
        video=folder / video if isinstance(video, str) else None,
        score=None if score is None else float(score),
        label=content.get("label"),
        line=line,
        extra={key: content[key] for key in extra_keys(content)},
    )
