"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from trml_rt.bundle.arguments import DEVICES, LAYOUTS, WHOLE, refuse_unread
from trml_rt.bundle.engine_folder import PRECISIONS
from trml_rt.bundle.folder import default_bundle
from trml_rt.errors import UsageError
from trml_rt.inputs.limits import DEFAULT_LIMITS, MediaLimits

__all__ = [
    "Commands",
    "any_backend_option",
    "any_path",
    "as_json",
    "backend_option",
    "bundle_option",
    "data_layout",
    "device_option",
    "limits_of",
    "media_limits",
    "mixed_option",
    "of_data",
    "precision_choice",
    "refuse_absent",
    "refuse_repeats",
    "refuse_strangers",
    "rows_option",
    "signature_option",
    "threads_option",
    "typed_words",
    "video_if_needed_option",
    "whole",
    "wholes",
]

Command = TypeVar("Command", bound=Callable[..., Any])


_WORDS, _RUNS = f"{__name__}.words", f"{__name__}.runs"


def typed_words() -> list[str]:
    """Return the command that runs, as it was typed: its name, and the words after it."""
    return list(click.get_current_context().meta[_WORDS])


class Commands(click.Group):
    """A group of commands; what no option of any of them may be is refused here, once.

    An error about an argument calls it by its option: `--max-seconds`, where Python has `seconds`.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            command = ctx.meta.get(_RUNS)
            if command is not None:
                error.args = (_as_typed(str(error), command, ctx.meta[_WORDS]),)
            raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, and refuse options of it that are repeated or empty."""
        ctx.meta[_WORDS] = list(args)
        name, command, words = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:
            refuse_repeats(click.Context(command, ctx, name), words)
            ctx.meta[_RUNS] = command
        return name, command, words


def _as_typed(message: str, command: click.Command, words: list[str]) -> str:
    """Return a message that begins with the name of an argument with its option in that place."""
    name, colon, rest = message.partition(": ")
    if not colon or any(name == str(Path(word.rpartition("=")[2])) for word in words):
        return message  # it begins with the name of a file that was typed
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name == name:
            return f"{parameter.opts[0]}: {rest}"
    return message


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
    help="What the engines are built for: onnxruntime, openvino, tensorrt, tensorrt-rtx, or a back "
    "end of another package.",
)


def any_backend_option(words: str) -> Callable[[Command], Command]:
    """Return the option --backend of a command that also takes "auto", with `words` as its help."""
    return click.option("--backend", metavar="NAME", default="auto", show_default=True, help=words)


precision_choice = click.Choice(PRECISIONS)


def whole(name: str) -> click.IntRange:
    """Return the type of an option whose limits are those of the argument `name`."""
    low, high = WHOLE[name]
    return click.IntRange(low, high)


def wholes(
    name: str,
) -> Callable[[click.Context, click.Parameter, str | None], list[int]]:
    """Return what reads an option of numbers between commas, within the limits of an argument."""
    each = whole(name)

    def read(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int]:
        words: list[Any] = [] if value is None else value.split(",")
        return [each.convert(word.strip(), param, ctx) for word in words]

    return read


threads_option = click.option(
    "--threads", type=whole("threads"), help="CPU threads an engine may use."
)

signature_option = click.option(
    "--require-signature",
    "signed_by",
    type=any_path,
    metavar="KEY",
    help="Answer only if the bundle is signed, with the private key to this public one.",
)

_LIMITS = {
    "pixels": "--max-pixels: Pixels of a picture or frame.",
    "frames": "--max-frames: Frames of an animation.",
    "file_mib": "--max-file: MiB of the file, or of standard input.",
    "seconds": "--max-seconds: Seconds that decoding may take.",
    "memory_mib": "--max-memory: MiB of memory that decoding may take.",
}


def media_limits(*uncounted: str) -> Callable[[Command], Command]:
    """Return what gives a command the options for what a clip may cost, but `uncounted` ones.

    `limits_of` takes them out again.
    """

    def add(command: Command) -> Command:
        for name, words in reversed(_LIMITS.items()):
            flag, text = words.split(": ")
            default = getattr(DEFAULT_LIMITS, name)
            if name not in uncounted:
                command = click.option(
                    flag, name, type=type(default), default=default, show_default=True, help=text
                )(command)
        return command

    return add


def limits_of(arguments: dict[str, Any]) -> MediaLimits:
    """Return what the options of `media_limits` say, and take them out of `arguments`."""
    return MediaLimits(**{name: arguments.pop(name) for name in _LIMITS if name in arguments})


rows_option = click.option(
    "--rows",
    type=whole("rows"),
    default=512,
    show_default=True,
    help="The most rows to compare on, of each kind: both inputs, text alone, video alone.",
)

data_layout = click.option(
    "--format",
    "layout",
    type=click.Choice(LAYOUTS),
    default="jsonl",
    show_default=True,
    help="Layout of the data set: JSON lines or a .csv or .tsv table, CMU-MOSI and -MOSEI as "
    "MMSA has them, or MELD.",
)

device_option = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="What encodes and trains: auto takes a GPU if PyTorch finds one.",
)

mixed_option = click.option(
    "--mixed",
    is_flag=True,
    help="Encode in half precision, held against FP32 on the first rows.",
)

of_data = ("layout", "split", "rows")
"""The options that say how --data is read, and mean nothing without it."""

video_if_needed_option = click.option(
    "--video-if-needed",
    is_flag=True,
    help="Leave video out where the text is sure, by what `trml-rt calibrate-need` found.",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def refuse_absent(paths: Mapping[str, Path | None]) -> None:
    """Raise UsageError for a path that does not exist, before an import that takes seconds.

    Args:
        paths: by the name of the option; None where it was not given.
    """
    for option, path in paths.items():
        try:
            exists = path is None or path.exists()
        except PermissionError:  # what may not be looked at is for the library to refuse
            exists = True
        except OSError as error:  # a name that is too long
            raise UsageError(f"{path}: {error.strerror}; correct {option}") from None
        if not exists:
            raise UsageError(f"{path}: does not exist; correct {option}")


def refuse_repeats(context: click.Context, words: list[str]) -> None:
    """Raise UsageError for an option that is given twice, or whose value is empty.

    Args:
        context: of the command.
        words: what was typed after its name.
    """
    values, _, order = context.command.make_parser(context).parse_args(args=list(words))
    for parameter in order:
        shown = (
            parameter.opts[0]
            if isinstance(parameter, click.Option)
            else parameter.human_readable_name
        )
        if order.count(parameter) > 1 and not (parameter.multiple or parameter.is_eager):
            raise UsageError(f"{shown}: is given {order.count(parameter)} times; give it once")
        value = values.get(parameter.name or "")
        if "" in (value if isinstance(value, list) else [value]):
            raise UsageError(f"{shown}: is empty; give a value, or leave it out")


def refuse_strangers(foreign: Collection[str], why: str) -> None:
    """Raise UsageError for options that were typed and would not be read.

    Args:
        foreign: the parameters' names, as the command's function has them.
        why: what was asked for instead, such as "with --target".
    """
    context = click.get_current_context()
    strangers = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in foreign
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    refuse_unread(strangers, why)
