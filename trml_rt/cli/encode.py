"""`trml-rt encode`: what the encoders say of a data set goes into the feature cache."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.cli.logs import expect_silence
from trml_rt.cli.options import (
    any_path,
    as_json,
    data_layout,
    device_option,
    mixed_option,
    refuse_absent,
)
from trml_rt.cli.printing import print_json, print_lines, printable
from trml_rt.errors import lacks_package

if TYPE_CHECKING:
    from trml_export.features.filling import EncodeReport

__all__ = ["encode"]


@click.command(
    short_help="Fill the feature cache before training.",
    epilog="""\b
Examples:
  trml-rt encode --data clips.jsonl --backbone default --cache .trml-cache/
  torchrun --nproc-per-node 4 -m trml_rt encode --data clips.jsonl --backbone clip/ --cache c/
""",
)
@click.option("--data", type=any_path, required=True, help="Data set.")
@data_layout
@click.option("--backbone", required=True, help="What encodes, as `trml-rt train` takes it.")
@click.option("--weights", type=any_path, help="Weights of the backbone.  [default: the folder's]")
@click.option("--config", type=any_path, help="Configuration, JSON or TOML.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key.")
@click.option("--cache", type=any_path, required=True, help="Feature cache to fill.")
@device_option
@mixed_option
@as_json
def encode(
    data: Path,
    layout: str,
    backbone: str,
    config: Path | None,
    overrides: tuple[str, ...],
    cache: Path,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Encode all texts and clips of a data set into the feature cache, for `train` and `eval`.

    Under torchrun each process takes a GPU of its own and a share of the rows.
    """
    refuse_absent({"--data": data, "--config": config, "--weights": arguments["weights"]})
    _leave_words_to_the_first()
    try:
        from trml_export.config import load_config
        from trml_export.data import FORMATS

        settings = load_config(config, overrides=overrides, defaults=FORMATS[layout].defaults)
        from trml_export.features.filling import encode as fill
    except ImportError as error:
        raise lacks_package("encoding", error, "train") from None
    report = fill(data, backbone, cache, config=settings, layout=layout, **arguments)
    if report.first and as_json:
        print_json(report.to_dict())
    elif report.first:
        for problem in report.problems:
            click.echo(printable(f"{problem.id}: {problem.reason}: {problem.message}"), err=True)
        print_lines([_for_people(report)])


def _leave_words_to_the_first() -> None:
    """Silence a process that a launcher started beside the first one, but for warnings."""
    if os.environ.get("RANK", "0") != "0":
        expect_silence()
        logging.getLogger("trml_export").setLevel(logging.WARNING)


def _for_people(report: EncodeReport) -> str:
    shares = f", by {report.processes} processes" if report.processes > 1 else ""
    return (
        f"encoded: {report.cache} holds {report.texts} texts and {report.clips} clips of "
        f"{report.samples} samples; {report.seconds:.1f} s on {report.device} in "
        f"{report.encoded_in}{shares}"
    )
