"""Options that several commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from trml_rt.bundle import default_bundle

__all__ = ["any_path", "as_json", "bundle_option", "data_layout", "print_json"]

# A file that is absent or may not be read is for the library to refuse, with its exit code.
any_path = click.Path(path_type=Path, readable=False)

bundle_option = click.option(
    "--bundle",
    type=any_path,
    envvar="TRML_RT_BUNDLE",
    default=default_bundle,
    show_default="$TRML_RT_BUNDLE, else the bundle that ships inside the package",
    help="Folder of the bundle.",
)

data_layout = click.option(
    "--format",
    "layout",
    type=click.Choice(["jsonl", "mmsa", "meld"]),
    default="jsonl",
    show_default=True,
    help="Layout of the data set: one JSON object a line, CMU-MOSI and -MOSEI as MMSA has "
    "them, or MELD.",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def print_json(content: Any) -> None:
    """Print `content` as one JSON document."""
    click.echo(json.dumps(content, indent=1, ensure_ascii=False))
