"""`trml-rt build`: compile a bundle's graphs for this device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trml_rt.cli.options import as_json, bundle_option, print_json
from trml_rt.compiled import BACKENDS, PRECISIONS, RECIPES
from trml_rt.errors import EnvironmentUnfit, UsageError

if TYPE_CHECKING:
    from trml_rt.build_tensorrt import Graphs, Settings
    from trml_rt.bundle import Bundle
    from trml_rt.install import BuildReport

__all__ = ["build"]


@click.command(
    epilog="""\b
Examples:
  trml-rt build --precision fp16
  trml-rt build --backend tensorrt-rtx --target 8.9
"""
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="On ONNX Runtime fp16 is how weights are stored; on TensorRT it is computed in.",
)
@click.option("--backend", type=click.Choice(BACKENDS), default=BACKENDS[0], show_default=True)
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
@click.option("--force", is_flag=True, help="Build even if fitting engines are there.")
@as_json
def build(
    precision: str,
    backend: str,
    target: str | None,
    workspace: int,
    optimization_level: int | None,
    bundle: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Compile the bundle's graphs for this device, verify them, and install them in the bundle.

    Verified means compared with the golden files, the training framework's own answers.
    """
    from trml_rt.build_tensorrt import Settings
    from trml_rt.bundle import Bundle

    settings = Settings(backend, target, workspace, optimization_level)
    report = _build(Bundle(bundle), precision, settings, force)
    if as_json:
        print_json(
            {
                "engines": str(report.folder),
                "built": report.built,
                **report.manifest.model_dump(by_alias=True),
            }
        )
    else:
        unverified = "" if report.manifest.verified else ", not verified"
        click.echo(f"{'built' if report.built else 'already built'}: {report.folder}{unverified}")


def _build(bundle: Bundle, precision: str, settings: Settings, force: bool) -> BuildReport:
    from trml_rt.build import build as build_onnxruntime
    from trml_rt.build_tensorrt import build_tensorrt

    def progress(line: str) -> None:
        click.echo(line, err=True)

    if settings.backend != "onnxruntime":
        graphs = _graphs(precision)
        return build_tensorrt(
            bundle, precision, settings, graphs=graphs, force=force, progress=progress
        )
    if settings.target is not None:
        raise UsageError("--target is for tensorrt-rtx; ONNX Runtime builds for this machine")
    if precision not in RECIPES:
        raise UsageError(f"no {precision} on onnxruntime; choose {' or '.join(RECIPES)}")
    return build_onnxruntime(
        bundle,
        precision,  # type: ignore[arg-type]
        store_weights=_store_weights(precision),
        force=force,
        progress=progress,
    )


def _graphs(precision: str) -> Graphs | None:
    """Return what makes graphs that compute in `precision`; the bundle's own are FP32."""
    if precision == "fp32":
        return None
    raise EnvironmentUnfit(
        f"this version does not make graphs that compute in {precision}; "
        "build --precision fp32, or call trml_rt.build_tensorrt with graphs of your own"
    )


def _store_weights(precision: str) -> Callable[[Path], None] | None:
    if precision == "fp32":
        return None
    try:
        from trml_calibration.fp16 import store_fp16
    except ImportError as error:
        raise EnvironmentUnfit(
            f'fp16 engines need the package {error.name}; pip install "trml-rt[build]"'
        ) from None
    return store_fp16  # type: ignore[no-any-return]
