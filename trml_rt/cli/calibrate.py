"""`trml-rt calibrate`: real inputs become ranges, and ranges INT8 graphs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.bundle.calibration import FORMS
from trml_rt.cli.options import any_path, as_json, data_layout, rows_option, whole
from trml_rt.cli.printing import print_json, print_lines
from trml_rt.errors import UsageError

if TYPE_CHECKING:
    from trml_rt.bundle.calibration import Calibration

__all__ = ["calibrate"]


@click.command(
    short_help="Make INT8 graphs from real inputs.",
    epilog="""\b
Examples:
  trml-rt calibrate bundle/ --data rows.jsonl
  trml-rt calibrate bundle/ --data rows.jsonl --engine text --max-drop 0.5points
  trml-rt calibrate bundle/ --data MOSI/ --format mmsa
  trml-rt calibrate bundle/ --data rows.jsonl --form cpu
""",
)
@click.argument("bundle", type=any_path)
@click.option("--data", type=any_path, required=True, help="Real inputs: a data set.")
@data_layout
@click.option(
    "--split", default="train", show_default=True, help="The rows to use. Not those you test on."
)
@click.option(
    "--samples",
    type=whole("samples"),
    default=512,
    show_default=True,
    help="Texts, and clips, to measure ranges on, spread evenly over the rows.",
)
@rows_option
@click.option(
    "--engine",
    "engines",
    multiple=True,
    help="An encoder to make INT8 graphs of; others stay in FP32.  [default: all]",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="[ENGINE=]METHOD",
    help="max, entropy or percentile; for one engine or for all.  [default: max]",
)
@click.option(
    "--max-drop",
    "max_drops",
    multiple=True,
    metavar="COSINE|Npoints",
    help="What the worst row's cosine to FP32 may lose, or the accuracy of an engine set in "
    "points, or give both; layers stay in FP32 until that holds.  [default: 0.01 and 1points]",
)
@click.option(
    "--form",
    "forms",
    type=click.Choice(FORMS),
    multiple=True,
    help="portable is what TensorRT and OpenVINO take, cpu what ONNX Runtime does.  "
    "[default: both]",
)
@click.option("--out", type=any_path, help="Folder to make.  [default: calibration/ of the bundle]")
@click.option("--force", is_flag=True, help="Replace a calibration; find everything anew.")
@as_json
def calibrate(
    bundle: Path,
    data: Path,
    engines: tuple[str, ...],
    methods: tuple[str, ...],
    max_drops: tuple[str, ...],
    forms: tuple[str, ...],
    as_json: bool,
    **arguments: Any,
) -> None:
    """Measure activation ranges on real inputs, and make the encoders' INT8 graphs from them.

    A quarter of the rows takes no part in that: on those the answers of INT8 are compared with
    those of FP32. A run that was interrupted goes on where it was.
    """
    from trml_rt.calibrate import calibrate as make_calibration

    report = make_calibration(
        bundle,
        data,
        engines=engines or None,
        forms=forms or None,
        **_methods(methods),
        **_max_drop(max_drops),
        **arguments,
    )
    print_json(report.to_dict()) if as_json else print_lines(_for_people(report.record))


def _for_people(record: Calibration) -> list[str]:
    lines = []
    for name, engine in record.engines.items():
        for form, graph in engine.forms.items():
            in_fp32 = sum(kind == "fp32" for kind in graph.layers.values())
            lines.append(
                f"{name}, {form}: {len(graph.layers) - in_fp32} of {len(graph.layers)} layers in "
                f"INT8, {graph.bytes / 1e6:.1f} MB"
            )
            lines += [
                f"  {engine_set}: {checked.rows} rows, least cosine {checked.least_cosine:.4f}, "
                f"scores differ by {checked.largest_score_difference:.3f}, "
                f"{checked.flips:.2%} of labels flip"
                for engine_set, checked in graph.checked.items()
            ]
        lines += [
            f"{name}, {form}: stays in FP32 whole; more than half of its layers would have to"
            for form in engine.left_out
        ]
    return lines


def _max_drop(words: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments that `0.01` (of a cosine) and `0.5points` stand for."""
    arguments: dict[str, Any] = {}
    for word in words:
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(points)?", word)
        if match is None or (match[2] is None and float(match[1]) > 1):
            raise UsageError(
                f"--max-drop {word}: a drop of the cosine, such as 0.01, or of the accuracy, such "
                "as 0.5points; for both, give the option twice"
            )
        name = "max_drop_points" if match[2] else "max_drop"
        if name in arguments:
            raise UsageError("--max-drop: is given twice of one kind; give it once of each")
        arguments[name] = float(match[1])
    return arguments


def _methods(words: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments that `METHOD` and `ENGINE=METHOD` stand for."""
    named = dict(word.rpartition("=")[::2] for word in words)
    if len(named) < len(words):
        raise UsageError("--method: is given twice for the same encoders; give it once for each")
    return {"method": named.pop("", "max"), "methods": named}
