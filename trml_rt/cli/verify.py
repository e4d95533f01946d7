"""`trml-rt verify`: built engines against FP32, on inputs of your own."""

from __future__ import annotations

from typing import Any

import click

from trml_rt.cli.options import (
    any_path,
    as_json,
    backend_option,
    bundle_option,
    data_layout,
    precision_choice,
    print_json,
    rows_option,
)

__all__ = ["verify"]


@click.command(
    epilog="""\b
Examples:
  trml-rt verify --precision int8 --data rows.jsonl --split test
  trml-rt verify --precision fp16 --backend tensorrt --data rows.jsonl
"""
)
@click.option("--precision", type=precision_choice, required=True, help="Engines to verify.")
@backend_option
@bundle_option
@click.option("--data", type=any_path, help="Rows to verify on, else the golden files' inputs.")
@data_layout
@click.option("--split", default="valid", show_default=True, help="The rows of --data to use.")
@rows_option
@as_json
def verify(as_json: bool, **arguments: Any) -> None:
    """Compare built engines with FP32 and write verify.json beside them; exit 4 if they fail."""
    from trml_rt.verify import verify as compare

    report = compare(**arguments)
    print_json(report.to_dict()) if as_json else click.echo(_for_people(report.record))
    report.raise_if_failed()


def _for_people(record: dict[str, Any]) -> str:
    lines = []
    for name, measured in record["engine_sets"].items():
        lines.append(
            f"{name}: {measured['rows']} rows, largest score difference "
            f"{measured['largest_score_difference']:.4f}, {measured['flips']:.2%} labels flip"
        )
        lines += [
            f"  {tensor}: cosine least {c['least_cosine']:.4f}, 1st percentile "
            f"{c['first_percentile']:.4f}"
            for tensor, c in measured["tensors"].items()
        ]
        if accuracy := measured.get("accuracy"):
            lines.append(
                f"  accuracy {accuracy['fp32']:.2f} % in FP32, {accuracy['engines']:.2f} % here, "
                f"{accuracy['rows']} rows"
            )
    lines += [f"warning: {warning}" for warning in record["warnings"]]
    lines.append("passed" if record["passed"] else "FAILED")
    return "\n".join(lines)
