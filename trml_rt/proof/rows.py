"""Rows of a data set, in any layout that the training side reads, as inputs to compare on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import Task
from trml_rt.errors import UsageError, lacks_package
from trml_rt.inputs.rows import Row, Rows, read_rows
from trml_rt.proof.cases import row_cases
from trml_rt.proof.compare import Case

__all__ = ["read_cases", "read_data"]

_log = logging.getLogger(__name__)


def read_data(data: Path, task: Task, *, layout: str, split: str) -> Rows:
    """Return the rows of one split of a data set; inputs that are missing are logged.

    Args:
        data: the data set.
        task: what scores and labels must fit. A layout without targets of its kind gives none.
        layout: jsonl, mmsa or meld.
        split: train, valid or test.

    Raises:
        UsageError: the data set cannot be read, or something in it is wrong.
        EnvironmentUnfit: a package is lacking.
    """
    if layout == "jsonl":
        return read_rows(data, lambda row: _target_faults(row, task)).of_split(split)
    try:
        from trml_export.config import load_config
        from trml_export.data import FORMATS, config_for, read_dataset
    except ImportError as error:
        raise lacks_package(f"reading the layout {layout}", error, "train") from None

    config = config_for(task, layout)
    has_targets = task.kind in FORMATS[layout].tasks
    if not has_targets:  # its inputs are of use all the same
        config = load_config(defaults=FORMATS[layout].defaults)
    dataset = read_dataset(data, config, layout)
    for problem in dataset.problems:
        _log.info("left out: %s: %s", problem.id, problem.message)
    scored = has_targets and task.kind == "regression"
    labelled = has_targets and task.kind == "classification"
    rows = [
        Row(
            id=sample.id,
            split=split,
            text=sample.text,
            video=sample.video,
            score=float(sample.target) if scored else None,
            label=task.labels[int(sample.target)] if labelled else None,
        )
        for sample in dataset.samples
        if sample.split == split and (sample.text, sample.video) != (None, None)
    ]
    return Rows(tuple(rows), dataset.sha256)


def read_cases(bundle: Bundle, data: Path, *, layout: str, split: str, rows: int) -> list[Case]:
    """Return `rows` of each kind of `data` to compare on; those of no use are logged.

    Raises:
        UsageError: as in `read_data`, or no row can be used.
        EnvironmentUnfit: as in `read_data`.
    """
    table = read_data(data, bundle.manifest.task, layout=layout, split=split)
    cases, unusable = row_cases(bundle, table, rows)
    for line in unusable:
        _log.info("left out: %s", line)
    if not cases:
        raise UsageError(f"{data}: no row of the split {split!r} can be used; name another --split")
    return cases


def _target_faults(row: Row, task: Task) -> Iterator[str]:
    """Yield what is wrong with the score or the label of a row; it need have neither."""
    if task.kind == "classification":
        if row.label is not None and row.label not in task.labels:
            yield f"label must be one of {', '.join(task.labels)}"
    elif row.score is not None and task.range is not None:
        low, high = task.range
        if not low <= row.score <= high:
            yield f"score {row.score:g} is outside of the bundle's range, {low:g} to {high:g}"
