"""Rows of JSON lines as samples of training: what only the configuration can tell is checked here.

`trml_rt.inputs.rows` says what a row is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trml_export.config import Config
from trml_export.data.samples import DataSet, Sample
from trml_rt.inputs.rows import Row, read_rows

__all__ = ["read_jsonl", "target_faults"]


def read_jsonl(path: Path, config: Config) -> DataSet:
    """Read and check the file `path`, or the file of rows in the folder `path`.

    Raises:
        UsageError: the file cannot be read, or anything in it is wrong; the message counts
            the problems and lists the first twenty.
    """
    table = read_rows(path, lambda row: target_faults(row, config))
    return DataSet(tuple(_sample(row, config) for row in table.rows), table.sha256)


def target_faults(row: Row, config: Config) -> Iterator[str]:
    """Yield what is wrong with the target of a row; training wants one in each."""
    if config.task == "classification":
        if row.label not in config.labels:
            found = "" if row.label is None else f", not {row.label!r}"
            yield (
                f"label must be one of {', '.join(config.labels)}{found}; name others with "
                "--set 'labels=[...]'"
            )
        return
    low, high = config.score_range
    if row.score is None:
        labelled = "; for a model of labels pass --set task=classification"
        yield f"score must be a number{labelled if row.label is not None else ''}"
    elif not low <= row.score <= high:
        yield f"score {row.score!r} is outside of score_range, {low} to {high}"


def _sample(row: Row, config: Config) -> Sample:
    target: float | int
    if config.task == "classification":
        assert row.label is not None
        target = config.labels.index(row.label)
    else:
        assert row.score is not None
        target = row.score
    return Sample(row.id, row.split, row.text, row.video, target)
