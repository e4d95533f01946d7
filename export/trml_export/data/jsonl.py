"""Read one JSON object a line; every fault is found before any work begins.

    {"id": "a1", "split": "train", "text": "what a day", "video": "clips/a1.mp4", "score": 1.4}

`split` is train, valid or test. `text` or `video` may be left out (or null), not both; a
video is a video file, a picture or a folder of frame pictures, by a path relative to the
data file. Regression reads `score`, classification `label`; both may stand in a row.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trml_export.config import Config
from trml_export.data.samples import SPLITS, DataSet, Sample
from trml_export.data.tables import refuse_all
from trml_rt.bundle.records import parse_json
from trml_rt.errors import ArtefactMismatch, UsageError

__all__ = ["read_jsonl"]

_KEYS = frozenset({"id", "split", "text", "video", "score", "label"})


def read_jsonl(path: Path, config: Config) -> DataSet:
    """Read and check the file `path`, or data.jsonl in the folder `path`.

    Raises:
        UsageError: the file cannot be read, or anything in it is wrong; the message counts
            the problems and lists the first twenty.
    """
    if path.is_dir():
        path = path / "data.jsonl"
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise UsageError(f"{path}: cannot be read ({problem.strerror})") from None
    problems: list[str] = []
    samples: list[Sample] = []
    seen: dict[str, int] = {}
    # A byte order mark is what spreadsheets put before the first line.
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            row = parse_json(line, where)
        except ArtefactMismatch as problem:
            problems.append(str(problem))
            continue
        faults = list(_faults(row, path.parent, config))
        identity = row.get("id")
        if isinstance(identity, str) and identity in seen:
            faults.append(f"id {identity!r} stands twice, also in line {seen[identity]}")
        elif isinstance(identity, str):
            seen[identity] = number
        problems += [f"{where}: {fault}" for fault in faults]
        if not faults:
            samples.append(_sample(row, path.parent, config))
    if not problems:
        problems += [
            f"no sample has the split {split!r}"
            for split in ("train", "valid")
            if all(sample.split != split for sample in samples)
        ]
    refuse_all(path, problems)
    return DataSet(tuple(samples), hashlib.sha256(data).hexdigest())


def _faults(row: dict[str, Any], folder: Path, config: Config) -> Iterator[str]:
    """Yield what is wrong with one row."""
    if unknown := sorted(row.keys() - _KEYS):
        yield f"unknown key {', '.join(unknown)}"
    if not isinstance(row.get("id"), str) or not row["id"]:
        yield "id must be a string that is not empty"
    if row.get("split") not in SPLITS:
        yield f"split must be one of {', '.join(SPLITS)}"
    text, video = row.get("text"), row.get("video")
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
    yield from _target_faults(row, config)


def _unreadable(path: Path) -> str | None:
    """Say why `path` is neither a file nor a folder, or None."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return "does not exist"
    regular = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return None if regular else "is neither a file nor a folder"


def _target_faults(row: dict[str, Any], config: Config) -> Iterator[str]:
    if config.task == "classification":
        if row.get("label") not in config.labels:
            yield f"label must be one of {', '.join(config.labels)}"
        return
    score, (low, high) = row.get("score"), config.score_range
    if isinstance(score, bool) or not isinstance(score, int | float):
        yield "score must be a number"
    elif not low <= score <= high:
        yield f"score {score} is outside of score_range, {low} to {high}"


def _sample(row: dict[str, Any], folder: Path, config: Config) -> Sample:
    video = row.get("video")
    classes = config.task == "classification"
    return Sample(
        id=row["id"],
        split=row["split"],
        text=row.get("text"),
        video=None if video is None else folder / video,
        target=config.labels.index(row["label"]) if classes else float(row["score"]),
    )
