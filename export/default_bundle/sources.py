"""Read the shared data sets into plain rows: one place knows their columns, splits and faults.

Scores are in [-1, 1] everywhere. `valid` is the name of every validation split. Nothing
here writes a picture: `grey_pictures` keeps its cache inside the caller's work folder.
"""

from __future__ import annotations

import csv
import gzip
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
NEGATIVE = {"sadness", "anger", "disgust", "fear", "contempt"}
SIDE = 112  # pixels of a face picture; emoji are brought to the same size
SMALLEST_FACE = 64  # smaller ones are film stills whose blur gives the class away
LABEL_SCORE = {"positive": 0.5, "neutral": 0.0, "negative": -0.5}  # GoEmotions has no strength


@dataclass(frozen=True)
class Text:
    """One sentence; `emotions` is empty where the set has none."""

    id: str
    domain: str
    split: str
    text: str
    score: float
    emotions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """One picture, `path` relative to the work folder; `emotion` is "" for emoji."""

    id: str
    split: str
    path: str
    score: float
    emotion: str = ""
    words: str = ""


def sign(score: float, dead: float = 0.125) -> int:
    """Return -1, 0 or 1; |score| <= 0.125 is |rating| <= 0.5, VADER's own neutral band."""
    return (score > dead) - (score < -dead)


def _rows(path: Path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def vader(data: Path) -> list[Text]:
    """Read the rated sentences of all four domains; rating -4..4 becomes -1..1."""
    return [
        Text(f"{r['domain']}{r['id']}", r["domain"], r["split"], r["text"], float(r["rating"]) / 4)
        for r in _rows(data / "vader" / "sentences.tsv.gz")
    ]


def goemotions(data: Path) -> list[Text]:
    """Read the comments with exactly one clear sentiment.

    A text that stands in several official splits is kept only in the latest of them. By
    construction, no train row is also an emoji pair of valid or test.
    """
    rank = {"train": 0, "valid": 1, "test": 2}
    best: dict[str, Text] = {}
    for r in _rows(data / "goemotions" / "comments.tsv.gz"):
        if r["sentiment"] not in LABEL_SCORE:
            continue
        split = "valid" if r["split"] == "dev" else r["split"]
        emotions = tuple(r["emotions"].split("|"))
        row = Text(r["id"], "reddit", split, r["text"], LABEL_SCORE[r["sentiment"]], emotions)
        earlier = best.get(row.text.lower())
        if earlier is None or rank[earlier.split] < rank[split]:
            best[row.text.lower()] = row
    return list(best.values())


def faces(data: Path) -> list[Picture]:
    """Read the faces with side >= 64: happiness +0.75, negative emotions -0.75, the rest 0."""
    pictures = []
    with (data / "faces" / "labels.csv").open(encoding="utf-8", newline="") as file:
        for r in csv.DictReader(file):
            if int(r["side"]) < SMALLEST_FACE:
                continue
            score = 0.75 * ((r["emotion"] == "happiness") - (r["emotion"] in NEGATIVE))
            pictures.append(Picture(r["file"], r["split"], r["file"], score, r["emotion"]))
    return pictures


def emoji(data: Path, folds: int = 5) -> list[Picture]:
    """Read the emoji with >= 5 rated uses; the split is `fold0`.. by position of the code."""
    pictures = []
    with (data / "emoji" / "emoji.csv").open(encoding="utf-8", newline="") as file:
        for r in csv.DictReader(file):
            if not r["score"] or int(r["occurrences"]) < 5:
                continue
            words = ", ".join([r["label"], *r["keywords"].split("|")])
            fold = f"fold{int(r['code'].split('-')[0], 16) % folds}"
            pictures.append(Picture(r["code"], fold, r["code"], float(r["score"]), words=words))
    return pictures


def emoji_pairs(data: Path) -> list[tuple[Text, str]]:
    """Read the comments that held an emoji, each with the code of that emoji."""
    with (data / "emoji" / "goemoji_pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    split = {"dev": "valid"}
    return [
        (
            Text(
                r["id"],
                "reddit",
                split.get(r["split"], r["split"]),
                r["text"],
                LABEL_SCORE[r["sentiment"]],
            ),
            r["code"],
        )
        for r in rows
    ]


def extract(data: Path, work: Path) -> None:
    """Unpack both archives into `work`/raw, once."""
    raw = work / "raw"
    if (raw / "extracted").exists():
        return
    raw.mkdir(parents=True, exist_ok=True)
    for archive in ("faces/faces.tar", "emoji/emoji_frames.tar"):
        with tarfile.open(data / archive) as tar:
            tar.extractall(raw, filter="data")
    (raw / "extracted").touch()


def _grey(path: Path) -> np.ndarray:
    picture = Image.open(path).convert("L")
    if picture.size != (SIDE, SIDE):
        picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def grey_pictures(data: Path, work: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return all faces (n, 112, 112) and all emoji (n, 8, 112, 112), uint8 grey, cached."""
    cache = work / "grey.npz"
    if not cache.exists():
        extract(data, work)
        raw = work / "raw"
        still = np.stack([_grey(raw / row.path) for row in faces(data)])
        moving = np.stack(
            [[_grey(raw / row.path / f"{i}.jpg") for i in range(8)] for row in emoji(data)]
        )
        part = cache.with_name("grey.part.npz")
        np.savez(part, faces=still, emoji=moving)
        part.rename(cache)
    with np.load(cache) as stored:
        return stored["faces"], stored["emoji"]
