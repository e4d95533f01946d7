"""What a job writes of a row, and the file of all rows: JSON lines, CSV or Parquet.

A record has no times, so that two runs of one job write the same bytes.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from trml_rt.bundle.atomic import staged_file
from trml_rt.bundle.manifest import Task
from trml_rt.errors import UsageError, cannot_write, lacks_package
from trml_rt.inputs.rows import FILES
from trml_rt.jobs.rows import PARQUET, JobRow

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "bad_row",
    "check_out",
    "columns",
    "flat",
    "record_of",
    "said_of",
    "to_line",
    "truth_of",
    "write_records",
]

_ENDINGS = (".jsonl", ".csv", PARQUET)
_NAMED = ("key", "id", "line", "text_file", "video", "truth")
_ROWS = 10_000  # of a row group of Parquet

_INPUTS = {
    "text": {"state": str, "reason": str, "tokens": int, "truncated": bool, "unknown": float},
    "video": {"state": str, "reason": str, "frames": int, "incomplete": bool},
}


def check_out(out: Path, read: Iterable[Path]) -> None:
    """Refuse a file that cannot be written in a format of ours; call it before any work.

    Args:
        out: the file of answers.
        read: what is read for it, which it may not replace, not even if told to.

    Raises:
        UsageError: its ending names no format, or it is what is read.
        EnvironmentUnfit: the package for Parquet is lacking.
    """
    if out.suffix.lower() not in _ENDINGS:
        raise UsageError(f"{out}: names no format; let it end in {', '.join(_ENDINGS)}")
    for source in read:
        # A folder of clips with such a file in it would be read as that file from then on.
        if _same(out, source) or (out.name in FILES and _same(out.parent, source)):
            raise UsageError(f"{out}: is read for this job; name another file with --out")
    if out.suffix.lower() == PARQUET:
        try:
            from pyarrow import parquet  # noqa: F401
        except ImportError as error:
            raise lacks_package("writing Parquet", error, "batch") from None


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return False


def record_of(row: JobRow, said: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Return the record of a row: what names it, and its answer, or `error` and `message`."""
    named: dict[str, Any] = {
        "id": row.id,
        "line": row.line,
        "text_file": row.text_file,
        "video": row.video,
    }
    truth = truth_of(row, task)
    if truth is not None:
        named["truth"] = truth
    shown = {name: value for name, value in named.items() if value is not None}
    return {name: _sound(value) for name, value in {"key": row.key, **shown, **said}.items()}


def bad_row(row: JobRow) -> dict[str, Any]:
    """Return what is said of a row that breaks a rule."""
    where = f"line {row.line}: " if row.line else ""
    return {"error": "bad_row", "message": f"{where}{row.fault}"}


def said_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a record what was said of the row, without what names it."""
    return {name: value for name, value in record.items() if name not in _NAMED}


def truth_of(row: JobRow, task: Task) -> float | str | None:
    """Return the score or label of a row that an answer of this task is held against, or None."""
    if task.kind == "classification":
        return row.label if row.label in task.labels else None
    return row.score


def _sound(value: Any) -> Any:
    """Return a value that any file can hold: a name on disk may be no UTF-8."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def to_line(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of JSON."""
    return (json.dumps(record, ensure_ascii=False) + "\n").encode()


def columns(task: Task) -> dict[str, type]:
    """Return the columns of a table of records, each with the type of its cells."""
    classes = task.labels if task.kind == "classification" else ()
    return {
        **{"key": str, "id": str, "line": int, "text_file": str, "video": str},
        "truth": str if classes else float,
        **{"label": str, "score": float},
        **{f"probability_{label}": float for label in classes},
        **{f"{name}_{part}": kind for name, has in _INPUTS.items() for part, kind in has.items()},
        **{"engine_set": str, "backend": str, "engines": str, "verified": bool},
        **{"error": str, "message": str},
    }


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as cells by column; what it lacks is left out."""
    cells = {k: v for k, v in record.items() if k not in ("inputs", "probabilities")}
    cells |= {f"probability_{k}": v for k, v in record.get("probabilities", {}).items()}
    for name, report in record.get("inputs", {}).items():
        cells |= {f"{name}_{part}": value for part, value in report.items()}
    return cells


def write_records(out: Path, records: Iterable[Mapping[str, Any]], task: Task) -> None:
    """Write `out` whole or not at all; its ending says in which format.

    Raises:
        EnvironmentUnfit: `out` cannot be written.
    """
    ending = out.suffix.lower()
    try:
        with staged_file(out) as file:
            if ending == PARQUET:
                _parquet(file, records, columns(task))
            elif ending == ".csv":
                _csv(file, records, columns(task))
            else:
                file.writelines(map(to_line, records))
    except OSError as error:
        raise cannot_write(out, error, "name another file with --out") from None


def _csv(file: BinaryIO, records: Iterable[Mapping[str, Any]], names: Mapping[str, type]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    table = csv.DictWriter(text, [*names])
    table.writeheader()
    for record in records:
        table.writerow({k: _cell(value) for k, value in flat(record).items()})
    text.detach()  # closing is the business of who opened the file


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _parquet(
    file: BinaryIO, records: Iterable[Mapping[str, Any]], names: Mapping[str, type]
) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = schema_of(names)
    with parquet.ParquetWriter(file, schema) as writer:
        for group in _groups(map(flat, records)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


def schema_of(names: Mapping[str, type]) -> pyarrow.Schema:
    """Return columns as Arrow has them.

    Raises:
        EnvironmentUnfit: pyarrow is lacking.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise lacks_package("a table of Arrow", error, "batch") from None

    types = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }
    return pyarrow.schema([(name, types[kind]) for name, kind in names.items()])


def _groups(cells: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while group := list(itertools.islice(cells, _ROWS)):
        yield group
