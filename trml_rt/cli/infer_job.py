"""`trml-rt infer --data`, and `trml-rt merge`: answer on an archive of rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trml_rt.cli.options import any_path, as_json, whole
from trml_rt.cli.printing import print_json, print_lines
from trml_rt.errors import UsageError

if TYPE_CHECKING:
    from trml_rt.jobs import JobReport

__all__ = ["JOB", "job_options", "merge", "run"]

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--data", type=any_path, help="Rows to answer, or a folder of clips and texts."),
    click.option(
        "--out", type=any_path, help="With --data: file to write, .jsonl, .csv, .parquet."
    ),
    click.option(
        "--workers",
        type=whole("workers"),
        help="With --data: processes that answer.  [default: one a core on a CPU, else one]",
    ),
    click.option(
        "--batch",
        type=whole("batch"),
        default=1,
        show_default=True,
        help="With --data: rows that go into the engines together. Texts are faster with 16, and "
        "answers then are those of single calls to float32 rounding.",
    ),
    click.option(
        "--key",
        type=click.Choice(["id", "content"]),
        default="id",
        show_default=True,
        help="With --data: what a row is known by; with content, a clip that was replaced is "
        "answered again.",
    ),
    click.option("--shard", metavar="I/N", help="With --data: only part I of N of the rows."),
    click.option(
        "--ray",
        metavar="ADDRESS",
        help="With --data: answer on this cluster of Ray, or on a `local` one.",
    ),
    click.option(
        "--resume", is_flag=True, help="With --data: answer what is new since the job finished."
    ),
    click.option("--retry-failed", is_flag=True, help="With --data: answer failed rows again."),
    click.option("--force", is_flag=True, help="With --data: answer every row anew."),
)

JOB = ("out", "workers", "batch", "key", "shard", "ray", "resume", "retry_failed", "force")
"""The options that mean nothing without --data."""


def job_options(command: Command) -> Command:
    """Add the options of a job to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def run(data: Path, out: Path | None, *, as_json: bool, **arguments: Any) -> None:
    """Run the job, print what became of it, and exit 7 if rows have an error."""
    from trml_rt.jobs import run_job

    if out is None:
        raise UsageError("--data is given without --out; name the file of answers with --out")
    _tell(run_job(data, out, **arguments), as_json)


@click.command(
    short_help="Put the shards of a job together.",
    epilog="""\b
Example: trml-rt merge answers-1.jsonl answers-2.jsonl --out answers.parquet
""",
)
@click.argument("shards", nargs=-1, required=True, type=any_path)
@click.option("--out", type=any_path, required=True, help="File: .jsonl, .csv, .parquet.")
@click.option("--force", is_flag=True, help="Replace it.")
@as_json
def merge(shards: tuple[Path, ...], out: Path, force: bool, as_json: bool) -> None:
    """Put what `infer --shard` wrote, 1/N to N/N, into one file, in the order of the rows."""
    from trml_rt.jobs import merge_jobs

    _tell(merge_jobs(shards, out, force=force), as_json)


def _tell(report: JobReport, as_json: bool) -> None:
    print_json(report.to_dict()) if as_json else print_lines(_for_people(report))
    report.raise_if_failed()


def _for_people(report: JobReport) -> list[str]:
    lines = [f"{report.out}: {report.rows} rows, {report.failed} with an error"]
    lines += [f"present: {_counts(report.presence)}"] if report.presence else []
    for name, reasons in report.virtual.items():
        lines += [f"virtual {name}: {_counts(reasons)}"] if reasons else []
    lines += [f"errors: {_counts(report.errors)}"] if report.errors else []
    if report.metrics is not None:
        shown = ", ".join(f"{k} {v:.4g}" for k, v in report.metrics.items() if v is not None)
        lines.append(f"metrics of {report.measured} rows: {shown}")
    if report.answered:
        lines.append(
            f"answered {report.answered} rows in {report.seconds:.1f} s, "
            f"{report.rows_per_second:.1f} a second"
        )
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
