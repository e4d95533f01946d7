"""`trml-rt lint`: whether a bundle's graphs will build, seen without the device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trml_rt.cli.isolated import isolated
from trml_rt.cli.options import as_json, bundle_option
from trml_rt.cli.printing import print_json, print_lines

if TYPE_CHECKING:
    from trml_rt.lint import LintReport

__all__ = ["lint"]


@click.command(
    short_help="Look for what keeps a device from building graphs.",
    epilog="Example: trml-rt lint --bundle my_bundle",
)
@bundle_option
@as_json
@isolated
def lint(bundle: Path, as_json: bool) -> None:
    """Look for what keeps a device from building the graphs; exit 4 on an error."""
    from trml_rt.lint import lint as check_graphs

    report = check_graphs(bundle)
    print_json(report.to_dict()) if as_json else print_lines(_for_people(report))
    report.raise_for_errors()


def _for_people(report: LintReport) -> list[str]:
    lines = []
    for finding in report.findings:
        where = f"{finding.graph}: {finding.node}" if finding.node else finding.graph
        lines.append(f"{finding.level:8} {finding.rule:12} {where}: {finding.text}")
    lines.append("no errors" if report.passed else "errors")
    return lines
