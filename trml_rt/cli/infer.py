"""`trml-rt infer`: answer on a text, a video, or both; or on an archive of rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from trml_rt.cli import infer_job
from trml_rt.cli.isolated import isolated_by
from trml_rt.cli.options import (
    any_backend_option,
    any_path,
    as_json,
    bundle_option,
    limits_of,
    media_limits,
    precision_choice,
    refuse_strangers,
    signature_option,
    threads_option,
    video_if_needed_option,
)
from trml_rt.cli.printing import print_json, print_lines
from trml_rt.errors import UsageError

if TYPE_CHECKING:
    from trml_rt.answer import Answer

__all__ = ["infer"]


@click.command(
    short_help="Answer on a text, a video, or both.",
    epilog="""\b
Examples:
  trml-rt infer --text t.txt --video v.mp4
  trml-rt infer --text "what a day"
  trml-rt infer --video face.jpg --json
  trml-rt infer --text t.txt --jsonl >> answers.jsonl
  trml-rt infer --data rows.jsonl --out answers.csv
""",
)
@click.option(
    "--text", help="The text itself, or the name of a UTF-8 file. - reads standard input."
)
@click.option(
    "--text-file",
    type=any_path,
    help="UTF-8 text file, whatever its name. - reads standard input.",
)
@click.option(
    "--video",
    type=any_path,
    help="Video, picture, or folder of frame pictures. - reads standard input.",
)
@bundle_option
@any_backend_option(
    "auto: the engines that a build found fastest here, else those of TensorRT or of another "
    "package's back end, if they fit this device and are verified; else ONNX Runtime."
)
@click.option(
    "--precision",
    type=precision_choice,
    help="Use the engines of this precision, made by `trml-rt build`.  [default: the best that the "
    "back end takes unasked, else the portable graphs]",
)
@threads_option
@signature_option
@click.option("--degrade", is_flag=True, help="Count an unusable input as missing; say so.")
@click.option(
    "--isolate",
    is_flag=True,
    help="Decode in a process of its own, which may crash, hang or swell at the cost of one error.",
)
@isolated_by("--isolate-bundle")
@video_if_needed_option
@media_limits()
@infer_job.job_options
@as_json
@click.option("--jsonl", "as_jsonl", is_flag=True, help="Print JSON on one line.")
def infer(
    text: str | None,
    text_file: Path | None,
    video: Path | None,
    data: Path | None,
    degrade: bool,
    isolate: bool,
    video_if_needed: bool,
    as_json: bool,
    as_jsonl: bool,
    **arguments: Any,
) -> None:
    """Answer on a text, a video, or both; a missing one is replaced by a virtual one.

    With --data, answer on each row of an archive, and write the answers to --out. A job that was
    stopped goes on when it is started again. It exits 7 if rows have an error.
    """
    from trml_rt.runtime import load

    if data is not None:
        single = {"text", "text_file", "video", "isolate", "video_if_needed", "as_jsonl"}
        refuse_strangers(single, "with --data")
        limits = limits_of(arguments)
        infer_job.run(data, degrade=degrade, as_json=as_json, limits=limits, **arguments)
        return
    refuse_strangers(infer_job.JOB, "without --data")
    inputs = _inputs(text, text_file, video)
    options = {name: value for name, value in arguments.items() if name not in infer_job.JOB}
    with load(limits=limits_of(options), **options) as runtime:
        answer = runtime.infer(
            **inputs, degrade=degrade, isolate=isolate, video_if_needed=video_if_needed
        )
    if as_json or as_jsonl:
        print_json(answer.to_dict(), on_one_line=as_jsonl)
    else:
        print_lines(_for_people(answer))


def _inputs(text: str | None, text_file: Path | None, video: Path | None) -> dict[str, Any]:
    """Return what was typed as arguments of `Runtime.infer`; "-" is standard input."""
    from trml_rt.inputs.text import read_stream, text_or_file

    if text is not None and text_file is not None:
        raise UsageError("--text and --text-file are both given; give one")
    option = "--text" if text_file is None else "--text-file"
    piped = text == "-" or text_file == Path("-")
    if piped and video == Path("-"):
        raise UsageError(f"{option} and --video cannot both be standard input; name a file for one")
    words: str | Path | None = text_file
    if piped:
        words = read_stream(_standard_input(option), "standard input")
    elif text is not None:
        words = text_or_file(text)
    return {"text": words, "video": _standard_input("--video") if video == Path("-") else video}


def _standard_input(option: str) -> BinaryIO:
    if sys.stdin is None:  # as `<&-` of a shell, or a service without one, leaves it
        raise UsageError(f"{option} -: standard input is closed; name a file")
    return sys.stdin.buffer


def _for_people(answer: Answer) -> list[str]:
    lines = [str(answer)]
    lines += [f"  {name:5}  {report}" for name, report in answer.inputs.items()]
    lines.append(
        f"  engine set {answer.engine_set} on {answer.backend}, {answer.engines} engines"
        f"{'' if answer.verified else ' (unverified)'}, {answer.ms['total']:.1f} ms"
    )
    return lines
