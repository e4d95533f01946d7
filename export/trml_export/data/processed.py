"""Convert MMSA's processed pickles to lines of JSON, without trusting them.

    python -m trml_export.data.processed unaligned_50.pkl --out mosi.jsonl

A pickle is a program. This reader lets it build arrays, strings, numbers, lists and dicts, and
refuses it at the first other name it asks for. The pickles hold no pictures, so what comes out
has texts alone.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from trml_export.data.samples import SPLITS
from trml_rt.atomic import write_bytes
from trml_rt.cli.exits import Exits
from trml_rt.cli.options import any_path
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError

__all__ = ["convert", "load_plain"]

# What numpy's own pickles name, before and since numpy 2, and how Python 2 wrote bytes.
_ALLOWED = {
    *(
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    ),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _PlainUnpickler(pickle.Unpickler):
    """Builds arrays, strings, numbers, lists and dicts, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ArtefactMismatch(
                f"asks for {module}.{name}; a data set needs arrays, strings and dicts alone"
            )
        if module.startswith("numpy.core"):  # numpy 2 only warns about the old place
            module = module.replace("numpy.core", "numpy._core", 1)
        return super().find_class(module, name)

    def persistent_load(self, identity: Any) -> Any:
        raise ArtefactMismatch(f"refers to something outside of it ({identity!r})")


def load_plain(path: Path) -> Any:
    """Return the content of a pickle that holds arrays, strings, numbers, lists and dicts.

    Raises:
        UsageError: `path` cannot be read.
        ArtefactMismatch: it asks for anything else, or is damaged. Nothing of it has run.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file).load()
    except OSError as problem:
        raise UsageError(f"{path}: cannot be read ({problem.strerror})") from None
    except ArtefactMismatch as problem:
        raise ArtefactMismatch(f"{path}: is refused: it {problem}") from None
    except Exception as problem:  # noqa: BLE001 - damaged bytes raise whatever they like
        raise ArtefactMismatch(f"{path}: is no whole pickle ({problem})") from None


def convert(content: Any, where: str) -> tuple[list[dict[str, Any]], int]:
    """Return the rows of a processed data set, and how many were left out for a blank text.

    Args:
        content: by split (train, valid, test), a dict with `raw_text`, `id` and
            `regression_labels` of one length, and perhaps `annotations`.
        where: names the file in messages.

    Raises:
        ArtefactMismatch: `content` is something else.
    """
    rows: list[dict[str, Any]] = []
    blank = 0
    if not isinstance(content, dict) or not all(s in content for s in ("train", "valid")):
        raise ArtefactMismatch(f"{where}: has no splits train and valid")
    for split in SPLITS:
        if split in content:
            for row in _rows(content[split], split, f"{where}, {split}"):
                if row["text"].strip():
                    rows.append(row)
                else:
                    blank += 1
    return rows, blank


def _rows(part: Any, split: str, where: str) -> Iterator[dict[str, Any]]:
    names = ("id", "raw_text", "regression_labels")
    if not isinstance(part, dict) or any(name not in part for name in names):
        raise ArtefactMismatch(f"{where}: does not hold {', '.join(names)}")
    columns = [np.ravel(part[name]).tolist() for name in names]
    labels = part.get("annotations")
    annotations = [None] * len(columns[0]) if labels is None else np.ravel(labels).tolist()
    if len({len(column) for column in (*columns, annotations)}) != 1:
        raise ArtefactMismatch(f"{where}: its columns differ in length")
    for identity, text, score, label in zip(*columns, annotations, strict=True):
        number = float(score)
        if not math.isfinite(number):
            raise ArtefactMismatch(f"{where}: the label of {identity} is {number}")
        row = {"id": _string(identity), "split": split, "text": _string(text), "score": number}
        yield row if label is None else {**row, "label": _string(label).lower()}


def _string(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


@click.command(cls=Exits)
@click.argument("source", metavar="PICKLE", type=any_path)
@click.option("--out", type=any_path, required=True, help="JSONL file to write.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def processed(source: Path, out: Path, force: bool) -> None:
    """Convert one of MMSA's processed pickles to lines of JSON, texts alone.

    The pickles hold features of other encoders and no pictures, so only the text path can be
    trained and evaluated on what comes out. Nothing but arrays, strings and dicts is unpickled.
    """
    if out.exists() and not force:
        raise UsageError(f"{out}: exists already; name another file, or pass --force")
    rows, blank = convert(load_plain(source), str(source))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    try:
        write_bytes(out, lines.encode())
    except OSError as problem:
        raise EnvironmentUnfit(f"{out}: cannot be written ({problem.strerror})") from None
    left_out = f", {blank} left out for a blank text" if blank else ""
    click.echo(f"{out}: {len(rows)} samples{left_out}; texts alone, there are no pictures in it")


if __name__ == "__main__":
    processed(prog_name="python -m trml_export.data.processed")
