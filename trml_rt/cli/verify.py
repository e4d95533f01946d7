"""`trml-rt verify`: built engines against FP32, on inputs of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.bundle.folder import open_bundle
from trml_rt.cli.isolated import isolated
from trml_rt.cli.options import (
    any_path,
    as_json,
    backend_option,
    bundle_option,
    data_layout,
    of_data,
    precision_choice,
    refuse_strangers,
    rows_option,
)
from trml_rt.cli.out_folder import check_out, force_option, out_option, write_out
from trml_rt.cli.printing import print_json, print_lines

if TYPE_CHECKING:
    from trml_rt.bundle.engine_folder import VerificationRecord

__all__ = ["verify"]


@click.command(
    short_help="Compare built engines with their references.",
    epilog="""\b
Examples:
  trml-rt verify --precision int8 --data rows.jsonl --split test
  trml-rt verify --precision fp16 --backend tensorrt --data rows.jsonl
""",
)
@click.option("--precision", type=precision_choice, required=True, help="Engines to verify.")
@backend_option
@bundle_option
@click.option("--data", type=any_path, help="Rows to verify on, else the golden files' inputs.")
@data_layout
@click.option("--split", default="valid", show_default=True, help="The rows of --data to use.")
@rows_option
@click.option(
    "--record/--no-record", default=True, help="Write verify.json, or leave it.  [default: record]"
)
@out_option
@force_option
@as_json
@isolated
def verify(out: Path | None, force: bool, as_json: bool, **arguments: Any) -> None:
    """Compare built engines with their references; exit 4 if a limit is missed.

    The verdict on each engine set is written to verify.json beside the engines.
    """
    from trml_rt.verify import verify as compare

    if arguments["data"] is None:
        refuse_strangers(of_data, "without --data")
    check_out(out, "verify", force=force)
    report = compare(**arguments)
    if out is not None:
        from trml_export.plots.verification import verification_picture

        content, model = report.to_dict(), open_bundle(arguments["bundle"]).manifest.name
        picture = verification_picture(content, model)
        write_out(out, "verify", content, picture, force=force)
    print_json(report.to_dict()) if as_json else print_lines(_for_people(report.record))
    report.raise_if_failed()


def _for_people(record: VerificationRecord) -> list[str]:
    lines = []
    for name, verdict in record.engine_sets.items():
        lines.append(f"{name}: {'passed' if verdict.passed else 'FAILED'}")
        lines += _measured("FP32", verdict.inputs, verdict.fp32)
        lines += _measured("the golden files", "golden files", verdict.golden)
    lines += [f"warning: {warning}" for warning in record.warnings]
    lines.append("FAILED" if record.problems else "passed")
    return lines


def _measured(reference: str, inputs: str, measured: dict[str, Any]) -> list[str]:
    """Return the lines on one reference; none where nothing was measured."""
    if not measured:
        return []
    lines = [
        f"  against {reference}, {measured['rows']} rows of the {inputs}: largest score difference "
        f"{measured['largest_score_difference']:.4f}, {measured['flips']:.2%} labels flip"
    ]
    lines += [
        f"    {tensor}: cosine least {c['least_cosine']:.4f}, 1st percentile "
        f"{c['first_percentile']:.4f}"
        for tensor, c in measured["tensors"].items()
    ]
    if accuracy := measured.get("accuracy"):
        lines.append(
            f"    accuracy {accuracy['fp32']:.2f} % in FP32, {accuracy['engines']:.2f} % here, "
            f"{accuracy['rows']} rows"
        )
    return lines
