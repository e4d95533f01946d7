"""Data sets: each layout has a reader of its own, and all of them give a `DataSet`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trml_export.config import Config
from trml_export.data.jsonl import read_jsonl
from trml_export.data.meld import DEFAULTS as MELD
from trml_export.data.meld import read_meld
from trml_export.data.mmsa import DEFAULTS as MMSA
from trml_export.data.mmsa import read_mmsa
from trml_export.data.samples import DataSet, InputProblem, Sample
from trml_rt.errors import UsageError
from trml_rt.inputs.rows import SPLITS

__all__ = ["FORMATS", "SPLITS", "DataSet", "Format", "InputProblem", "Sample", "read_dataset"]


@dataclass(frozen=True)
class Format:
    """A layout: its reader, and the configuration it brings for keys that nobody sets."""

    read: Callable[[Path, Config], DataSet]
    defaults: Mapping[str, Any] = field(default_factory=dict)


FORMATS = {
    "jsonl": Format(read_jsonl),
    "mmsa": Format(read_mmsa, MMSA),
    "meld": Format(read_meld, MELD),
}
"""The layouts by name."""


def read_dataset(path: Path, config: Config, format: str = "jsonl") -> DataSet:
    """Read and check the data set at `path`, which has the layout `format` of `FORMATS`.

    Raises:
        UsageError: no such layout, or what is there is not one.
    """
    if format not in FORMATS:
        raise UsageError(f"no layout {format}; choose of {', '.join(FORMATS)}")
    return FORMATS[format].read(path, config)
