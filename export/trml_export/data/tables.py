"""What readers of real layouts share: tables, folders of clips, faults that are survived."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trml_export.config import Config
from trml_export.data.samples import DataSet, InputProblem, Sample
from trml_rt.errors import UsageError
from trml_rt.inputs.rows import refuse_all

__all__ = ["Clips", "Collector", "TableRow", "check_folder", "class_number", "read_table"]


@dataclass(frozen=True)
class TableRow:
    """One row of a table: its cells by column, and where it stands, for messages."""

    where: str
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]


def check_folder(path: Path, file: str) -> None:
    """Raise UsageError unless `path` is a folder; `file` is what it should hold."""
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise UsageError(f"{path}: {what}; name the folder of {file}")


def read_table(path: Path, columns: Sequence[str]) -> tuple[list[TableRow], bytes]:
    """Return the rows of a CSV file (UTF-8, any line ends, quoted line breaks) and its bytes.

    Raises:
        UsageError: it cannot be read, is not UTF-8, or lacks one of `columns`.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as problem:
        raise UsageError(f"{path}: cannot be read ({problem.strerror})") from None
    except UnicodeDecodeError as problem:
        raise UsageError(
            f"{path}: is not UTF-8 ({problem.reason} at byte {problem.start})"
        ) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise UsageError(f"{path}: has no column {', '.join(missing)}")
        for cells in reader:
            where = f"{path.name}, line {reader.line_num}"
            rows.append(TableRow(where, {name: cells[name] or "" for name in columns}))
    except csv.Error as problem:
        raise UsageError(f"{path}: line {reader.line_num}: {problem}") from None
    return rows, data


@dataclass
class Clips:
    """The clips of a folder, listed once; `take` says what is wrong with one of them."""

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, depth: int = 0) -> Clips:
        """List `folder`, and `depth` levels below it. Names are relative to it, with slashes.

        Raises:
            UsageError: a folder or a file in it cannot be looked at.
        """
        clips = cls(folder)
        try:
            for name, entry in _walk(folder, depth):
                if name.endswith(".mp4") and not entry.name.startswith("._"):  # what macOS leaves
                    clips.sizes[name] = entry.stat().st_size
        except OSError as problem:
            where = problem.filename or folder
            raise UsageError(f"{where}: cannot be read ({problem.strerror})") from None
        return clips

    def take(self, name: str) -> tuple[Path, str | None, str]:
        """Return the path of a clip, and the reason and a sentence if it cannot be used."""
        path = self.folder / name
        size = self.sizes.pop(name, None)
        if size is None:
            return path, "absent", f"{path}: is not there"
        if size == 0:
            return path, "empty", f"{path}: the file is empty"
        return path, None, ""


def _walk(folder: Path, depth: int, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                yield prefix + entry.name, entry
            elif depth and entry.is_dir():
                yield from _walk(Path(entry.path), depth - 1, f"{prefix}{entry.name}/")


class Collector:
    """Gathers samples, problems that are survived, and faults of the table that are not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._samples: list[Sample] = []
        self._problems: list[InputProblem] = []
        self._faults: list[str] = []
        self._where: dict[str, str] = {}
        self._digest = hashlib.sha256()

    def table(self, data: bytes) -> None:
        """Count `data`, the bytes of a table, into the data set's hash."""
        self._digest.update(hashlib.sha256(data).digest())

    def fault(self, row: TableRow, message: str) -> None:
        """Note a fault of the table itself."""
        self._faults.append(f"{row.where}: {message}")

    def survived(self, identity: str, file: object, reason: str, message: str) -> None:
        """Note an input that is missing although it should be there, or the reverse."""
        self._problems.append(InputProblem(identity, str(file), reason, message))

    def sample(
        self, row: TableRow, identity: str, split: str, clips: Clips, name: str, target: float | int
    ) -> None:
        """Take one sample, with the text of column `text`; whatever it lacks is noted."""
        if identity in self._where:
            self.fault(row, f"{identity} stands twice, also in {self._where[identity]}")
            return
        self._where[identity] = row.where
        text: str | None = row["text"]
        if not row["text"].strip():
            text = None
            self.survived(identity, row.where, "empty_text", f"{row.where}: the text is blank")
        video: Path | None
        video, reason, message = clips.take(name)
        if reason is not None:
            self.survived(identity, video, reason, message)
            video = None
        if text is None and video is None:
            left = f"{row.where}: neither text nor video is left of it"
            self.survived(identity, row.where, "nothing_left", left)
            return
        self._samples.append(Sample(identity, split, text, video, target))

    def unnamed(self, clips: Clips, identities: dict[str, str]) -> None:
        """Note the clips that no row has taken; `identities` says what each would be called."""
        for name in sorted(clips.sizes):
            path = clips.folder / name
            self.survived(identities[name], path, "no_row", f"{path}: no table names this clip")

    def finish(self) -> DataSet:
        """Return the data set; UsageError with all faults of its tables, if there are any."""
        refuse_all(self._path, self._faults)
        return DataSet(tuple(self._samples), self._digest.hexdigest(), tuple(self._problems))


def class_number(config: Config, label: str) -> int | None:
    """Return the number of `label` among the configured ones, whatever its case, or None."""
    names = [name.lower() for name in config.labels]
    return names.index(label.lower()) if label.lower() in names else None
