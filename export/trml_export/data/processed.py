"""Convert MMSA's processed pickles to rows of JSON lines, without trusting them.

The pickles hold features of other encoders and no pictures, so what comes out has texts alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from trml_export.data.plain_pickle import load_plain
from trml_rt.bundle.atomic import write_bytes
from trml_rt.errors import ArtefactMismatch, UsageError, cannot_write
from trml_rt.inputs.rows import SPLITS

__all__ = ["convert", "convert_file"]


def convert(content: Any, where: str) -> tuple[list[dict[str, Any]], int]:
    """Return the rows of a processed data set, and how many were left out for a blank text.

    Args:
        content: by split (train, valid, test), a dict with `raw_text`, `id` and
            `regression_labels` of one length, and perhaps `annotations`.
        where: names the file in messages.

    Raises:
        ArtefactMismatch: `content` is something else.
    """
    rows: list[dict[str, Any]] = []
    blank = 0
    if not isinstance(content, dict) or not all(s in content for s in ("train", "valid")):
        raise ArtefactMismatch(f"{where}: has no splits train and valid")
    for split in SPLITS:
        if split in content:
            for row in _rows(content[split], split, f"{where}, {split}"):
                if row["text"].strip():
                    rows.append(row)
                else:
                    blank += 1
    return rows, blank


def _rows(part: Any, split: str, where: str) -> Iterator[dict[str, Any]]:
    names = ("id", "raw_text", "regression_labels")
    if not isinstance(part, dict) or any(name not in part for name in names):
        raise ArtefactMismatch(f"{where}: does not hold {', '.join(names)}")
    labels = ("annotations",) if part.get("annotations") is not None else ()
    try:
        columns = [_cells(part[name]) for name in (*names, *labels)]
    except ValueError as problem:
        raise ArtefactMismatch(f"{where}: a column is no list of values ({problem})") from None
    if len({len(column) for column in columns}) != 1:
        raise ArtefactMismatch(f"{where}: its columns differ in length")
    for number, (identity, text, score, *label) in enumerate(zip(*columns, strict=True)):
        place = f"{where}: sample {number}"
        row = {
            "id": _string(identity, f"{place}: its id"),
            "split": split,
            "text": _string(text, f"{place}: its raw_text"),
            "score": _number(score, f"{place}: its label"),
        }
        for name in label:
            row["label"] = _string(name, f"{place}: its annotation").lower()
        yield row


def _cells(column: Any) -> list[Any]:
    # As objects: of a list that mixes strings and numbers, numpy would make strings.
    array = np.array(column, object) if isinstance(column, list) else np.asarray(column)
    return list(array.ravel().tolist())


def _string(value: Any, what: str) -> str:
    if not isinstance(value, str | bytes):
        raise ArtefactMismatch(f"{what} is of the type {type(value).__name__} and no text")
    try:
        text = value.decode("utf-8") if isinstance(value, bytes) else value
        text.encode("utf-8")  # half of a surrogate pair cannot be written
    except (UnicodeDecodeError, UnicodeEncodeError) as problem:
        raise ArtefactMismatch(f"{what} is no text ({problem.reason})") from None
    return text


def _number(value: Any, what: str) -> float:
    if not isinstance(value, Real):
        raise ArtefactMismatch(f"{what} is of the type {type(value).__name__} and no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ArtefactMismatch(f"{what} is {number}, which is not finite")
    return number


def convert_file(source: Path, out: Path, *, force: bool = False) -> tuple[int, int]:
    """Convert one of MMSA's processed pickles to JSON lines, texts alone.

    Args:
        source: the pickle; nothing but arrays, strings and dicts is unpickled.
        out: the file to write, whole or not at all.
        force: replace an existing file.

    Returns:
        How many rows were written, and how many were left out for a blank text.

    Raises:
        UsageError: `out` exists already.
        ArtefactMismatch: `source` is no such pickle.
        EnvironmentUnfit: `out` cannot be written.
    """
    if out.exists() and not force:
        raise UsageError(f"{out}: exists already; name another file, or pass --force")
    rows, blank = convert(load_plain(source), str(source))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    try:
        write_bytes(out, lines.encode())
    except OSError as error:
        raise cannot_write(out, error, "name another file with --out") from None
    return len(rows), blank
