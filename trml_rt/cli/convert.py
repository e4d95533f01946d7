"""`trml-rt convert`: MMSA's processed pickles become rows, weights of PyTorch safetensors."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.cli.options import any_path, as_json
from trml_rt.cli.printing import print_json, print_lines
from trml_rt.errors import UsageError, lacks_package

__all__ = ["convert"]


@click.command(
    short_help="Turn pickles into rows of JSON, or into weights.",
    epilog="""\b
Examples:
  trml-rt convert unaligned_50.pkl --out mosi.jsonl
  trml-rt convert weights ViT-B-32.pt --out ViT-B-32.safetensors
""",
)
@click.argument("words", metavar="[weights] FILE", nargs=-1, required=True, type=any_path)
@click.option("--out", type=any_path, required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@as_json
def convert(words: tuple[Path, ...], out: Path, force: bool, as_json: bool) -> None:
    """Convert one of MMSA's processed pickles to lines of JSON, texts alone.

    The pickles hold features of other encoders and no pictures, so only the text path can be
    trained and evaluated on what comes out. Nothing but arrays, strings and dicts is unpickled.

    With the word weights before FILE, write the tensors of a checkpoint of PyTorch, or of an
    archive of TorchScript, as safetensors. Nothing of it is run, and nothing is downloaded.
    """
    *kind, source = words
    if kind == [Path("weights")]:
        _weights(source, out, force, as_json)
        return
    if kind:
        raise UsageError("convert: give one FILE, or the word weights and one FILE")
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


def _weights(source: Path, out: Path, force: bool, as_json: bool) -> None:
    try:
        from trml_export.backbone.torch_files import convert_weights
    except ImportError as error:
        raise lacks_package("converting weights", error, "train") from None

    count = convert_weights(source, out, force=force)
    if as_json:
        print_json({"out": str(out), "tensors": count})
        return
    print_lines([f"{out}: {count} tensors; pass it to --weights"])
