"""`trml-rt doctor`: whether this machine is fit."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.bundle.engine_folder import BACKENDS
from trml_rt.cli.options import as_json, bundle_option, print_json
from trml_rt.errors import EnvironmentUnfit

__all__ = ["doctor"]


@click.command(epilog="Example: trml-rt doctor --backend tensorrt")
@click.option(
    "--backend",
    type=click.Choice(["auto", *BACKENDS]),
    default="auto",
    show_default=True,
    help="What the machine must be fit for; auto needs no GPU.",
)
@bundle_option
@as_json
def doctor(backend: str, bundle: Path, as_json: bool) -> None:
    """Check this machine, installation and bundle; exit 3 when something required is missing."""
    from trml_rt.doctor import diagnose

    report = diagnose(bundle, backend)
    if as_json:
        print_json(report)
    else:
        for check in report["checks"]:
            mark = "ok" if check["ok"] else "MISSING" if check["required"] else "absent"
            remedy = f"  ({check['remedy']})" if check["remedy"] else ""
            click.echo(f"{mark:8} {check['name']}: {check['found']}{remedy}")
        click.echo("fit" if report["fit"] else "not fit")
    if not report["fit"]:
        failed = [
            f"{check['name']} ({check['found']})"
            for check in report["checks"]
            if check["required"] and not check["ok"]
        ]
        raise EnvironmentUnfit(f"this machine is not fit: {'; '.join(failed)}")
