"""Rows of a data set, in any layout that the training side reads, as inputs to compare on."""

from __future__ import annotations

import logging
from pathlib import Path

from trml_rt.bundle.folder import Bundle
from trml_rt.errors import UsageError
from trml_rt.inputs.rows import Row, Rows, read_rows
from trml_rt.proof.cases import Case, row_cases

__all__ = ["read_cases", "read_data"]

_log = logging.getLogger(__name__)


def read_data(data: Path, *, layout: str, split: str) -> Rows:
    """Return the rows of one split of a data set; those that cannot be used are logged."""
    if layout == "jsonl":
        return read_rows(data, split)
    from trml_export.config import load_config
    from trml_export.data import FORMATS, read_dataset

    config = load_config(defaults=FORMATS[layout].defaults)
    found = read_dataset(data, config, layout)
    for problem in found.problems:
        _log.info("left out: %s: %s", problem.id, problem.message)
    scored = config.task == "regression"
    rows = [
        Row(
            id=sample.id,
            split=split,
            text=sample.text,
            video=sample.video,
            score=float(sample.target) if scored else None,
            label=None if scored else config.labels[int(sample.target)],
        )
        for sample in found.samples
        if sample.split == split and (sample.text, sample.video) != (None, None)
    ]
    return Rows(tuple(rows), found.sha256, split)


def read_cases(bundle: Bundle, data: Path, *, layout: str, split: str, rows: int) -> list[Case]:
    """Return `rows` of each kind of `data` to verify on; those of no use are logged."""
    cases, unusable = row_cases(bundle, read_data(data, layout=layout, split=split), rows)
    for line in unusable:
        _log.info("left out: %s", line)
    if not cases:
        raise UsageError(f"{data}: no row of the split {split!r} can be used; name another --split")
    return cases
