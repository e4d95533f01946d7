"""Write the rows that train and test the default bundle's TRML heads, as one JSONL file.

    python datasets.py --data DATA --out OUT [--image-size 128] [--seed 7]

There is one object a line: `id`, `split` (train, valid, test), `score` in [-1, 1], and `text`,
`video` or both. `video` is relative to OUT: a picture, or a folder of numbered frames. The first
part of an id names its kind: vader, goemotions, face, frame, clip, pair, emoji, emojipair.

A `frame` is a face in a larger, camera-like picture; a `clip` is eight of them. A `pair` is
constructed: a sentence and a face of the same class, independent given the class. Its score is the
mean of the two. Persons and sentences stay in their split. Nothing is written in the repository.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sources
import torch
from augment import frames
from PIL import Image

from trml_rt.progress import counted

_log = logging.getLogger(__name__)

CLASSES = (-1, 0, 1)
SPLITS = ("train", "valid", "test")
FRAMES_A_CLASS = {"train": 1200, "valid": 150, "test": 150}
CLIPS_A_CLASS = {"train": 300, "valid": 40, "test": 40}
PAIRS_A_CLASS = {"train": 2000, "valid": 300, "test": 300}
COMMENTS_A_CLASS = {"train": 3000, "valid": 300, "test": 300}
REPOSITORY = Path(__file__).resolve().parents[2]
_AT_ONCE = 256  # pictures made together; another number would draw other random numbers


@dataclass
class Stock:
    """What rows are drawn from; `pictures` collects those to make, (path, index of the face)."""

    data: Path
    draw: np.random.Generator
    faces: list[sources.Picture]
    pictures: list[tuple[str, int]]

    def of(self, split: str, kind: int) -> np.ndarray:
        """Return the indices of faces of one split and class; surprise belongs to none."""
        return np.array(
            [
                i
                for i, face in enumerate(self.faces)
                if face.split == split
                and sources.sign(face.score) == kind
                and face.emotion != "surprise"
            ]
        )

    def frame(self, name: str, face: int) -> str:
        """Order a camera-like picture of one face; return its path."""
        path = f"made/{name}.jpg"
        self.pictures.append((path, face))
        return path


def text_rows(stock: Stock) -> list[dict]:
    """Return every VADER row, and GoEmotions comments balanced over three classes."""
    rows = [
        {"id": f"vader/{t.domain}/{t.id}", "split": t.split, "text": t.text, "score": t.score}
        for t in sources.vader(stock.data)
    ]
    comments = sources.goemotions(stock.data)
    for split in SPLITS:
        for kind in CLASSES:
            pool = [t for t in comments if t.split == split and sources.sign(t.score) == kind]
            for i in stock.draw.choice(len(pool), COMMENTS_A_CLASS[split], replace=False):
                t = pool[i]
                rows.append(
                    {"id": f"goemotions/{t.id}", "split": split, "text": t.text, "score": t.score}
                )
    return rows


def picture_rows(stock: Stock) -> list[dict]:
    """Return the tight faces, the camera-like frames and the constructed clips."""
    rows = []
    for face in stock.faces:
        # Training sees each class about alike: neutral and happy are thinned to a quarter.
        common = face.split == "train" and face.emotion in ("neutral", "happiness")
        if common and stock.draw.random() > 0.25:
            continue
        rows.append(
            _video(f"face/{face.emotion}/{face.path}", face.split, f"raw/{face.path}", face.score)
        )
    for split in SPLITS:
        for kind in CLASSES:
            candidates = stock.of(split, kind)
            for n in range(FRAMES_A_CLASS[split]):
                i = int(stock.draw.choice(candidates))
                name = f"frame/{split}{kind:+d}_{n}"
                rows.append(_video(name, split, stock.frame(name, i), stock.faces[i].score))
            for n in range(CLIPS_A_CLASS[split]):
                name = f"clip/{split}{kind:+d}_{n}"
                # Odd clips show one picture eight times, even ones eight pictures of the class.
                some = stock.draw.choice(candidates, 8, replace=True)
                shown = [int(some[0])] * 8 if n % 2 else some.tolist()
                for k, i in enumerate(shown):
                    stock.frame(f"{name}/{k}", i)
                rows.append(_video(name, split, f"made/{name}", stock.faces[shown[0]].score))
    return rows


def pair_rows(stock: Stock) -> list[dict]:
    """Return constructed pairs, as many of each class; half the faces are camera-like frames."""
    texts = [*sources.vader(stock.data), *sources.goemotions(stock.data)]
    rows = []
    for split in SPLITS:
        for kind in CLASSES:
            pools = [
                [
                    t
                    for t in texts
                    if t.split == split
                    and sources.sign(t.score) == kind
                    and (t.domain == "reddit") == reddit
                ]
                for reddit in (False, True)
            ]
            candidates = stock.of(split, kind)
            for n in range(PAIRS_A_CLASS[split]):
                pool = pools[n % 2]
                t = pool[int(stock.draw.integers(len(pool)))]
                i = int(stock.draw.choice(candidates))
                face, name = stock.faces[i], f"pair/{split}{kind:+d}_{n}"
                video = stock.frame(name, i) if n % 4 < 2 else f"raw/{face.path}"
                row = _video(name, split, video, (t.score + face.score) / 2)
                rows.append({**row, "text": t.text})
    return rows


def emoji_rows(stock: Stock) -> list[dict]:
    """Return each emoji alone (one fold in five is valid), and comments with their emoji."""
    rows = []
    for e in sources.emoji(stock.data):
        split = "valid" if e.split == "fold4" else "train"
        rows.append(_video(f"emoji/{e.id}", split, f"raw/{e.path}", e.score))
    for t, code in sources.emoji_pairs(stock.data):
        row = _video(f"emojipair/{t.id}", t.split, f"raw/{code}", t.score)
        rows.append({**row, "text": t.text})
    return rows


def separate(rows: list[dict]) -> list[dict]:
    """Drop a row whose text also stands in a later split, compared in lower case."""
    latest: dict[str, int] = {}
    for row in rows:
        if text := row.get("text", "").lower():
            latest[text] = max(latest.get(text, 0), SPLITS.index(row["split"]))
    return [r for r in rows if latest.get(r.get("text", "").lower(), 0) <= SPLITS.index(r["split"])]


def _video(name: str, split: str, path: str, score: float) -> dict:
    return {"id": name, "split": split, "video": path, "score": score}


def write_pictures(stock: Stock, out: Path, size: int, seed: int) -> None:
    """Make the ordered pictures, grey, `size` pixels square, JPEG quality 92."""
    still, _ = sources.grey_pictures(stock.data, out)
    generator = torch.Generator().manual_seed(seed)
    starts = range(0, len(stock.pictures), _AT_ONCE)
    for start in counted(starts, len(starts), f"batches of {_AT_ONCE} pictures", _log):
        part = stock.pictures[start : start + _AT_ONCE]
        pictures = torch.from_numpy(still[[i for _, i in part]])[:, None].float() / 255
        pixels = (frames(pictures, size, generator)[:, 0] * 255).round().byte().numpy()
        for (path, _), grey in zip(part, pixels, strict=True):
            target = out / path
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(grey).convert("RGB").save(target, quality=92)


def main() -> None:
    """Write OUT/data.jsonl and the pictures it names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the shared data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder outside the repository")
    parser.add_argument("--image-size", type=int, default=128, help="made pictures, pixels")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    out = args.out.resolve()
    if out == REPOSITORY or REPOSITORY in out.parents:
        parser.error(f"{out} lies in the repository; the pictures must never be committed")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(2)
    sources.extract(args.data, out)
    stock = Stock(args.data, np.random.default_rng(args.seed), sources.faces(args.data), [])
    rows = [*text_rows(stock), *picture_rows(stock), *pair_rows(stock), *emoji_rows(stock)]
    rows = separate(rows)
    write_pictures(stock, out, args.image_size, args.seed)
    part = out / "data.jsonl.part"
    with part.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    part.rename(out / "data.jsonl")
    counts: dict[str, int] = {}
    for row in rows:
        key = f"{row['id'].split('/')[0]} {row['split']}"
        counts[key] = counts.get(key, 0) + 1
    print(json.dumps(counts, indent=2))


if __name__ == "__main__":
    main()
