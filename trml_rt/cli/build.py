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
    of_data,
    precision_choice,
    refuse_strangers,
    rows_option,
    whole,
)
from trml_rt.cli.printing import print_json, print_lines

if TYPE_CHECKING:
    from trml_rt.build import BuildPreview, BuildReport
    from trml_rt.bundle.engine_folder import Precision

__all__ = ["build"]


@click.command(
    short_help="Compile engines for this device, and verify them.",
    epilog="""\b
Examples:
  trml-rt build --precision fp16
  trml-rt build --precision int8 --calibration calibration/
  trml-rt build --backend openvino --precision fp16
  trml-rt build --backend tensorrt-rtx --target 8.9
""",
)
@click.option(
    "--precision",
    type=precision_choice,
    default="fp32",
    show_default=True,
    help="On ONNX Runtime fp16 is how weights are stored, and int8 is of the encoders; on "
    "OpenVINO and TensorRT it is what is computed in. int8 needs a calibration.",
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
    type=whole("workspace_mib"),
    help="TensorRT: the most scratch memory of a kernel, in MiB.  [default: 1024]",
)
@click.option(
    "--optimization-level",
    type=whole("optimization_level"),
    help="TensorRT: how long it may search.",
)
@click.option(
    "--memory-check/--no-memory-check",
    default=None,
    help="TensorRT: refuse to compile where memory may not suffice.  [default: --memory-check]",
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
@click.option(
    "--bench/--no-bench",
    default=None,
    help="Measure whether it is faster here; `auto` of infer takes what was fastest.  [default: "
    "--bench for int8, and on openvino]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be built, and write nothing.")
@click.option("--force", is_flag=True, help="Build even if fitting engines are there.")
@as_json
def build(
    bundle: Path,
    precision: Precision,
    target: str | None,
    workspace_mib: int | None,
    optimization_level: int | None,
    memory_check: bool | None,
    bench: bool | None,
    dry_run: bool,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Compile the bundle's graphs for this device, verify them, and install them.

    Engines lie in the bundle, or in the cache $TRML_RT_CACHE, else in ~/.cache/trml-rt. There lie
    those of the bundle that ships inside the package, and of a bundle that cannot be written.

    Verified means compared with the golden files, the training framework's own answers, and with
    the FP32 graphs on the same inputs.
    """
    from trml_rt.backends import CompileOptions, row_of
    from trml_rt.build import build as compile_engines
    from trml_rt.build import preview_build

    _refuse_unread(target, **arguments)
    arguments["options"] = CompileOptions(target, workspace_mib, optimization_level, memory_check)
    if dry_run:
        shared = ("backend", "options", "calibration", "verify", "force")
        preview = preview_build(bundle, precision, **{name: arguments[name] for name in shared})
        print_json(preview.to_dict()) if as_json else print_lines(_foretold(preview, precision))
        return
    if bench is None:
        by_bench = precision == "int8" or row_of(arguments["backend"]).by_bench
        bench = by_bench and target is None
    report = compile_engines(bundle, precision, advise=bench, **arguments)
    print_json(report.to_dict()) if as_json else print_lines(_for_people(report))


def _refuse_unread(target: str | None, verify: bool, data: Path | None, **_: Any) -> None:
    if target is not None:  # nothing runs on a GPU that is elsewhere
        refuse_strangers({"data", *of_data, "bench"}, "with --target")
    if not verify:
        refuse_strangers({"data", *of_data}, "with --no-verify")
    if data is None:
        refuse_strangers(of_data, "without --data")


def _foretold(preview: BuildPreview, precision: Precision) -> list[str]:
    words = "would build" if preview.would_build else "fits already"
    half = None if precision == "fp32" else preview.built_for.get("half precision")
    return [
        f"{words}: {preview.engines}",
        *([] if half is None else [f"half precision of this CPU: {half}"]),
    ]


def _for_people(report: BuildReport) -> list[str]:
    unverified = "" if report.verified else ", not verified"
    lines = [f"{'built' if report.built else 'already built'}: {report.folder}{unverified}"]
    if report.recommended is not None:
        lines.append(f"this device should run: {report.recommended} ({report.because})")
    return lines
