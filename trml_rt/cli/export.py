"""`trml-rt export`: a checkpoint becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.cli.options import any_path, as_json, refuse_absent
from trml_rt.cli.printing import print_json, print_lines
from trml_rt.errors import lacks_package

if TYPE_CHECKING:
    from trml_export.to_bundle.export import ExportReport

__all__ = ["export"]


@click.command(
    short_help="Turn a checkpoint into a bundle.",
    epilog="Example: trml-rt export checkpoint/ --out bundle/ --weights fp16",
)
@click.argument("checkpoint", type=any_path)
@click.option("--out", type=any_path, required=True, help="Bundle to make.")
@click.option("--name", help="Name of the model.  [default: the folder's, else its backbone's]")
@click.option(
    "--weights",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="How the graphs store their weights; the arithmetic is FP32 either way.",
)
@click.option(
    "--card",
    type=any_path,
    help="Markdown file to put into the bundle as MODEL_CARD.md.",
)
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@as_json
def export(checkpoint: Path, out: Path, weights: str, as_json: bool, **arguments: Any) -> None:
    """Export a trained checkpoint to ONNX and check every graph against PyTorch."""
    refuse_absent({"CHECKPOINT": checkpoint, "--card": arguments["card"]})
    try:
        from trml_calibration.fp16_stored import store_fp16
        from trml_export.to_bundle.export import export as export_bundle
    except ImportError as error:
        raise lacks_package("exporting", error, "train") from None
    store_weights = store_fp16 if weights == "fp16" else None
    report = export_bundle(checkpoint, out, store_weights=store_weights, **arguments)
    print_json(report.to_dict()) if as_json else print_lines([_for_people(report)])


def _for_people(report: ExportReport) -> str:
    worst = max(report.parity, key=report.parity.__getitem__)
    return (
        f"exported: {report.bundle}, {report.bytes / 1e6:.1f} MB; largest difference to "
        f"PyTorch {report.parity[worst]:.1e} ({worst})"
    )
