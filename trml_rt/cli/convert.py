"""`trml-rt convert`: MMSA's processed pickles become rows of JSON lines."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.cli.options import any_path, as_json
from trml_rt.cli.printing import print_json, print_lines
from trml_rt.errors import lacks_package

__all__ = ["convert"]


@click.command(
    short_help="Turn MMSA's processed pickles into rows of JSON.",
    epilog="Example: trml-rt convert unaligned_50.pkl --out mosi.jsonl",
)
@click.argument("source", metavar="PICKLE", type=any_path)
@click.option("--out", type=any_path, required=True, help="JSONL file to write.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@as_json
def convert(source: Path, out: Path, force: bool, as_json: bool) -> None:
    """Convert one of MMSA's processed pickles to lines of JSON, texts alone.

    The pickles hold features of other encoders and no pictures, so only the text path can be
    trained and evaluated on what comes out. Nothing but arrays, strings and dicts is unpickled.
    """
    try:
        from trml_export.data.processed import convert_file
    except ImportError as error:
        raise lacks_package("converting", error, "train") from None

    count, blank = convert_file(source, out, force=force)
    if as_json:
        print_json({"out": str(out), "samples": count, "left_out": blank})
        return
    left_out = f", {blank} left out for a blank text" if blank else ""
    print_lines([f"{out}: {count} samples{left_out}; texts alone, there are no pictures in it"])
