"""`trml-rt export`: a checkpoint becomes a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.cli.options import any_path, as_json, print_json
from trml_rt.errors import lacks_package

__all__ = ["export"]


@click.command(epilog="Example: trml-rt export checkpoint/ --out bundle/ --weights fp16")
@click.argument("checkpoint", type=any_path)
@click.option("--out", type=any_path, required=True, help="Bundle to make.")
@click.option("--name", help="Name of the model.  [default: the checkpoint folder's]")
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
def export(
    checkpoint: Path,
    out: Path,
    name: str | None,
    weights: str,
    card: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Export a trained checkpoint to ONNX and check every graph against PyTorch."""
    try:
        from trml_calibration.fp16_stored import store_fp16
        from trml_export.to_bundle.export import export as export_bundle
    except ImportError as error:
        raise lacks_package("exporting", error, "train") from None

    report = export_bundle(
        checkpoint,
        out,
        name=name,
        store_weights=store_fp16 if weights == "fp16" else None,
        card=card,
        force=force,
    )
    if as_json:
        print_json(report)
    else:
        worst = max(report["parity"], key=report["parity"].__getitem__)
        click.echo(
            f"exported: {report['bundle']}, {report['bytes'] / 1e6:.1f} MB; largest difference to "
            f"PyTorch {report['parity'][worst]:.1e} ({worst})"
        )
