"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from trml_rt.bundle.engine_folder import BACKENDS
from trml_rt.bundle.folder import default_bundle
from trml_rt.errors import UsageError

if TYPE_CHECKING:
    from trml_rt.bundle.folder import Bundle
    from trml_rt.inputs.rows import Rows
    from trml_rt.proof.cases import Case

__all__ = [
    "any_path",
    "as_json",
    "backend_option",
    "bundle_option",
    "cases_of",
    "data_layout",
    "print_json",
    "refuse_strangers",
    "rows_of",
    "rows_option",
]

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

backend_option = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=BACKENDS[0],
    show_default=True,
    help="What the engines are built for.",
)

rows_option = click.option(
    "--rows",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="The most rows to compare on, of each kind: both inputs, text alone, video alone.",
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


def rows_of(data: Path, split: str, layout: str) -> Rows:
    """Return the rows of one split of a data set; inputs that are missing are named on stderr."""
    from trml_rt.inputs.rows import Row, Rows, read_rows

    if layout == "jsonl":
        return read_rows(data, split)
    from trml_export.config import load_config
    from trml_export.data import FORMATS, read_dataset

    config = load_config(defaults=FORMATS[layout].defaults)
    found = read_dataset(data, config, layout)
    for problem in found.problems:
        click.echo(f"left out: {problem.id}: {problem.message}", err=True)
    scored = config.task == "regression"
    rows = [
        Row(
            id=sample.id,
            split=split,
            text=sample.text,
            video=sample.video,
            score=float(sample.target) if scored else None,
            label=None if scored else config.labels[int(sample.target)],
        )
        for sample in found.samples
        if sample.split == split and (sample.text, sample.video) != (None, None)
    ]
    return Rows(tuple(rows), found.sha256, split)


def cases_of(bundle: Bundle, data: Path | None, split: str, layout: str, rows: int) -> list[Case]:
    """Return `rows` of each kind of `data` to verify on; those of no use are named on stderr."""
    if data is None:
        return []
    from trml_rt.proof.cases import row_cases

    cases, unusable = row_cases(bundle, rows_of(data, split, layout), rows)
    for line in unusable:
        click.echo(f"left out: {line}", err=True)
    if not cases:
        raise UsageError(f"{data}: no row of the split {split!r} can be used; name another --split")
    return cases


def refuse_strangers(foreign: Collection[str], subject: str) -> None:
    """Raise UsageError for options that were typed and that `subject` does not read.

    Args:
        foreign: the parameters' names, as the command's function has them.
        subject: what was asked for instead, for the message.
    """
    context = click.get_current_context()
    strangers = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in foreign
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if strangers:
        raise UsageError(f"{', '.join(strangers)}: has no meaning with {subject}; leave it out")


def print_json(content: Any) -> None:
    """Print `content` as one JSON document."""
    click.echo(json.dumps(content, indent=1, ensure_ascii=False))
