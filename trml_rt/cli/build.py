"""`trml-rt build`: compile a bundle's graphs for this device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from trml_rt.cli.options import any_path, as_json, bundle_option, cases_of, print_json
from trml_rt.compiled import PRECISIONS
from trml_rt.errors import EnvironmentUnfit

if TYPE_CHECKING:
    from trml_rt.bundle import Bundle

__all__ = ["build"]

_CALLS = 15  # of each, for the advice at the end: enough to tell twice as fast from half


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
@click.option("--data", type=any_path, help="Rows to verify on, else the golden files' inputs.")
@click.option("--split", default="valid", show_default=True, help="The rows of --data to use.")
@click.option("--no-verify", is_flag=True, help="Leave it out; every answer then says so.")
@click.option("--no-bench", is_flag=True, help="int8: do not measure whether it is faster here.")
@click.option("--dry-run", is_flag=True, help="Say what would be built, and write nothing.")
@click.option("--force", is_flag=True, help="Build even if fitting engines are there.")
@as_json
def build(
    precision: Literal["fp32", "fp16", "int8"],
    bundle: Path,
    calibration: Path | None,
    data: Path | None,
    split: str,
    no_verify: bool,
    no_bench: bool,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Compile the bundle's graphs for this device, verify them, and install them in the bundle.

    On ONNX Runtime: the graphs as its optimiser leaves them, compared with the golden files and
    with FP32.
    """
    from trml_rt.build import build as build_engines
    from trml_rt.build import plan
    from trml_rt.bundle import Bundle

    opened = Bundle(bundle)
    if dry_run:
        content = plan(opened, precision, calibration)
        words = "would build" if content["would_build"] else "fits already"
        print_json(content) if as_json else click.echo(f"{words}: {content['engines']}")
        return
    report = build_engines(
        opened,
        precision,
        store_weights=_store_weights(precision),
        calibration=calibration,
        cases=None if no_verify else cases_of(opened, data, split),
        force=force,
        progress=lambda line: click.echo(line, err=True),
    )
    advice = {} if precision != "int8" or no_bench else _advice(opened, precision)
    if as_json:
        print_json(
            {
                "engines": str(report.folder),
                "built": report.built,
                **report.manifest.model_dump(by_alias=True),
                **advice,
            }
        )
        return
    click.echo(f"{'built' if report.built else 'already built'}: {report.folder}")
    if advice:
        click.echo(f"this device should run: {advice['recommended']} ({advice['because']})")


def _advice(bundle: Bundle, precision: str) -> dict[str, str]:
    """Measure on the spot whether INT8 pays: with some networks and CPUs it does not."""
    from trml_rt.bench import bench, recommend

    report = bench(
        bundle, [precision], calls=_CALLS, progress=lambda line: click.echo(line, err=True)
    )
    return dict(zip(("recommended", "because"), recommend(report), strict=True))


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
