"""`trml-rt sample-data`: a small made data set, to try the training side on."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.cli.options import any_path, as_json
from trml_rt.cli.printing import print_json, print_lines
from trml_rt.errors import lacks_package

__all__ = ["sample_data"]


@click.command(
    name="sample-data",
    short_help="Make a small data set, to try training on.",
    epilog="Example: trml-rt sample-data made/",
)
@click.argument("folder", type=any_path)
@click.option("--force", is_flag=True, help="Replace an existing data set.")
@as_json
def sample_data(folder: Path, force: bool, as_json: bool) -> None:
    """Make a small data set of drawn faces and template sentences, to try training on."""
    try:
        from trml_export.data.sample_data import ROWS, make_sample_data
    except ImportError as error:
        raise lacks_package("making sample data", error, "train") from None
    path = make_sample_data(folder, force=force)
    if as_json:
        print_json({"data": str(path), "rows": ROWS})
    else:
        print_lines([f"made: {path}, {ROWS} rows of drawn faces and template sentences"])
