"""Split a file of rows into plain objects: JSON lines, or by its ending a table, .csv or .tsv.

The first line of a table names the keys. An empty cell is an absent value. `score` becomes a number
where it is one. Which keys a row has, and which word is a misspelling of one, is said here.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from trml_rt.bundle.records import parse_json
from trml_rt.errors import ArtefactMismatch, UsageError

__all__ = ["KEYS", "extra_keys", "misspelt", "numbered"]

KEYS = frozenset({"id", "split", "text", "video", "score", "label"})
"""The keys that are read; a row may have others, which are kept."""

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # its byte order marks
_LONG = 4  # letters of a key; a word near to a shorter one may be any word


def numbered(path: Path, data: bytes) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the number of each line that is not blank, with its object or what is wrong with it.

    Values that are null stand in no object of JSON; empty cells are None.

    Args:
        path: names the file; its ending says what it is.
        data: the bytes of the whole file.

    Raises:
        UsageError: the ending and the content do not go together.
    """
    if data.startswith(_UTF16):
        raise UsageError(f"{path}: is UTF-16, not UTF-8; save it as UTF-8")
    # A byte order mark is what spreadsheets put before the first line.
    data = data.removeprefix(b"\xef\xbb\xbf")
    separator = _SEPARATORS.get(path.suffix.lower())
    if separator is None:
        _refuse_table(path, data)
        if data.lstrip()[:1] == b"[" or data.lstrip().split(b"\n", 1)[0].strip() == b"{":
            raise UsageError(
                f"{path}: holds one JSON text, not JSON lines; write each row on a line of its own"
            )
        return _objects(data)
    if data.lstrip().startswith(b"{"):
        raise UsageError(f"{path}: holds JSON lines; let its name end in .jsonl")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}: line {line} is not UTF-8; save the table as UTF-8") from None
    return _cells(text, separator)


def extra_keys(content: Collection[str]) -> list[str]:
    """Return those keys of a row that nothing here reads, in their order."""
    return [key for key in content if key not in KEYS]


def misspelt(content: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each key that looks like one of `KEYS` that is not there."""
    for key in sorted(extra_keys(content)):
        meant = [known for known in sorted(KEYS - set(content)) if _near(key.lower(), known)]
        if meant:
            yield f"unknown key {key}; did you mean {meant[0]}?"


def _near(word: str, key: str) -> bool:
    """Say whether one letter more, less, changed or swapped with its neighbour makes `key`."""
    if word == key or len(key) < _LONG:
        return word == key
    if len(word) == len(key):
        places = [place for place, letter in enumerate(key) if word[place] != letter]
        first, last = places[0], places[-1]
        swapped = word[first : last + 1] == key[first : last + 1][::-1]
        return len(places) == 1 or (last - first == 1 and swapped)
    short, long = sorted((word, key), key=len)
    return any(long[:place] + long[place + 1 :] == short for place in range(len(long)))


def _objects(data: bytes) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            content = parse_json(line, where)
        except ArtefactMismatch as problem:
            yield number, str(problem).removeprefix(f"{where}: ")
        else:
            yield number, {key: value for key, value in content.items() if value is not None}


def _refuse_table(path: Path, data: bytes) -> None:
    """Raise UsageError where the first line is the header of a table."""
    first = next(iter(data.split(b"\n", 1)), b"").decode(errors="replace")
    for ending, separator in _SEPARATORS.items():
        names = {cell.strip(' "\r') for cell in first.split(separator)}
        if len(names) > 1 and names & KEYS:
            raise UsageError(f"{path}: looks like a table; let its name end in {ending}")


def _cells(text: str, separator: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the rows of a table; a fault of the header is the last."""
    # Strict: a quote that nothing closes would take the rest of the file for one cell.
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] | None = None
    number = 1
    try:
        for cells in table:
            if header is None and any(cells):
                header = [cell.strip() for cell in cells]
                if fault := _header_fault(header):
                    yield number, fault
                    return
            elif header is not None and any(cell.strip() for cell in cells):
                yield number, _row(header, cells)
            number = table.line_num + 1  # a quoted cell may span lines
    except csv.Error as error:
        yield number, f"not a row of a table ({error}); put cells with quotes or breaks in quotes"


def _header_fault(header: list[str]) -> str | None:
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        return f"the header names {', '.join(twice)} twice"
    if faults := "; ".join(misspelt([name for name in header if name])):
        return faults
    if not {"text", "video"} & set(header):
        return (
            f"the header names neither text nor video, but {', '.join(header)}; "
            "commas part the cells of a .csv, tabs those of a .tsv"
        )
    return None


def _row(header: list[str], cells: list[str]) -> dict[str, Any] | str:
    if len(cells) != len(header):
        return (
            f"has {len(cells)} cells, and the header {len(header)}; "
            "put a cell that holds the separator in quotes"
        )
    pairs = zip(header, cells, strict=True)
    content: dict[str, Any] = {name: cell if cell.strip() else None for name, cell in pairs if name}
    if content.get("score") is not None:
        content["score"] = _number(content["score"])
    return content


def _number(cell: str) -> float | str:
    """Return the finite number that the cell states, or the cell."""
    try:
        number = float(cell)
    except ValueError:
        return cell
    return number if math.isfinite(number) and "_" not in cell else cell
