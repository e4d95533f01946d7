"""Read real inputs for calibration and verification: one JSON object a line.

    {"id": "a1", "split": "valid", "text": "what a day", "video": "clips/a1.mp4", "score": 1.4}

The layout of `docs/training.md`: text or video may be missing, a video is a video file, a picture
or a folder of frame pictures, by a path relative to the file; `score` or `label` is optional here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.bundle.records import parse_json
from trml_rt.errors import ArtefactMismatch, InputUnusable, UsageError

__all__ = ["Row", "Rows", "evenly", "read_rows"]

_SHOWN = 20


@dataclass(frozen=True)
class Row:
    """One row; `score` and `label` are None where the file has none."""

    id: str
    split: str
    text: str | None
    video: Path | None
    score: float | None
    label: str | None

    def frames(self) -> Path | list[NDArray[np.uint8]]:
        """Return the video as the runtime takes it: a path, or the pictures of a folder.

        Raises:
            InputUnusable: the folder holds something else than pictures.
        """
        assert self.video is not None
        if not self.video.is_dir():
            return self.video
        from PIL import Image

        try:
            files = sorted(self.video.iterdir(), key=lambda path: (len(path.name), path.name))
            return [np.asarray(Image.open(path).convert("RGB")) for path in files]
        except (OSError, ValueError) as error:
            raise InputUnusable(
                f"{self.video}: not a folder of pictures: {error}", reason="undecodable"
            ) from None


@dataclass(frozen=True)
class Rows:
    """The rows of one split, in file order, and the hash of the whole file."""

    rows: tuple[Row, ...]
    sha256: str
    split: str

    def apart(self, every: int) -> tuple[Rows, Rows]:
        """Return the rows without every `every`-th, and those."""
        kept = tuple(row for number, row in enumerate(self.rows) if number % every)
        return replace(self, rows=kept), replace(self, rows=self.rows[::every])


def read_rows(path: Path, split: str) -> Rows:
    """Read the rows of `split` from `path`.

    Raises:
        UsageError: the file cannot be read, or a line is wrong; the first twenty are listed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    rows, problems = [], []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            content = parse_json(line, f"line {number}")
        except ArtefactMismatch as problem:
            problems.append(str(problem))
            continue
        if fault := _fault(content):
            problems.append(f"line {number}: {fault}")
        elif content.get("split") == split:
            rows.append(_row(content, path.parent))
    if problems:
        shown = "\n".join(f"  {problem}" for problem in problems[:_SHOWN])
        raise UsageError(f"{path}: {len(problems)} lines are wrong\n{shown}")
    return Rows(tuple(rows), hashlib.sha256(data).hexdigest(), split)


def evenly(rows: Sequence[Row], count: int) -> list[Row]:
    """Return `count` of `rows`, evenly spread over them, or all when there are fewer."""
    if len(rows) <= count:
        return list(rows)
    return [rows[number * len(rows) // count] for number in range(count)]


def _fault(content: dict[str, Any]) -> str | None:
    if not isinstance(content.get("id"), str):
        return "id must be a string"
    given = [content.get("text"), content.get("video")]
    if given == [None, None] or not all(g is None or (isinstance(g, str) and g) for g in given):
        return "text or video must be there, and be a string that is not empty"
    score, label = content.get("score"), content.get("label")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        return "score must be a number"
    if label is not None and not isinstance(label, str):
        return "label must be a string"
    return None


def _row(content: dict[str, Any], folder: Path) -> Row:
    video, score = content.get("video"), content.get("score")
    return Row(
        id=content["id"],
        split=content["split"],
        text=content.get("text"),
        video=None if video is None else folder / video,
        score=None if score is None else float(score),
        label=content.get("label"),
    )
