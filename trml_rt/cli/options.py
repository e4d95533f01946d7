"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from trml_rt.bundle.engine_folder import PRECISIONS
from trml_rt.bundle.folder import default_bundle
from trml_rt.errors import UsageError

__all__ = [
    "any_backend_option",
    "any_path",
    "as_json",
    "backend_option",
    "bundle_option",
    "data_layout",
    "precision_choice",
    "print_json",
    "refuse_strangers",
    "rows_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])

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
    metavar="NAME",
    default="onnxruntime",
    show_default=True,
    help="What the engines are built for: onnxruntime, tensorrt, tensorrt-rtx, or a back end of "
    "another package.",
)


def any_backend_option(words: str) -> Callable[[Command], Command]:
    """Return the option --backend of a command that also takes "auto", with `words` as its help."""
    return click.option("--backend", metavar="NAME", default="auto", show_default=True, help=words)


precision_choice = click.Choice(PRECISIONS)

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
