"""What became of all rows of a job: counted as their records go by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trml_rt.bundle.manifest import Task
from trml_rt.errors import RowsFailed
from trml_rt.jobs.metrics import metrics_of

__all__ = ["JobReport", "Tally"]


@dataclass(frozen=True)
class JobReport:
    """What a job did, and what all its rows were answered.

    Attributes:
        out: the file of answers.
        rows: how many records it has, one a row.
        answered: how many rows this run answered; the others were answered before.
        failed: how many records have an error.
        presence: how many rows each engine set answered, by its name.
        virtual: for `text` and `video`, how many rows lacked it, by reason.
        errors: how many records have each error.
        seconds: that this run took.
        rows_per_second: rows that this run answered, by its time; 0 where there was nothing to do.
        metrics: of the rows with a score or label, as `trml-rt eval` counts them; None without any.
        measured: how many rows that are.
    """

    out: Path
    rows: int
    answered: int
    failed: int
    presence: dict[str, int]
    virtual: dict[str, dict[str, int]]
    errors: dict[str, int]
    seconds: float
    rows_per_second: float
    metrics: dict[str, float | None] | None
    measured: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, as `--json` prints it."""
        return {**asdict(self), "out": str(self.out)}

    def raise_if_failed(self) -> None:
        """Raise RowsFailed if a row has an error."""
        if self.failed:
            shown = ", ".join(f"{error} {count}" for error, count in self.errors.items())
            raise RowsFailed(
                f"{self.out}: finished, and {self.failed} of {self.rows} rows have an error "
                f"({shown}); mend their files, and pass --retry-failed"
            )


@dataclass
class Tally:
    """Counts records as they go by."""

    task: Task
    rows: int = 0
    presence: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    virtual: dict[str, Counter[str]] = field(
        default_factory=lambda: {"text": Counter(), "video": Counter()}
    )
    truth: list[Any] = field(default_factory=list)
    said: list[Any] = field(default_factory=list)

    def counting(self, records: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yield `records`, and count each."""
        for record in records:
            self.rows += 1
            if "error" in record:
                self.errors[record["error"]] += 1
            else:
                self._count(record)
            yield record

    def _count(self, record: Mapping[str, Any]) -> None:
        self.presence[record["engine_set"]] += 1
        for name, report in record["inputs"].items():
            if "reason" in report:
                self.virtual[name][report["reason"]] += 1
        if "truth" in record:
            self.truth.append(record["truth"])
            self.said.append(record["score" if self.task.kind == "regression" else "label"])

    def report(self, out: Path, *, answered: int, seconds: float) -> JobReport:
        """Return the report, with metrics where rows have a score or label."""
        return JobReport(
            out=out,
            rows=self.rows,
            answered=answered,
            failed=self.errors.total(),
            presence=dict(sorted(self.presence.items())),
            virtual={name: dict(sorted(reasons.items())) for name, reasons in self.virtual.items()},
            errors=dict(self.errors.most_common()),
            seconds=round(seconds, 3),
            rows_per_second=round(answered / seconds, 2) if answered else 0.0,
            metrics=metrics_of(self.truth, self.said, self.task),
            measured=len(self.truth),
        )
