"""Rows of a data set, in any layout that the training side reads, as inputs to compare on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from trml_rt.bundle.arguments import LAYOUTS, check_one_of
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import Task
from trml_rt.errors import UsageError, lacks_package
from trml_rt.inputs.rows import Row, Rows, Scan, read_rows, scan_rows
from trml_rt.proof.cases import row_cases
from trml_rt.proof.compare import Case

__all__ = ["read_cases", "read_data", "scan_data"]

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
        rows = read_rows(data, lambda row: _target_faults(row, task)).of_split(split)
        if task.kind == "regression" and any(row.label is not None for row in rows.rows):
            _log.warning("labels of rows are not used: this bundle gives scores")
        if task.kind == "classification" and any(row.score is not None for row in rows.rows):
            _log.warning("scores of rows are not used: this bundle gives labels")
        return rows
    scan = _scan_layout(data, task, layout)
    for _, problem in scan.problems:
        _log.info("left out: %s", problem)
    of_split = [
        row for row in scan.rows if row.split == split and (row.text, row.video) != (None, None)
    ]
    return Rows(tuple(of_split), scan.sha256)


def scan_data(
    data: Path,
    task: Task | None,
    *,
    layout: str,
    config: Path | None = None,
    overrides: Sequence[str] = (),
) -> Scan:
    """Return all rows of a data set, and what is wrong with it; see `read_data`.

    Args:
        data: the data set.
        task: what scores and labels must fit; None leaves that to `config` and `overrides`.
        layout: jsonl, mmsa or meld.
        config: a training configuration, JSON or TOML, which wants a target in every row.
        overrides: keys of it.

    Raises:
        UsageError: the data set cannot be read, or a table of mmsa or meld is wrong.
        EnvironmentUnfit: a package is lacking.
    """
    if layout != "jsonl":
        return _scan_layout(data, task, layout, config, overrides)
    if task is not None:
        return scan_rows(data, lambda row: _target_faults(row, task))
    if config is None and not overrides:
        return scan_rows(data)
    try:
        from trml_export.config import load_config
        from trml_export.data.jsonl import target_faults
    except ImportError as error:
        raise lacks_package("checking the targets of a training", error, "train") from None

    settings = load_config(config, overrides=overrides)
    return scan_rows(data, lambda row: target_faults(row, settings))


def _scan_layout(
    data: Path,
    task: Task | None,
    layout: str,
    config: Path | None = None,
    overrides: Sequence[str] = (),
) -> Scan:
    """Return what the training side reads of a layout of its own."""
    try:
        from trml_export.config import load_config
        from trml_export.data import FORMATS, config_for, read_dataset
    except ImportError as error:
        raise lacks_package(f"reading the layout {layout}", error, "train") from None

    check_one_of("layout", layout, LAYOUTS)
    has_targets = task is None or task.kind in FORMATS[layout].tasks
    if task is None or not has_targets:  # its inputs are of use all the same
        settings = load_config(config, overrides=overrides, defaults=FORMATS[layout].defaults)
    else:
        settings = config_for(task, layout)
    dataset = read_dataset(data, settings, layout, needed=())
    scored = has_targets and settings.task == "regression"
    labelled = has_targets and settings.task == "classification"
    rows = [
        Row(
            id=sample.id,
            split=sample.split,
            text=sample.text,
            video=sample.video,
            score=float(sample.target) if scored else None,
            label=settings.labels[int(sample.target)] if labelled else None,
        )
        for sample in dataset.samples
    ]
    problems = [(0, f"{problem.id}: {problem.message}") for problem in dataset.problems]
    return Scan(data, tuple(rows), tuple(problems), dataset.sha256)


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
            yield f"label must be one of {', '.join(task.labels)}, not {row.label!r}"
    elif row.score is not None and task.range is not None:
        low, high = task.range
        if not low <= row.score <= high:
            yield f"score {row.score!r} is outside of the bundle's range, {low:g} to {high:g}"
