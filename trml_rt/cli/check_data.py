"""`trml-rt check-data`: what a data set holds, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.cli.options import any_path, as_json, data_layout
from trml_rt.cli.printing import print_json, print_lines

if TYPE_CHECKING:
    from trml_rt.proof.check_data import DataCheck

__all__ = ["check_data"]

_SHOWN = 20  # as an error lists problems


@click.command(
    name="check-data",
    short_help="Count the rows of a data set, and list its faults.",
    epilog="""\b
Examples:
  trml-rt check-data --data rows.jsonl --decode
  trml-rt check-data --data rows.jsonl --config training.json --set score_range=[-1,1]
""",
)
@click.option("--data", type=any_path, required=True, help="Data set.")
@data_layout
@click.option("--bundle", type=any_path, help="Hold targets to the task of this bundle.")
@click.option(
    "--config",
    type=any_path,
    help="Hold targets to the task of this configuration of a training, JSON or TOML; every row "
    "must have one.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one key of it, or of the default one.",
)
@click.option("--decode", is_flag=True, help="Decode every clip, too.")
@as_json
def check_data(overrides: tuple[str, ...], as_json: bool, data: Path, **arguments: Any) -> None:
    """Count the rows of a data set, and list what is wrong with it; exit 2 if anything is."""
    from trml_rt.proof.check_data import check_data as check

    report = check(data, overrides=overrides or None, **arguments)
    print_json(report.to_dict()) if as_json else print_lines(_for_people(report))
    report.raise_if_unusable()


def _for_people(report: DataCheck) -> list[str]:
    lines = [
        f"{split}: {sum(counts.values())} rows; {counts['text_video']} with both, "
        f"{counts['text']} with text alone, {counts['video']} with video alone"
        for split, counts in report.splits.items()
    ]
    if scores := report.scores:
        lines.append(f"score: {scores['rows']} rows, {scores['least']:g} to {scores['largest']:g}")
    if report.labels:
        counts = ", ".join(f"{label} {count}" for label, count in report.labels.items())
        lines.append(f"label: {counts}")
    lines += [f"not read: {', '.join(report.extra)}"] if report.extra else []
    lines += [] if report.decoded is None else [f"clips decoded: {report.decoded}"]
    lines += [f"repeated: {problem}" for problem in report.repeated[:_SHOWN]]
    if len(report.repeated) > _SHOWN:
        lines.append(f"repeated: and {len(report.repeated) - _SHOWN} more")
    return [*lines, "usable" if report.usable else f"problems: {len(report.problems)}"]
