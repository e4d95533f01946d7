"""`trml-rt lint`: whether a bundle's graphs will build, seen without the device."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.cli.options import as_json, bundle_option, print_json
from trml_rt.errors import EnvironmentUnfit

__all__ = ["lint"]


@click.command(epilog="Example: trml-rt lint --bundle my_bundle")
@bundle_option
@as_json
def lint(bundle: Path, as_json: bool) -> None:
    """Look for what keeps a device from building the graphs; exit 4 on an error."""
    try:
        from trml_calibration.lint import lint as look
        from trml_calibration.lint import refuse_errors
    except ImportError as error:
        raise EnvironmentUnfit(
            f'lint needs the package {error.name}; pip install "trml-rt[build]"'
        ) from None
    from trml_rt.bundle.folder import Bundle

    report = look(Bundle(bundle))
    if as_json:
        print_json(report)
    else:
        for found in report["findings"]:
            where = f"{found['graph']}: {found['node']}" if found["node"] else found["graph"]
            click.echo(f"{found['level']:8} {found['rule']:12} {where}: {found['text']}")
        click.echo("no errors" if report["passed"] else "errors")
    refuse_errors(report)
