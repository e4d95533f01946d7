"""Read MELD as it is distributed.

    DIR/train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv
    DIR/train_splits/, dev_splits_complete/, output_repeated_splits_test/
        dia<Dialogue_ID>_utt<Utterance_ID>.mp4

A folder of clips may also lie one level down, as the archives leave it (`train/train_splits`).
Samples are called `train/dia0_utt3`, `valid/...`, `test/...`: the numbers start anew in each
split. Classes are the emotions or, where `labels` are those, the three sentiments.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trml_export.config import Config
from trml_export.data.samples import DataSet
from trml_export.data.tables import Clips, Collector, check_folder, class_number, read_table
from trml_rt.errors import UsageError

__all__ = ["DEFAULTS", "read_meld"]

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
"""In the order of MELD's own numbers."""

SENTIMENTS = ("neutral", "positive", "negative")

DEFAULTS = {
    "shortest_clip": 0.1,
    "longest_clip": 120.0,
    "task": "classification",
    "labels": list(EMOTIONS),
}
_COLUMNS = ("Utterance", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
_SPLITS = {
    "train": ("train_sent_emo.csv", "train_splits"),
    "valid": ("dev_sent_emo.csv", "dev_splits_complete"),
    "test": ("test_sent_emo.csv", "output_repeated_splits_test"),
}


def read_meld(path: Path, config: Config) -> DataSet:
    """Read the folder `path` for the task of `config`.

    Raises:
        UsageError: no such layout, labels that MELD does not have, or faults of the tables, up
            to twenty of them named.
    """
    column = _column(config)
    check_folder(path, _SPLITS["train"][0])
    collector = Collector(path)
    for split, (table, folder) in _SPLITS.items():
        rows, data = read_table(path / table, _COLUMNS)
        collector.table(data)
        clips = Clips.of(_folder(path, folder))
        names = {name: f"{split}/{name.removesuffix('.mp4')}" for name in clips.sizes}
        for row in rows:
            numbers = (row["Dialogue_ID"], row["Utterance_ID"])
            numbered = all(number.isascii() and number.isdigit() for number in numbers)
            if not numbered:
                collector.fault(
                    row, f"Dialogue_ID and Utterance_ID {numbers} must be whole numbers"
                )
            target = class_number(config, row[column].strip())
            if target is None:
                labels = ", ".join(config.labels)
                collector.fault(row, f"{column} {row[column]!r} is none of {labels}")
            elif numbered:
                dialogue, utterance = (number.lstrip("0") or "0" for number in numbers)
                name = f"dia{dialogue}_utt{utterance}"
                text = replace(row, cells={"text": row["Utterance"]})
                collector.sample(text, f"{split}/{name}", split, clips, f"{name}.mp4", target)
        collector.unnamed(clips, names)
    return collector.finish()


def _column(config: Config) -> str:
    if config.task != "classification":
        raise UsageError("MELD has classes and no scores; set task=classification")
    labels = {label.lower() for label in config.labels}
    for column, names in (("Emotion", EMOTIONS), ("Sentiment", SENTIMENTS)):
        if labels == set(names):
            return column
    raise UsageError(
        f"MELD has no labels {', '.join(config.labels)}; give the seven emotions "
        f"{', '.join(EMOTIONS)}, or {', '.join(SENTIMENTS)}"
    )


def _folder(path: Path, name: str) -> Path:
    places = [path / name, *sorted(path.glob(f"*/{name}"))]
    for place in places:
        if place.is_dir():
            return place
    raise UsageError(f"{path}: has no folder {name} with clips, neither here nor one level down")
