"""Write the four data sets on which the whole protocol is run, beside the rows of datasets.py.

    python protocol_rows.py --data DATA --rows ROWS

    pairs.jsonl   constructed pairs: a sentence and a face of one class, independent given the
                  class; three classes. The very pairs of data.jsonl
    emoji.jsonl   natural pairs: comments with the animation of the emoji their authors used;
                  three classes
    vader.jsonl   rated sentences, text alone; the rating times 3/4, so in [-3, 3]
    words.jsonl   natural pairs: the name and the keywords of an emoji with its animation; its
                  score in [-1, 1]. An emoji is in one split only

ROWS is the folder that datasets.py made; the pictures lie there. Splits are those of the sources.
None of these is a MOSI, MOSEI or MELD data set.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import sources
from datasets import separate

LABELS = {-1: "negative", 0: "neutral", 1: "positive"}


def pairs(rows: Path) -> list[dict]:
    """Return the constructed pairs of data.jsonl with the class that made them."""
    rows_of_pairs = []
    with (rows / "data.jsonl").open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            if match := re.fullmatch(r"pair/[a-z]+([+-]\d)_\d+", row["id"]):
                del row["score"]
                rows_of_pairs.append({**row, "label": LABELS[int(match[1])]})
    return rows_of_pairs


def emoji(data: Path) -> list[dict]:
    """Return the comments with the emoji of their authors; a text is in one split only."""
    return separate(
        [
            {
                "id": text.id,
                "split": text.split,
                "text": text.text,
                "video": f"raw/{code}",
                "label": LABELS[sources.sign(text.score)],
            }
            for text, code in sources.emoji_pairs(data)
            if text.text.strip()
        ]
    )


def words(data: Path) -> list[dict]:
    """Return the rated emoji, three folds of five in training."""
    split = {"fold3": "test", "fold4": "valid"}
    return [
        {
            "id": each.id,
            "split": split.get(each.split, "train"),
            "text": each.words,
            "video": f"raw/{each.path}",
            "score": each.score,
        }
        for each in sources.emoji(data)
    ]


def vader(data: Path) -> list[dict]:
    """Return the rated sentences, in MOSI's range of scores."""
    return [
        {"id": text.id, "split": text.split, "text": text.text, "score": 3 * text.score}
        for text in sources.vader(data)
    ]


def main() -> None:
    """Write the four files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the shared data sets")
    parser.add_argument("--rows", type=Path, required=True, help="folder that datasets.py made")
    args = parser.parse_args()
    for name, rows in (
        ("pairs", pairs(args.rows)),
        ("emoji", emoji(args.data)),
        ("vader", vader(args.data)),
        ("words", words(args.data)),
    ):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (args.rows / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{name}: {len(rows)} rows")


if __name__ == "__main__":
    main()
