"""Make a small data set of our own: drawn faces and sentences from templates, all from a seed.

It shows the layout of rows, and lets every command of the training side run. The score of a row
bends the mouth of its face and picks its words. What a model learns from it says nothing of people.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from trml_rt.bundle.atomic import check_target, staged_folder, write_bytes
from trml_rt.errors import cannot_write

__all__ = ["ROWS", "make_sample_data"]

ROWS = 240
_SEED = 0
_SIZE = 96  # pixels a side
_DRAWN_AT = 4  # times larger, so that lines become smooth
_BLOCK = ("train", "train", "train", "train", "valid", "test")
# One block of rows has one kind, so every split has every kind.
_KINDS = (("text", "video"), ("text", "video"), ("text",), ("video",))
_SUBJECTS = ("The film", "This day", "My new bicycle", "The soup", "Our walk", "The concert")
_WORDS = {
    2: ("is wonderful, I love it", "makes me so happy", "is the best of the year"),
    1: ("is nice", "is quite good", "is fun to have"),
    0: ("is there", "is what it is", "was at noon"),
    -1: ("is a little dull", "is not so good", "is a bit sad"),
    -2: ("is awful, I hate it", "makes me so angry", "is the worst of the year"),
}
_ENDS = (".", "!", ", I said.", ", and that is all.")
_README = f"""# A made data set

`trml-rt sample-data` made these {ROWS} rows. The faces are drawn, the sentences are templates,
and the scores were drawn before both. A model that learns them knows nothing of people.
"""


def make_sample_data(folder: Path, *, force: bool = False) -> Path:
    """Write `data.jsonl`, its pictures and a README to `folder`; return the path of the rows.

    Args:
        folder: to make, whole or not at all.
        force: replace a folder that has a `data.jsonl`.

    Raises:
        UsageError: `folder` exists and may not be replaced.
        EnvironmentUnfit: it cannot be written.
    """
    check_target(folder, marker="data.jsonl", what="data set", replace=force)
    try:
        with staged_folder(folder, replace=force) as staging:
            (staging / "faces").mkdir()
            make, used = random.Random(_SEED), set[str]()
            lines = [json.dumps(_row(number, make, used, staging)) for number in range(ROWS)]
            write_bytes(staging / "data.jsonl", ("\n".join(lines) + "\n").encode())
            write_bytes(staging / "README.md", _README.encode())
    except OSError as error:
        raise cannot_write(folder, error, "name another folder") from None
    return folder / "data.jsonl"


def _row(number: int, make: random.Random, used: set[str], folder: Path) -> dict[str, Any]:
    """Return one row; its picture, if it has one, is in the folder then."""
    level = make.choice(tuple(_WORDS))
    score = round(min(2.5, max(-2.5, level + make.uniform(-0.4, 0.4))), 2)
    kinds = _KINDS[number // len(_BLOCK) % len(_KINDS)]
    row: dict[str, Any] = {"id": f"made-{number:03}", "split": _BLOCK[number % len(_BLOCK)]}
    if "text" in kinds:
        row["text"] = _text(level, make, used)
    if "video" in kinds:
        row["video"] = f"faces/{number:03}.png"
        _face(score / 2.5, make).save(folder / row["video"])
    label = "negative" if score < -0.5 else "positive" if score >= 0.5 else "neutral"
    return row | {"score": score, "label": label}


def _text(level: int, make: random.Random, used: set[str]) -> str:
    """Return a text that no row has yet: no split shares one with another."""
    while True:
        text = f"{make.choice(_SUBJECTS)} {make.choice(_WORDS[level])}{make.choice(_ENDS)}"
        if text not in used:
            used.add(text)
            return text


def _face(joy: float, make: random.Random) -> Image.Image:
    """Draw a face whose mouth goes from sad, at a `joy` of -1, to glad, at 1."""
    size = _SIZE * _DRAWN_AT
    ground = tuple(make.randint(60, 230) for _ in "rgb")
    picture = Image.new("RGB", (size, size), ground)
    pen = ImageDraw.Draw(picture)
    middle, radius = size / 2 + make.uniform(-0.05, 0.05) * size, size * make.uniform(0.34, 0.44)
    skin = (make.randint(200, 255), make.randint(160, 220), make.randint(60, 140))
    pen.ellipse(_box(middle, middle, radius, radius), fill=skin, outline="black", width=8)
    for side in (-1, 1):
        eye = middle + side * 0.38 * radius
        pen.ellipse(_box(eye, middle - 0.25 * radius, 0.1 * radius, 0.14 * radius), fill="black")
    bend, wide = joy * 0.35 * radius, 0.5 * radius
    mouth = [
        (middle + wide * at / 8, middle + 0.4 * radius + bend * (0.5 - (at / 8) ** 2))
        for at in range(-8, 9)
    ]
    pen.line(mouth, fill="black", width=14, joint="curve")
    return picture.resize((_SIZE, _SIZE), Image.Resampling.LANCZOS)


def _box(x: float, y: float, wide: float, high: float) -> tuple[float, float, float, float]:
    return (x - wide, y - high, x + wide, y + high)
