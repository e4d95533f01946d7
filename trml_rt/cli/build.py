"""`trml-rt build`: compile a bundle's graphs for this device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.cli.options import (
    any_path,
    as_json,
    backend_option,
    bundle_option,
    data_layout,
    precision_choice,
    print_json,
    refuse_strangers,
    rows_option,
)

if TYPE_CHECKING:
    from trml_rt.build import BuildReport
    from trml_rt.bundle.engine_folder import Precision

__all__ = ["build"]

# Options that would be ignored for a GPU that is elsewhere: nothing runs there.
_ON_DEVICE = {"data", "layout", "split", "rows", "bench"}


@click.command(
    epilog="""\b
Examples:
  trml-rt build --precision fp16
  trml-rt build --precision int8 --calibration calibration/
  trml-rt build --backend tensorrt-rtx --target 8.9
"""
)
@click.option(
    "--precision",
    type=precision_choice,
    default="fp32",
    show_default=True,
    help="On ONNX Runtime fp16 is how weights are stored, and int8 is of the encoders; on "
    "TensorRT it is what is computed in. int8 needs a calibration.",
)
@backend_option
@click.option(
    "--target",
    metavar="X.Y",
    help="Compute capability of a GPU that is not here; tensorrt-rtx only. Not verified.",
)
@click.option(
    "--workspace",
    "workspace_mib",
    type=click.IntRange(1, 1 << 20),
    help="TensorRT: the most scratch memory of a kernel, in MiB.  [default: 1024]",
)
@click.option(
    "--optimization-level", type=click.IntRange(0, 5), help="TensorRT: how long it may search."
)
@bundle_option
@click.option(
    "--calibration", type=any_path, help="Of `trml-rt calibrate`.  [default: the bundle's own]"
)
@click.option("--data", type=any_path, help="Rows to verify on, else the golden files' inputs.")
@data_layout
@click.option("--split", default="valid", show_default=True, help="The rows of --data to use.")
@rows_option
@click.option("--verify/--no-verify", default=True, help="Without it every answer says so.")
@click.option("--bench/--no-bench", default=True, help="int8: measure whether it is faster here.")
@click.option("--dry-run", is_flag=True, help="Say what would be built, and write nothing.")
@click.option("--force", is_flag=True, help="Build even if fitting engines are there.")
@as_json
def build(
    bundle: Path,
    precision: Precision,
    target: str | None,
    workspace_mib: int | None,
    optimization_level: int | None,
    bench: bool,
    dry_run: bool,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Compile the bundle's graphs for this device, verify them, and install them in the bundle.

    Verified means compared with the golden files, the training framework's own answers, and with
    the FP32 graphs on the same inputs.
    """
    from trml_rt.backends import CompileOptions
    from trml_rt.build import build as compile_engines
    from trml_rt.build import preview_build

    if target is not None:
        refuse_strangers(_ON_DEVICE, "--target")
    arguments["options"] = CompileOptions(target, workspace_mib, optimization_level)
    if dry_run:
        shared = ("backend", "options", "calibration", "verify")
        preview = preview_build(bundle, precision, **{name: arguments[name] for name in shared})
        words = "would build" if preview.would_build else "fits already"
        print_json(preview.to_dict()) if as_json else click.echo(f"{words}: {preview.engines}")
        return
    advise = bench and precision == "int8" and target is None
    report = compile_engines(bundle, precision, advise=advise, **arguments)
    print_json(report.to_dict()) if as_json else click.echo(_for_people(report))


def _for_people(report: BuildReport) -> str:
    unverified = "" if report.verified else ", not verified"
    lines = [f"{'built' if report.built else 'already built'}: {report.folder}{unverified}"]
    if report.recommended is not None:
        lines.append(f"this device should run: {report.recommended} ({report.because})")
    return "\n".join(lines)
