"""`trml-rt build`: compile a bundle's graphs for this device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from trml_rt.bundle.engine_folder import PRECISIONS, open_compiled
from trml_rt.cli.options import (
    any_path,
    as_json,
    backend_option,
    bundle_option,
    cases_of,
    data_layout,
    print_json,
    refuse_strangers,
    rows_option,
)
from trml_rt.errors import EnvironmentUnfit

if TYPE_CHECKING:
    from trml_rt.backends.tensorrt.plans import Graphs
    from trml_rt.bundle.calibration import Calibrated
    from trml_rt.bundle.folder import Bundle
    from trml_rt.engines.install import BuildReport

__all__ = ["build"]

_CALLS = 15  # of each, for the advice at the end: enough to tell twice as fast from half

# Options that would be ignored on ONNX Runtime, or for a GPU that is elsewhere.
_TENSORRT = {"target", "workspace", "optimization_level"}
_ON_DEVICE = {"data", "layout", "split", "rows", "no_bench"}


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
    type=click.Choice(PRECISIONS),
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
    type=click.IntRange(1, 1 << 20),
    default=1024,
    show_default=True,
    help="TensorRT: the most scratch memory of a kernel, in MiB.",
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
@click.option("--no-verify", is_flag=True, help="Leave it out; every answer then says so.")
@click.option("--no-bench", is_flag=True, help="int8: do not measure whether it is faster here.")
@click.option("--dry-run", is_flag=True, help="Say what would be built, and write nothing.")
@click.option("--force", is_flag=True, help="Build even if fitting engines are there.")
@as_json
def build(
    precision: str,
    backend: str,
    target: str | None,
    workspace: int,
    optimization_level: int | None,
    bundle: Path,
    calibration: Path | None,
    data: Path | None,
    layout: str,
    split: str,
    rows: int,
    no_verify: bool,
    no_bench: bool,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Compile the bundle's graphs for this device, verify them, and install them in the bundle.

    Verified means compared with the golden files, the training framework's own answers, and with
    the FP32 graphs on the same inputs.
    """
    from trml_rt.backends.tensorrt.plans import Settings, build_tensorrt, plan_tensorrt
    from trml_rt.build import build as build_onnxruntime
    from trml_rt.build import plan
    from trml_rt.bundle.calibration import open_calibration
    from trml_rt.bundle.folder import Bundle

    opened, on_cpu = Bundle(bundle), backend == "onnxruntime"
    if on_cpu:
        refuse_strangers(_TENSORRT, backend)
    if target is not None:
        refuse_strangers(_ON_DEVICE, "--target")
    known = cast(Literal["fp32", "fp16", "int8"], precision)
    settings = Settings(backend, target, workspace, optimization_level)
    if dry_run:
        if on_cpu:
            content = plan(opened, known, calibration, verified=not no_verify)
        else:
            content = plan_tensorrt(
                opened, precision, settings, calibration, verified=not no_verify
            )
        words = "would build" if content["would_build"] else "fits already"
        print_json(content) if as_json else click.echo(f"{words}: {content['engines']}")
        return
    cases = None if no_verify else cases_of(opened, data, split, layout, rows)
    if on_cpu:
        report = build_onnxruntime(
            opened,
            known,
            store_weights=_store_weights(precision),
            calibration=calibration,
            cases=cases,
            force=force,
            progress=_progress,
        )
    else:
        calibrated = open_calibration(opened, calibration) if precision == "int8" else None
        report = build_tensorrt(
            opened,
            precision,
            settings,
            graphs=_graphs(opened, precision, calibrated),
            calibrated=calibrated,
            cases=cases,
            force=force,
            progress=_progress,
        )
    advised = precision == "int8" and target is None and not no_bench
    _print(report, _advice(opened, backend) if advised else {}, as_json)


def _print(report: BuildReport, advice: dict[str, str], as_json: bool) -> None:
    if as_json:
        manifest: dict[str, Any] = report.manifest.model_dump(by_alias=True)
        print_json({"engines": str(report.folder), "built": report.built, **manifest, **advice})
        return
    unverified = "" if open_compiled(report.folder).verified() else ", not verified"
    click.echo(f"{'built' if report.built else 'already built'}: {report.folder}{unverified}")
    if advice:
        click.echo(f"this device should run: {advice['recommended']} ({advice['because']})")


def _progress(line: str) -> None:
    click.echo(line, err=True)


def _graphs(bundle: Bundle, precision: str, calibrated: Calibrated | None) -> Graphs | None:
    """Return what makes graphs that compute in `precision`; the bundle's own are FP32.

    FP16: every graph, with FP32 islands. INT8: so too, but the encoders are the calibrated ones.
    """
    if precision == "fp32":
        return None
    try:
        from trml_calibration.fp16_computed import to_fp16
    except ImportError as error:
        raise _lacks(precision, error) from None
    from trml_rt.backends.tensorrt.plans import Graph
    from trml_rt.bundle.calibration import source_of
    from trml_rt.proof.golden import golden_inputs

    def graph(engine: str, folder: Path) -> Graph:
        source, form = source_of(bundle, engine, calibrated, "portable")
        target = folder / f"{engine}.onnx"
        islands = to_fp16(source, target, feeds=golden_inputs(bundle, engine))
        return Graph(target, "fp16" if form is None else "int8", islands)

    return graph


def _advice(bundle: Bundle, backend: str) -> dict[str, str]:
    """Measure on the spot whether INT8 pays: with some networks and devices it does not.

    A GPU runs FP16 unless INT8 is faster, so there all that is built competes.
    """
    from trml_rt.bench import bench, recommend

    precisions = ["int8"] if backend == "onnxruntime" else None
    report = bench(bundle, precisions, backend=backend, calls=_CALLS, progress=_progress)
    return dict(zip(("recommended", "because"), recommend(report), strict=True))


def _store_weights(precision: str) -> Callable[[Path], None] | None:
    if precision == "fp32":
        return None
    try:
        from trml_calibration.fp16_stored import store_fp16
    except ImportError as error:
        raise _lacks(precision, error) from None
    return store_fp16  # type: ignore[no-any-return]


def _lacks(precision: str, error: ImportError) -> EnvironmentUnfit:
    return EnvironmentUnfit(
        f'{precision} engines need the package {error.name}; pip install "trml-rt[build]"'
    )
