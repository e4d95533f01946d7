"""Data sets: each layout has a reader of its own, and all of them give a `DataSet`."""

from trml_export.data.jsonl import read_dataset
from trml_export.data.samples import SPLITS, ClipLimits, DataSet, InputProblem, Sample

__all__ = ["SPLITS", "ClipLimits", "DataSet", "InputProblem", "Sample", "read_dataset"]
