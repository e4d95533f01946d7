"""`trml-rt bundle`: where the bundle lies that would be used, and a copy of it."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.cli.options import Commands, any_path, as_json, bundle_option
from trml_rt.cli.printing import print_json, print_lines

__all__ = ["bundle"]


@click.group(
    cls=Commands,
    short_help="Show where the bundle lies, or copy it.",
    epilog="""\b
Examples:
  trml-rt bundle path
  trml-rt bundle copy my_bundle
""",
)
def bundle() -> None:
    """Show where the bundle lies that would be used, or copy it."""


@bundle.command(epilog="Example: trml-rt bundle path")
@as_json
def path(as_json: bool) -> None:
    """Print the folder of the bundle that commands use where none is named.

    That is $TRML_RT_BUNDLE, else the bundle that ships inside the package.
    """
    from trml_rt.bundle.folder import open_bundle

    folder = str(open_bundle().folder.absolute())
    print_json({"bundle": folder}) if as_json else print_lines([folder])


@bundle.command(
    epilog="""\b
Examples:
  trml-rt bundle copy my_bundle
  trml-rt bundle copy my_bundle --bundle bundle/ --force
"""
)
@click.argument("folder", type=any_path)
@bundle_option
@click.option("--force", is_flag=True, help="Replace a bundle that is there, with its engines.")
@as_json
def copy(folder: Path, bundle: Path, force: bool, as_json: bool) -> None:
    """Copy a bundle to FOLDER, its calibration too, and without the engines built for a device.

    The hash of every file is compared first. The copy is there whole or not at all.
    """
    from trml_rt.bundle.copy import copy_bundle

    report = copy_bundle(folder, bundle, force=force)
    words = f"copied: {report.folder}, {report.files} files, {report.bytes / 1e6:.1f} MB"
    print_json(report.to_dict()) if as_json else print_lines([words])
