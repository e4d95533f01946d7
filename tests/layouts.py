"""Make small copies of the layouts in which data sets are distributed, known faults included.

The clips are real files, some of them broken in the ways that the real sets are. What each
fault is to be reported as stands in `MMSA_PROBLEMS` and `MELD_PROBLEMS`, by sample.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests import media

_TINY = [np.full((16, 16, 3), level, np.uint8) for level in (20, 120, 220)]

MMSA_PROBLEMS = {
    "-3g5yACwYnA$_$0010": "absent",
    "-3g5yACwYnA$_$2": "undecodable",
    "03bSnISJMiM$_$1": "empty",
    "03bSnISJMiM$_$2": "too_long",
    "03bSnISJMiM$_$3": "too_short",
    "03bSnISJMiM$_$4": "empty_text",
    "03bSnISJMiM$_$9": "no_row",
    "03bSnISJMiM$_$11": "absent",
}
"""A sample is once more a problem, "nothing_left", where both its text and its clip are gone."""

MELD_PROBLEMS = {
    "train/dia125_utt3": "undecodable",
    "valid/dia110_utt7": "absent",
    "test/dia38_utt4": "too_long",
    "test/dia0_utt1": "too_short",
    "train/dia0_utt1": "empty",
    "test/final_videos_testdia0_utt0": "no_row",
}


def _clip(path: Path, *, rate: int = 10, pts: Sequence[int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    media.write_video(path, _TINY, rate=rate, pts=pts)


def _broken(path: Path, kind: str) -> None:
    """Make a clip with one fault; an absent one is not made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "undecodable":
        path.write_bytes(b"not a clip" * 50)
    elif kind == "empty":
        path.touch()
    elif kind == "too_long":
        _clip(path, rate=1, pts=[0, 100, 304])
    elif kind == "too_short":
        _clip(path, rate=60)  # three frames last 0.05 s
    elif kind in ("no_row", "empty_text"):
        _clip(path)


def make_mmsa(folder: Path) -> Path:
    """Make CMU-MOSI in small: label.csv and Raw; return `folder`."""
    head = ["video_id", "clip_id", "text", "label", "label_T", "label_A", "label_V"]
    head += ["annotation", "mode"]
    rows = [
        ["-3g5yACwYnA", "1", 'SHE SAID, "SO GOOD"', "2.4", "", "", "", "Positive", "train"],
        ["-3g5yACwYnA", "0001", "not\r\nso much", "-0.4", "", "", "", "Negative", "train"],
        ["-3g5yACwYnA", "0010", "a clip is gone", "1", "", "", "", "Positive", "train"],
        ["-3g5yACwYnA", "2", "a clip is broken", "-1.8", "", "", "", "Negative", "train"],
        ["03bSnISJMiM", "1", "a clip is empty", "0.0", "", "", "", "Neutral", "valid"],
        ["03bSnISJMiM", "2", "a clip is long", "-3.0", "", "", "", "Negative", "valid"],
        ["03bSnISJMiM", "3", "a clip is short", "3.0", "", "", "", "Positive", "test"],
        ["03bSnISJMiM", "4", "  ", "0.2", "", "", "", "Positive", "test"],
        ["03bSnISJMiM", "11", "", "0.2", "", "", "", "Positive", "test"],
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "label.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])  # ends lines with CR LF
    for video, clip, *_ in rows[:2]:
        _clip(folder / "Raw" / video / f"{clip}.mp4")
    for identity, kind in MMSA_PROBLEMS.items():
        video, clip = identity.split("$_$")
        _broken(folder / "Raw" / video / f"{clip}.mp4", kind)
    return folder


def make_meld(folder: Path, *, as_archives: bool = False) -> Path:
    """Make MELD in small; `as_archives` leaves the clips one level down. Return `folder`."""
    head = ["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID"]
    head += ["Utterance_ID", "Season", "Episode", "StartTime", "EndTime"]
    tables = {
        "train": [
            ("Oh, my \u2019God\u2019!", "surprise", "positive", 0, 0),
            ("also I was the point person\nhere", "neutral", "neutral", 0, 1),
            ("You must\u2019ve had your hands full.", "anger", "negative", 125, 3),
        ],
        "valid": [("Oh.", "sadness", "negative", 0, 0), ("Right.", "joy", "positive", 110, 7)],
        "test": [
            ("Why do all your coffee mugs have numbers?", "fear", "negative", 0, 0),
            ("Oh. That is so Monica.", "disgust", "negative", 0, 1),
            ("Y\u2019know what?", "neutral", "neutral", 38, 4),
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    names = {
        "train": ("train_sent_emo.csv", "train_splits"),
        "valid": ("dev_sent_emo.csv", "dev_splits_complete"),
        "test": ("test_sent_emo.csv", "output_repeated_splits_test"),
    }
    for split, rows in tables.items():
        table, clips = names[split]
        with (folder / table).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            for number, (text, emotion, sentiment, dialogue, utterance) in enumerate(rows, 1):
                numbers = [dialogue, utterance, 1, 1, "0:00:01,000", "0:00:02,500"]
                writer.writerow([number, text, "Joey", emotion, sentiment, *numbers])
        place = folder / split / clips if as_archives else folder / clips
        place.mkdir(parents=True)
        for *_, dialogue, utterance in rows:
            name = f"dia{dialogue}_utt{utterance}"
            kind = MELD_PROBLEMS.get(f"{split}/{name}")
            if kind is None:
                _clip(place / f"{name}.mp4")
            else:
                _broken(place / f"{name}.mp4", kind)
        if split == "test":
            _broken(place / "final_videos_testdia0_utt0.mp4", "no_row")
            (place / "._dia0_utt0.mp4").write_bytes(b"what macOS leaves")
    return folder
