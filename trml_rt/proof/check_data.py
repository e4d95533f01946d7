"""Check a data set before a long run: what it holds, and every row that could not be used."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trml_rt.backends.process import usable_cores
from trml_rt.bundle.arguments import LAYOUTS, check_one_of, names_of, path_of, refuse_unread
from trml_rt.bundle.folder import BundleLike, open_bundle
from trml_rt.errors import InputUnusable
from trml_rt.inputs.rows import Row, refuse_all
from trml_rt.inputs.video import read_frames
from trml_rt.progress import counted
from trml_rt.proof.rows import scan_data

__all__ = ["DataCheck", "DataProblem", "check_data"]

_log = logging.getLogger(__name__)

_FRAMES = 8  # what the models take unless they say otherwise


@dataclass(frozen=True)
class DataProblem:
    """What is wrong with a row; `line` is where it begins, or 0 in a layout without lines."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


@dataclass(frozen=True)
class DataCheck:
    """What a data set holds, and what is wrong with it.

    Attributes:
        data: its path.
        sha256: of the files that name the rows.
        splits: for each split, how many rows have `text`, `video` or `text_video`.
        scores: how many rows have a score, with the `least` and the `largest`; None without any.
        labels: how many rows have each label.
        extra: keys that nothing reads.
        decoded: how many clips were decoded whole; None where that was not asked for.
        repeated: rows of one split whose text and video stand in another one, too.
        problems: what must be corrected.
    """

    data: str
    sha256: str
    splits: dict[str, dict[str, int]]
    scores: dict[str, float] | None
    labels: dict[str, int]
    extra: list[str]
    decoded: int | None
    repeated: list[DataProblem]
    problems: list[DataProblem]

    @property
    def usable(self) -> bool:
        """Whether there is no problem; rows that are repeated are none."""
        return not self.problems

    def raise_if_unusable(self) -> None:
        """Raise UsageError with the number of problems and the first twenty, if there are any."""
        refuse_all(Path(self.data), [str(problem) for problem in self.problems])

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON-ready values, as `trml-rt check-data --json` prints them."""
        return {"usable": self.usable, **asdict(self)}


def check_data(
    data: str | os.PathLike[str],
    *,
    layout: str = "jsonl",
    bundle: BundleLike = None,
    config: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] | None = None,
    decode: bool = False,
) -> DataCheck:
    """Read a data set as training, calibration and verification do, and say what it holds.

    Args:
        data: the data set.
        layout: jsonl, mmsa or meld.
        bundle: a bundle whose task scores and labels must fit; None holds them to no task.
        config: instead, a training configuration, JSON or TOML. Every row must have a target then.
        overrides: keys of a training configuration, such as "task=classification", in its place or
            beside it.
        decode: decode the frames of every clip, as a model would take them.

    Raises:
        UsageError: the data set cannot be read, or an argument makes no sense.
        EnvironmentUnfit: a package is lacking, or the machine lacks memory.
    """
    check_one_of("layout", layout, LAYOUTS)
    path = path_of("data", data)
    settings = None if config is None else path_of("config", config)
    if bundle is not None:
        given = {"config": config, "overrides": overrides}
        refuse_unread([name for name, value in given.items() if value is not None], "with bundle")
    opened = None if bundle is None else open_bundle(bundle)
    keys = [] if overrides is None else names_of("overrides", overrides)
    task = None if opened is None else opened.manifest.task
    scan = scan_data(path, task, layout=layout, config=settings, overrides=keys)
    problems = [DataProblem(*problem) for problem in scan.problems]
    if not (scan.rows or problems):
        problems.append(DataProblem(0, "holds no row"))
    decoded = None
    if decode:
        frames = _FRAMES if opened is None else opened.manifest.video.frames
        by_clip = {row.video: row for row in reversed(scan.rows) if row.video is not None}
        undecodable = list(_undecodable(list(by_clip.values()), frames))
        decoded = len(by_clip) - len(undecodable)
        problems += undecodable
    return DataCheck(
        data=str(scan.path),
        sha256=scan.sha256,
        splits=_splits(scan.rows),
        scores=_scores([row.score for row in scan.rows if row.score is not None]),
        labels=dict(sorted(Counter(r.label for r in scan.rows if r.label is not None).items())),
        extra=sorted({key for row in scan.rows for key in row.extra}),
        decoded=decoded,
        repeated=list(_repeated(scan.rows)),
        problems=sorted(problems, key=lambda problem: problem.line),
    )


def _splits(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        of_split = counts.setdefault(row.split, {"text": 0, "video": 0, "text_video": 0})
        has = [name for name in ("text", "video") if getattr(row, name) is not None]
        if has:
            of_split["_".join(has)] += 1
    return counts


def _scores(scores: Sequence[float]) -> dict[str, float] | None:
    if not scores:
        return None
    return {"rows": len(scores), "least": min(scores), "largest": max(scores)}


def _repeated(rows: Iterable[Row]) -> Iterator[DataProblem]:
    """Yield each row whose text and video a row of another split has."""
    first: dict[tuple[str | None, Path | None], Row] = {}
    for row in rows:
        known = first.setdefault((row.text and row.text.strip(), row.video), row)
        if known.split != row.split:
            where = f"line {known.line}" if known.line else known.id
            yield DataProblem(row.line, f"{row.id} of {row.split} repeats {where} of {known.split}")


def _undecodable(rows: Sequence[Row], frames: int) -> Iterator[DataProblem]:
    """Yield each clip of `rows` whose frames cannot be read, or not all of them."""
    for row in counted(rows, len(rows), "decoding clips", _log):
        assert row.video is not None
        try:
            if read_frames(row.video, frames, threads=usable_cores()).incomplete:
                message = f"{row.video}: damaged or cut off; its readable frames would be used"
                yield DataProblem(row.line, message)
        except InputUnusable as error:
            yield DataProblem(row.line, str(error))
