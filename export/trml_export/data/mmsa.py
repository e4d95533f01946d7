"""Read CMU-MOSI and CMU-MOSEI as MMSA distributes them.

    DIR/label.csv                       video_id, clip_id, text, label, annotation, mode, ...
    DIR/Raw/<video_id>/<clip_id>.mp4

Both ids are strings ("0001" is not "1"), and a sample is called `<video_id>$_$<clip_id>`, as in
MMSA's own pickles. Regression reads `label`, classification `annotation`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path

from trml_export.config import Config
from trml_export.data.samples import DataSet
from trml_export.data.tables import (
    Clips,
    Collector,
    TableRow,
    check_folder,
    class_number,
    read_table,
)
from trml_rt.errors import UsageError
from trml_rt.inputs.rows import SPLITS

__all__ = ["DEFAULTS", "read_mmsa"]

DEFAULTS = {"shortest_clip": 0.1, "longest_clip": 120.0}
_log = logging.getLogger(__name__)

_ENOUGH = 100  # samples, before their range says anything
_COLUMNS = ("video_id", "clip_id", "text", "label", "annotation", "mode")


def read_mmsa(path: Path, config: Config) -> DataSet:
    """Read the folder `path` for the task of `config`.

    Raises:
        UsageError: no such layout, or faults of the table, up to twenty of them named.
    """
    check_folder(path, "label.csv")
    raw = path / "Raw"
    if not raw.is_dir():
        raise UsageError(f"{path}: has no folder Raw with the clips; name the folder of label.csv")
    rows, data = read_table(path / "label.csv", _COLUMNS)
    clips = Clips.of(raw, depth=1)
    identities = {name: name.removesuffix(".mp4").replace("/", "$_$") for name in clips.sizes}
    collector = Collector(path / "label.csv")
    collector.table(data)
    for row in rows:
        faults = list(_faults(row))
        target = _target(row, config)
        if isinstance(target, str):
            faults.append(target)
        elif not faults:
            identity = f"{row['video_id']}$_${row['clip_id']}"
            name = f"{row['video_id']}/{row['clip_id']}.mp4"
            collector.sample(row, identity, row["mode"], clips, name, target)
        for fault in faults:
            collector.fault(row, fault)
    collector.unnamed(clips, identities)
    dataset = collector.finish()
    if config.task == "regression":
        _warn_of_another_range(path, dataset, config)
    return dataset


def _warn_of_another_range(path: Path, dataset: DataSet, config: Config) -> None:
    """Say where scores use a small part of the range, as those of CH-SIMS do of MOSI's."""
    largest = max((abs(sample.target) for sample in dataset.samples), default=0.0)
    if len(dataset.samples) >= _ENOUGH and largest <= 1 and config.score_range == (-3.0, 3.0):
        _log.warning(
            "%s: no score is beyond -1 to 1, as in CH-SIMS; pass --set 'score_range=[-1, 1]' and "
            "thresholds of your own. Acc-7, Acc-5 and Acc-3 are counted by MOSI's classes",
            path,
        )


def _faults(row: TableRow) -> Iterator[str]:
    """Yield what is wrong with the ids and the split of a row."""
    for column in ("video_id", "clip_id"):
        value = row[column]
        if not value or value in (".", "..") or {"/", "\\", "\0"} & set(value):
            yield f"{column} {value!r} is no name of a file"
    if row["mode"] not in SPLITS:
        yield f"mode {row['mode']!r} must be one of {', '.join(SPLITS)}"


def _target(row: TableRow, config: Config) -> float | int | str:
    """Return the score or the number of the class, or what is wrong."""
    if config.task == "classification":
        number = class_number(config, row["annotation"])
        if number is None:
            return f"annotation {row['annotation']!r} is none of {', '.join(config.labels)}"
        return number
    low, high = config.score_range
    try:
        score = float(row["label"])
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        return f"label {row['label']!r} is no number"
    if not low <= score <= high:
        return f"label {row['label']} is outside of score_range, {low:g} to {high:g}"
    return score
