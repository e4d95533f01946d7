"""Data sets: each layout has a reader of its own, and all of them give a `DataSet`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trml_export.config import Config, parse_config
from trml_export.data.jsonl import read_jsonl
from trml_export.data.meld import DEFAULTS as MELD
from trml_export.data.meld import read_meld
from trml_export.data.mmsa import DEFAULTS as MMSA
from trml_export.data.mmsa import read_mmsa
from trml_export.data.samples import DataSet, InputProblem, Sample
from trml_rt.bundle.manifest import Task
from trml_rt.errors import UsageError
from trml_rt.inputs.rows import SPLITS, refuse_all

__all__ = [
    "FORMATS",
    "SPLITS",
    "DataSet",
    "Format",
    "InputProblem",
    "Sample",
    "config_for",
    "read_dataset",
]


@dataclass(frozen=True)
class Format:
    """A layout: its reader, what it brings for keys that nobody sets, and the tasks it serves."""

    read: Callable[[Path, Config], DataSet]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] = ("regression", "classification")


FORMATS = {
    "jsonl": Format(read_jsonl),
    "mmsa": Format(read_mmsa, MMSA),
    "meld": Format(read_meld, MELD, tasks=("classification",)),
}
"""The layouts by name."""


def read_dataset(
    path: Path, config: Config, format: str = "jsonl", *, needed: Sequence[str] = ("train", "valid")
) -> DataSet:
    """Read and check the data set at `path`, which has the layout `format` of `FORMATS`.

    Args:
        path: the data set.
        config: the task that its targets must fit.
        format: the layout.
        needed: the splits that must have a sample; the default are those of a training.

    Raises:
        UsageError: no such layout, what is there is not one, or a split has no sample.
    """
    dataset = _format(format).read(path, config)
    splits = {sample.split for sample in dataset.samples}
    absent = [split for split in needed if split not in splits]
    refuse_all(path, [f"no sample has the split {split!r}" for split in absent])
    return dataset


def config_for(task: Task, format: str) -> Config:
    """Return the configuration with which a data set is read for a bundle.

    What a target may be, the bundle's task says. How long a clip may be, the layout says.

    Raises:
        UsageError: no such layout, or a task that no configuration can state.
    """
    limits = {k: v for k, v in _format(format).defaults.items() if k.endswith("_clip")}
    values: dict[str, Any] = {**limits, "task": task.kind, "labels": task.labels}
    if task.kind == "regression":
        values |= {"score_range": task.range, "thresholds": task.thresholds}
    return parse_config(values, where="the bundle's task")


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise UsageError(f"no layout {name!r}; choose {', '.join(FORMATS)}")
    return FORMATS[name]
