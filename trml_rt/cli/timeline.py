"""`trml-rt timeline`: the curve of a long video, as JSON, CSV, VTT or a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
)
from trml_rt.cli.printing import print_json, print_lines

if TYPE_CHECKING:
    from trml_rt.timeline.result import Timeline

__all__ = ["timeline"]


def _segment(_: click.Context, __: click.Parameter, value: str) -> str | float:
    """Return what `trml_rt.timeline` takes; it says what is wrong with the rest."""
    try:
        return float(value)
    except ValueError:
        return value


@click.command(
    short_help="Answer along a long video and its subtitles.",
    epilog="""\b
Examples:
  trml-rt timeline v.mp4 --text v.srt --out v.html
  trml-rt timeline v.mp4 --segment 5 --out v.csv
  trml-rt timeline v.mp4 --text none --json
""",
)
@click.argument("video", type=any_path)
@click.option(
    "--text",
    metavar="FILE|embedded|none",
    help="SRT, VTT or JSON lines; embedded: the track of texts in the video.  [default: that track "
    "if there is one]",
)
@click.option(
    "--segment",
    metavar="cue|SECONDS",
    default="cue",
    show_default=True,
    callback=_segment,
    help="A segment for each text and each gap, or every so many seconds.",
)
@click.option("--out", type=any_path, help="File to write: .json, .csv, .vtt or .html.")
@click.option("--force", is_flag=True, help="Replace the file of --out.")
@bundle_option
@any_backend_option("As for `trml-rt infer`.")
@click.option("--precision", type=precision_choice, help="As for `trml-rt infer`.")
@threads_option
@signature_option
@media_limits("seconds", "frames")  # a long video takes long, and is no animation
@as_json
def timeline(
    video: Path,
    text: str | None,
    segment: str | float,
    out: Path | None,
    force: bool,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Answer along VIDEO: a row for each text and each gap, or every so many seconds.

    The page of --out FILE.html shows the video, the curve, the transcript and a table.
    """
    from trml_rt.timeline import timeline as run
    from trml_rt.timeline.files import check_out

    if out is None:
        refuse_strangers({"force"}, "without --out")
    else:
        check_out(out, force=force)
    found = run(video, text, segment=segment, limits=limits_of(arguments), **arguments)
    if out is not None:
        found.write(out, force=force)
    print_json(found.to_dict()) if as_json else print_lines(_for_people(found, out))


def _for_people(found: Timeline, out: Path | None) -> Iterator[str]:
    from trml_rt.timeline.curve import clock, spoken_of

    overall = spoken_of(found, found.overall.label, found.overall.score)
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.presence.items())
    segments = f"{len(found.rows)} segment{'s'[: len(found.rows) != 1]}"
    yield f"{overall}  over {clock(found.seconds)} in {segments}"
    yield f"  present   {shares}"
    if found.damaged:
        yield "  damaged   a part of the video could not be decoded"
    for period in found.periods:
        span = f"{clock(period.start)} to {clock(period.end)}"
        yield f"  {span:20}  {spoken_of(found, period.label, period.score)}"
    for swing in found.swings:
        words = f"{swing.labels[0]} to {swing.labels[1]}"
        inputs = "" if swing.presence[0] == swing.presence[1] else ", and the inputs change"
        yield f"  swing at {clock(swing.t):11}  {swing.change:+.2f}, {words}{inputs}"
    if out is not None:
        yield f"written: {out}"
