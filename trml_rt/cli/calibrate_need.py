"""`trml-rt calibrate-need`: rows of real data say when a text alone is enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.cli.options import any_path, as_json, data_layout
from trml_rt.cli.printing import print_json, print_lines

if TYPE_CHECKING:
    from trml_rt.proof.need import NeedReport

__all__ = ["calibrate_need", "points"]


@click.command(
    short_help="Find out when video is not needed.",
    epilog="""\b
Examples:
  trml-rt calibrate-need bundle/ --data rows.jsonl
  trml-rt calibrate-need bundle/ --data rows.jsonl --max-drop-points 0.5
""",
)
@click.argument("bundle", type=any_path)
@click.option("--data", type=any_path, required=True, help="Real inputs: a data set.")
@data_layout
@click.option(
    "--split",
    default="valid",
    show_default=True,
    help="The rows to use. Neither those trained on nor those you test on.",
)
@click.option(
    "--max-drop-points",
    type=float,
    default=1.0,
    show_default=True,
    help="What the accuracy may lose, in points, where videos are left out.",
)
@click.option("--force", is_flag=True, help="Replace the record that is there.")
@as_json
def calibrate_need(bundle: Path, data: Path, as_json: bool, **arguments: Any) -> None:
    """Find the certainty of a text from which on its video is not needed, and store it.

    Half of the rows choose it; the other half says what it gives up. `infer` and `stream` read it
    where --video-if-needed asks for that.
    """
    from trml_rt.proof.need import calibrate_need as find

    report = find(bundle, data, **arguments)
    print_json(report.to_dict()) if as_json else print_lines(_for_people(report))


def points(lost: float) -> str:
    """Return how many points of accuracy were lost, or gained, in words."""
    return f"{abs(lost):.2f} points {'gained' if lost < 0 else 'lost'}"


def _for_people(report: NeedReport) -> Iterator[str]:
    need = report.record
    yield f"a text is enough from a certainty of {need.threshold:.4f} on"
    for name, spared in (("chosen", need.chosen), ("checked", need.checked)):
        yield (
            f"  {name:7}  on {spared.rows} rows: {spared.without_video:.1%} without video, "
            f"accuracy {spared.accuracy:.1%}, {points(spared.points_lost)}"
        )
    yield f"written: {report.path}"
