"""`trml-rt build`: compile a bundle's graphs for this device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click

from trml_rt.cli.options import any_path, as_json, bundle_option, print_json
from trml_rt.compiled import PRECISIONS
from trml_rt.errors import EnvironmentUnfit

__all__ = ["build"]


@click.command(epilog="Example: trml-rt build --precision fp16")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="fp16: weights stored in FP16, arithmetic in FP32. int8: encoders by a calibration.",
)
@bundle_option
@click.option(
    "--calibration", type=any_path, help="Of `trml-rt calibrate`.  [default: the bundle's own]"
)
@click.option("--force", is_flag=True, help="Build even if fitting engines are there.")
@as_json
def build(
    precision: Literal["fp32", "fp16", "int8"],
    bundle: Path,
    calibration: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compile the bundle's graphs for this device, verify them, and install them in the bundle.

    On ONNX Runtime: the graphs as its optimiser leaves them, compared with the golden files.
    """
    from trml_rt.build import build as build_engines
    from trml_rt.bundle import Bundle

    report = build_engines(
        Bundle(bundle),
        precision,
        store_weights=_store_weights(precision),
        calibration=calibration,
        force=force,
        progress=lambda line: click.echo(line, err=True),
    )
    if as_json:
        print_json(
            {
                "engines": str(report.folder),
                "built": report.built,
                **report.manifest.model_dump(by_alias=True),
            }
        )
    else:
        click.echo(f"{'built' if report.built else 'already built'}: {report.folder}")


def _store_weights(precision: str) -> Callable[[Path], None] | None:
    if precision == "fp32":
        return None
    try:
        from trml_calibration.fp16 import store_fp16
    except ImportError as error:
        raise EnvironmentUnfit(
            f'{precision} engines need the package {error.name}; pip install "trml-rt[build]"'
        ) from None
    return store_fp16  # type: ignore[no-any-return]
