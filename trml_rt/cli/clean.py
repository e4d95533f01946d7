"""`trml-rt clean`: remove engines that were built for a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trml_rt.cli.options import as_json, bundle_option
from trml_rt.cli.printing import print_json, print_lines

if TYPE_CHECKING:
    from trml_rt.engines.clean import CleanReport

__all__ = ["clean"]


@click.command(
    short_help="Remove engines that were built for a bundle.",
    epilog="""\b
Examples:
  trml-rt clean --unfit
  trml-rt clean --bundle bundle/ --dry-run
""",
)
@bundle_option
@click.option(
    "--unfit",
    is_flag=True,
    help="Only engines that do not fit this device or this bundle, or are damaged.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@as_json
def clean(bundle: Path, unfit: bool, dry_run: bool, as_json: bool) -> None:
    """Remove the engines that were built for a bundle, beside it and in the cache.

    The bundle itself stays as it is, and `trml-rt build` builds the engines again.
    """
    from trml_rt.engines.clean import clean as remove

    report = remove(bundle, unfit=unfit, dry_run=dry_run)
    print_json(report.to_dict()) if as_json else print_lines(_for_people(report, dry_run))


def _for_people(report: CleanReport, dry_run: bool) -> list[str]:
    done, freed = ("would remove", "would free") if dry_run else ("removed", "freed")
    lines = [f"{done}: {folder}" for folder in report.removed]
    lines += [f"kept: {folder} ({why})" for folder, why in report.kept.items()]
    return [*lines, f"{freed} {report.bytes / 1e6:.1f} MB"]
