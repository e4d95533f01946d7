"""Make a timeline: cut a video into segments, and answer on each with its text and its frames."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from trml_rt.answer import Reason
from trml_rt.backends.process import usable_cores
from trml_rt.bundle.arguments import path_of
from trml_rt.bundle.engine_folder import Precision
from trml_rt.bundle.folder import BundleLike
from trml_rt.errors import InputUnusable, UsageError
from trml_rt.inputs.clip import choose_times
from trml_rt.inputs.limits import DEFAULT_LIMITS, MediaLimits
from trml_rt.inputs.subtitles import Cue, read_cues
from trml_rt.progress import counted
from trml_rt.runtime import Runtime, load
from trml_rt.timeline.result import Timeline, TimelineRow
from trml_rt.timeline.segments import Segment, by_cue, by_seconds
from trml_rt.timeline.summary import mean_of, periods_of, shares_of, swings_of

if TYPE_CHECKING:
    from trml_rt.inputs.long_video import LongVideo

__all__ = ["timeline"]

_log = logging.getLogger(__name__)

_LEAST, _MOST = 0.1, 1e9  # seconds of a segment


def timeline(
    video: str | os.PathLike[str],
    text: str | os.PathLike[str] | None = None,
    bundle: BundleLike = None,
    *,
    segment: str | float = "cue",
    backend: str = "auto",
    precision: Precision | None = None,
    threads: int | None = None,
    signed_by: str | os.PathLike[str] | None = None,
    limits: MediaLimits | None = None,
) -> Timeline:
    """Answer on each segment of a long video; see `docs/timeline.md`.

    The video is decoded once, and memory does not grow with its length but by the rows. The answer
    on a segment is the one that `Runtime.infer` gives on its frames and its text.

    Args:
        video: a video file.
        text: file of texts with times (SRT, VTT, JSON lines); "embedded": the track of texts in
            the video; "none". None: the embedded track if there is one.
        bundle: as in `trml_rt.load`.
        segment: "cue": a segment for each text, and for each gap; or the seconds of a segment.
        backend: as in `trml_rt.load`.
        precision: as in `trml_rt.load`.
        threads: as in `trml_rt.load`.
        signed_by: as in `trml_rt.load`.
        limits: of what the video may cost, as in `trml_rt.load`; its seconds do not count.

    Raises:
        UsageError: an argument makes no sense, or the bundle does not serve a combination.
        InputUnusable: the video or the file of texts cannot be used.
        ArtefactMismatch: a file of the bundle is damaged.
        BackendUnavailable: as in `trml_rt.load`.
        EnvironmentUnfit: the machine lacks something.
    """
    path = path_of("video", video)
    check_segment(segment)
    with load(
        bundle,
        backend=backend,
        precision=precision,
        threads=threads,
        signed_by=signed_by,
        limits=limits,
    ) as runtime:
        from trml_rt.inputs.long_video import survey_long

        found = survey_long(path, limits or DEFAULT_LIMITS)
        source, cues = _texts(text, found)
        segments = (
            by_cue(cues or [], found.seconds)
            if isinstance(segment, str)
            else by_seconds(cues or [], found.seconds, segment)
        )
        silent = Reason.NOT_GIVEN if cues is None else Reason.NO_SPEECH
        rows = tuple(_rows(runtime, found, segments, silent, threads or usable_cores()))
    manifest = runtime.bundle.manifest
    return Timeline(
        video=path,
        seconds=found.seconds,
        damaged=found.damaged,
        bundle=manifest.name,
        bundle_sha256=runtime.bundle.sha256,
        backend=str(runtime.provenance["backend"]),
        engines=str(runtime.provenance["engines"]),
        verified=bool(runtime.provenance["verified"]),
        text=source,
        segment=segment,
        labels=runtime.labels,
        range=runtime.range,
        overall=mean_of(rows, 0.0, rows[-1].end, manifest.task),
        periods=periods_of(rows, manifest.task),
        swings=swings_of(rows),
        presence=shares_of(rows),
        rows=rows,
    )


def check_segment(segment: object) -> None:
    """Refuse what is no way to cut a video.

    Raises:
        UsageError: with what it may be.
    """
    if segment == "cue":
        return
    number = isinstance(segment, int | float) and not isinstance(segment, bool)
    if not (number and _LEAST <= segment < _MOST):  # type: ignore[operator]
        raise UsageError(f"segment: must be cue, or {_LEAST} seconds or more, not {segment!r}")


def _texts(text: str | os.PathLike[str] | None, found: LongVideo) -> tuple[str, list[Cue] | None]:
    """Return where texts come from, and the texts; None where there are none to be had."""
    if text == "none" or (text is None and found.cues is None):
        return "none", None
    if text is None or text == "embedded":
        if found.cues is None:
            raise InputUnusable(
                f"{found.path}: has no track of texts; name a file of subtitles, or say none",
                reason="undecodable",
            )
        return "embedded", found.cues
    path = path_of("text", text)
    return str(path), read_cues(path)


def _rows(
    runtime: Runtime,
    found: LongVideo,
    segments: Sequence[Segment],
    silent: Reason,
    threads: int,
) -> Iterator[TimelineRow]:
    """Yield the row of each segment, and log how far it is."""
    count = runtime.bundle.manifest.video.frames
    parts = (_moments(segment, found, count) for segment in segments)
    pictures = found.pictures(parts, threads)
    both = zip(segments, pictures, strict=True)
    for segment, shown in counted(both, len(segments), "the timeline", _log):
        yield _row(runtime, segment, shown, silent)


def _moments(segment: Segment, found: LongVideo, count: int) -> list[int]:
    """Return the moments of a segment in ticks: the middle of each of `count` equal parts."""
    start = round(segment.start / found.tick)
    end = min(found.length, round(segment.end / found.tick))
    return choose_times(start, max(0, end - start), count)


def _row(
    runtime: Runtime, segment: Segment, shown: list[Image.Image], silent: Reason
) -> TimelineRow:
    reasons = {} if segment.text is not None else {"text": silent}
    reasons |= {} if shown else {"video": Reason.ENDED}
    try:
        answer = runtime.infer(segment.text, shown or None, degrade=True)
    except InputUnusable as error:  # of all that it has: an unknown text beyond the video, for one
        for name in {"text", "video"} - reasons.keys():
            reasons[name] = Reason(error.reason)
        unanswered = (None, None, None, "none", reasons, 0)
        return TimelineRow(segment.start, segment.end, segment.text, *unanswered)
    for name, report in answer.inputs.items():
        if report.reason is not None:
            reasons.setdefault(name, report.reason)
    return TimelineRow(
        start=segment.start,
        end=segment.end,
        text=segment.text,
        score=answer.score,
        label=answer.label,
        probabilities=answer.probabilities,
        presence=answer.engine_set,
        reasons=reasons,
        frames=answer.inputs["video"].frames or 0,
    )
