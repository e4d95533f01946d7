"""Name the samples to evaluate on: one split of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trml_export.config import Config
from trml_export.data import SPLITS, DataSet, Sample, read_dataset
from trml_rt.errors import UsageError

__all__ = ["DataSplit"]


@dataclass(frozen=True)
class DataSplit:
    """The split `name` of the data set at `path`; `layout` is a name of `data.FORMATS`."""

    path: Path
    layout: str = "jsonl"
    name: str = "test"

    def read(self, config: Config, *, to_train: bool = False) -> DataSet:
        """Read the data set for the task of `config`; UsageError if the split has no sample.

        With `to_train` the splits train and valid must have samples, too.
        """
        needed = ("train", "valid") if to_train else ()
        dataset = read_dataset(self.path, config, self.layout, needed=needed)
        if not self.samples_of(dataset):
            raise UsageError(
                f"{self.path}: no sample has the split {self.name!r}; choose {', '.join(SPLITS)}"
            )
        return dataset

    def samples_of(self, dataset: DataSet) -> list[Sample]:
        """Return the samples of this split."""
        return [sample for sample in dataset.samples if sample.split == self.name]
