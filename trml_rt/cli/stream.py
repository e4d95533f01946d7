"""`trml-rt stream`: answer on a video as it goes on, and on texts as they come."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.cli.exits import ended_by_sigterm
from trml_rt.cli.logs import expect_silence
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
from trml_rt.cli.stream_view import LiveLine, lines_of_standard_input
from trml_rt.errors import EnvironmentUnfit, UsageError

if TYPE_CHECKING:
    from trml_rt.runtime import Runtime
    from trml_rt.stream.answer import StreamEvent

__all__ = ["stream"]

_SECONDS = click.FloatRange(min=0)
_OF_LOAD = ("bundle", "backend", "precision", "threads", "signed_by")


@click.command(
    short_help="Answer on a video as it goes on, and on texts.",
    epilog="""\b
Examples:
  trml-rt stream --video v.mp4 --every 0.5
  trml-rt stream --video v.mp4 --text v.srt --json
  trml-rt stream --video rtsp://camera/1 --every 1
  trml-rt stream --video v.mp4 --record s.jsonl
  trml-rt stream --replay s.jsonl
""",
)
@click.option(
    "--video",
    metavar="SOURCE",
    help="Video, picture or folder of frame pictures; /dev/videoN; rtsp://, rtsps://, http:// or "
    "https://; - or pipe:FIFO; test: for a pattern.",
)
@click.option(
    "--text",
    type=any_path,
    help="SRT, VTT or JSON lines. - reads lines of standard input, each a text or JSON.",
)
@click.option("--window", type=int, help="Frames of an answer.  [default: what the model takes]")
@click.option(
    "--every",
    type=_SECONDS,
    default=0.0,
    help="Seconds of the video between two frames that are taken.  [default: 0, all]",
)
@click.option(
    "--policy",
    type=click.Choice(("every", "freshest")),
    help="Take every frame, or let one that waits give way to the next.  [default: freshest for "
    "cameras and addresses, else every]",
)
@click.option("--buffer", type=int, help="Frames that may wait.  [default: 8; 1 with freshest]")
@click.option(
    "--max-staleness",
    type=_SECONDS,
    help="Seconds that a frame may wait.  [default: any; 0.5 with freshest]",
)
@click.option(
    "--text-hold",
    "hold",
    type=_SECONDS,
    default=5.0,
    show_default=True,
    help="Seconds that a text counts after its end.",
)
@click.option(
    "--text-offset",
    "offset",
    type=float,
    default=0.0,
    show_default=True,
    help="Seconds to add to the times of texts.",
)
@click.option(
    "--stall-after",
    type=_SECONDS,
    default=2.0,
    show_default=True,
    help="Seconds without a frame until a virtual video stands in, with freshest.",
)
@click.option(
    "--restart-after",
    type=_SECONDS,
    default=5.0,
    show_default=True,
    help="Seconds without a frame until a camera or an address is opened again.",
)
@click.option("--wait-for-source", is_flag=True, help="Go on trying to open a camera or address.")
@click.option("--isolate", is_flag=True, help="Decode a file in a process of its own, too.")
@click.option(
    "--freeze-after",
    type=_SECONDS,
    help="Seconds of equal frames until one stands in.  [default: any]",
)
@click.option("--deadline-ms", type=_SECONDS, help="How old an answer may be, in milliseconds.")
@click.option("--anytime", is_flag=True, help="Answer on the text at once, then on both.")
@video_if_needed_option
@click.option(
    "--keep-vectors/--no-keep-vectors",
    default=True,
    show_default=True,
    help="Encode each frame once, not once a window.",
)
@click.option("--record", type=any_path, help="File to write answers and frames to, for --replay.")
@click.option("--replay", type=any_path, help="Prove a record: answer on it with infer, compare.")
@bundle_option
@any_backend_option("As for `trml-rt infer`.")
@click.option("--precision", type=precision_choice, help="As for `trml-rt infer`.")
@threads_option
@signature_option
@media_limits("seconds")  # it lasts as long as it lasts
@as_json
def stream(
    video: str | None,
    text: Path | None,
    replay: Path | None,
    as_json: bool,
    **rules: Any,
) -> None:
    """Answer on a video as it goes on, and on texts as they come.

    On a terminal the answers are one line that changes. Elsewhere, and with --json, each answer
    and each event is a line of JSON, and the last line has the sum of frames.
    """
    from trml_rt.runtime import load

    options = {name: rules.pop(name) for name in _OF_LOAD}
    if replay is not None:
        refuse_strangers({*rules, "video", "text"}, "with --replay")
    elif video is None and text is None:
        raise UsageError("neither --video nor --text is given; give at least one")
    elif video in ("-", "pipe:", "pipe:-") and text == Path("-"):
        raise UsageError("--text and --video cannot both be standard input; name a file for one")
    with load(limits=limits_of(rules), **options) as runtime:
        if replay is not None:
            _replay(runtime, replay, as_json)
        else:
            expect_silence()
            on_terminal = sys.stdout is not None and sys.stdout.isatty()  # closed, it is None
            _show(runtime, video, text, as_json or not on_terminal, rules)


def _replay(runtime: Runtime, record: Path, as_json: bool) -> None:
    result = runtime.replay(record)
    if as_json:
        print_json(result.to_dict(), on_one_line=True)
    result.raise_if_unequal()
    if not as_json:
        lines = [f"{result.answers} answers are those of infer, bit for bit"]
        lines += ["the record breaks off in its last line, which is left out"] * result.cut
        print_lines(lines)


def _show(
    runtime: Runtime, video: str | None, text: Path | None, as_json: bool, rules: dict[str, Any]
) -> None:
    """Print answers and events until the stream ends."""
    texts = lines_of_standard_input() if text == Path("-") else text
    view = None if as_json else LiveLine()
    failed: list[str] = []

    def on_event(event: StreamEvent) -> None:
        if event.input == "record":
            failed.append(event.message or "")
        if view is None:
            print_json(event.to_dict(), on_one_line=True)
        else:
            view.event(event)

    with (
        runtime.stream(video, texts, on_event=on_event, **rules) as opened,
        ended_by_sigterm(opened.end),
    ):
        for answer in opened:
            if view is None:
                print_json(answer.to_dict(), on_one_line=True)
            else:
                view.answer(answer)
    totals = opened.totals
    if view is None:
        print_json({"event": "end", **totals.to_dict()}, on_one_line=True)
    else:
        view.end(totals)
    if failed:
        raise EnvironmentUnfit(failed[0])
