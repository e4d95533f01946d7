"""`trml-rt config`: every key of a training configuration, with its meaning."""

from __future__ import annotations

import json

import click

from trml_rt.cli.options import as_json
from trml_rt.cli.printing import print_json, print_lines
from trml_rt.errors import lacks_package

__all__ = ["config"]


@click.command(
    short_help="Print every key of a training configuration.",
    epilog="""\b
Examples:
  trml-rt config
  trml-rt config epochs
""",
)
@click.argument("key", required=False)
@as_json
def config(key: str | None, as_json: bool) -> None:
    """Print the keys that --set and --config of training take: default, type and meaning."""
    try:
        from trml_export.config_keys import config_keys
    except ImportError as error:
        raise lacks_package("the configuration of training", error, "train") from None
    keys = config_keys(key)
    if as_json:
        print_json([entry.to_dict() for entry in keys])
        return
    for entry in keys:
        default = json.dumps(entry.default)
        print_lines([f"{entry.key} = {default}", f"    {entry.meaning} ({entry.type})"])
