"""Read a long video in two passes: packets tell how long it is, then frames are decoded once.

Only frames that some moment shows are converted, and two are held at a time, so memory does not
grow with the length. Which frame a moment shows is what the rule of clips says
(`trml_rt.inputs.video.read_frames`).

PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

from trml_rt.errors import InputUnusable, blames_machine
from trml_rt.inputs.limits import DEFAULT_LIMITS, Budget, MediaLimits
from trml_rt.inputs.picture_file import check_file
from trml_rt.inputs.subtitles import Cue, spoken
from trml_rt.inputs.video import refuse_address
from trml_rt.inputs.video_decode import Reader, time_of
from trml_rt.inputs.video_file import colours_unknown, no_frame, open_video, threads_of
from trml_rt.inputs.video_frame import upright
from trml_rt.inputs.video_scan import is_shortage, packets_of, scan

__all__ = ["LongVideo", "survey_long"]

_ENDLESS = float(1 << 40)  # seconds
_TEXTS = 1 << 17  # AV_CODEC_PROP_TEXT_SUB: no pictures of texts


@dataclass
class LongVideo:
    """What the packets of a video tell, and the frames of it.

    Attributes:
        path: the file.
        tick: seconds of a tick.
        length: ticks from the first frame to the end of the last one.
        cues: of the embedded subtitles, in seconds from the first frame; None: it has no track of
            texts.
        damaged: something could not be decoded; known when all frames were read.
    """

    path: Path
    tick: Fraction
    length: int
    cues: list[Cue] | None
    damaged: bool
    _spans: list[tuple[int, int]]  # start and end of each stretch, whose times do not jump
    _stamps: Sequence[int]  # of frames in turn, where they have no times of their own
    _budget: Budget

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return float(self.length * self.tick)

    def pictures(self, parts: Iterable[Sequence[int]], threads: int) -> Iterator[list[Image.Image]]:
        """Yield for each part the frames that its moments show, each frame once.

        Args:
            parts: moments in ticks, which ascend from one part to the next as well. One beyond
                the end shows nothing.
            threads: that decode at once.

        Raises:
            InputUnusable: no frame can be decoded, or its colours cannot be converted.
            EnvironmentUnfit: the machine lacks memory, threads or open files to read it.
        """
        with (
            blames_machine(self.path),
            open_video(self.path, self._budget) as (container, stream),
        ):
            stream.codec_context.thread_count = threads_of(threads, stream, self._budget)
            reader, scaler = Reader(container, stream), VideoReformatter()
            frames = self._timed(reader)
            ahead = next(frames, None)
            if ahead is None:
                raise no_frame(self.path)
            shown, ahead = ahead[1], next(frames, None)
            for moments in parts:
                chosen: list[VideoFrame] = []
                pictures = []
                for moment in moments:
                    while ahead is not None and ahead[0] <= moment:
                        shown, ahead = ahead[1], next(frames, None)
                    if moment < self.length and (not chosen or chosen[-1] is not shown):
                        chosen = [shown]
                        pictures.append(self._upright(shown, stream.sample_aspect_ratio, scaler))
                self.damaged |= reader.damaged
                yield pictures

    def _timed(self, reader: Reader) -> Iterator[tuple[int, VideoFrame]]:
        """Yield frames with their times in ticks; where times jump, they go on without a gap."""
        spans, stamps = self._spans, self._stamps
        place, base = 0, 0
        before: int | None = None
        for number, frame in enumerate(reader.in_turn()):
            if not spans:
                yield number, frame
                continue
            time = stamps[min(number, len(stamps) - 1)] if stamps else time_of(frame)
            start, end = spans[place]
            jumps = (before is not None and time < before) or time > end
            if jumps and place + 1 < len(spans):
                base += end - start
                place += 1
                start, _ = spans[place]
            before = time
            yield base + time - start, frame

    def _upright(
        self, frame: VideoFrame, aspect: Fraction | None, scaler: VideoReformatter
    ) -> Image.Image:
        try:
            return upright(frame, aspect, scaler)
        except av.FFmpegError as error:
            if is_shortage(error):
                raise
            raise colours_unknown(self.path) from None


def survey_long(path: Path, limits: MediaLimits = DEFAULT_LIMITS) -> LongVideo:
    """Read every packet of a video once.

    Args:
        path: a video file.
        limits: of what it may cost; its seconds do not count, for a long video takes long.

    Raises:
        InputUnusable: it is absent, no video, or has no frame.
        EnvironmentUnfit: the machine lacks memory, threads or open files to read it.
    """
    refuse_address(path)
    budget = Budget(path, replace(limits, seconds=_ENDLESS))
    with blames_machine(path):
        check_file(path, budget)
        with open_video(path, budget) as (container, stream):
            if stream.disposition & Disposition.dependent:
                raise InputUnusable(f"{path}: is a picture; give a video", reason="undecodable")
            track = _track(container)
            cues: list[Cue] = []
            found = scan(container, stream, _tapped(container, track, cues))
            tick = stream.time_base if found.stretches and stream.time_base else None
            spans = [(each.start, each.end) for each in found.stretches]
            stamps = array("q")
            for each in found.stretches if found.by_order else ():
                stamps.extend(each.stamps)
            first = spans[0][0] * tick if tick else Fraction(0)
            pace = 1 / (stream.average_rate or Fraction(25))
            length = sum(end - start for start, end in spans) or found.total
    if not found.total:
        raise no_frame(path)
    return LongVideo(
        path=path,
        tick=tick or pace,
        length=length,
        cues=None if track is None else [_moved(cue, float(first)) for cue in cues],
        damaged=False,
        _spans=spans,
        _stamps=stamps,
        _budget=budget,
    )


def _track(container: InputContainer) -> SubtitleStream | None:
    """Return the track of texts that players show: the default one, else the first."""
    tracks = [
        each
        for each in container.streams.subtitles
        if getattr(each, "codec_context", None) is not None
        and each.codec_context.codec.properties & _TEXTS
    ]
    tracks.sort(key=lambda each: not each.disposition & Disposition.default)
    return tracks[0] if tracks else None


def _tapped(
    container: InputContainer, track: SubtitleStream | None, cues: list[Cue]
) -> Iterator[Packet[Any]]:
    """Yield every packet; what those of `track` say aloud is added to `cues`."""
    for packet in packets_of(container):
        if track is not None and packet.stream.index == track.index and packet.pts is not None:
            text = _text_of(track, packet)
            if text:
                tick = track.time_base or Fraction(1, 1000)
                start, duration = float(packet.pts * tick), float((packet.duration or 0) * tick)
                cues.append(Cue(text, start, start + duration if duration else None))
        yield packet


def _text_of(track: SubtitleStream, packet: Packet[Any]) -> str:
    """Return what a packet of subtitles says aloud; FFmpeg gives each as a line of ASS."""
    try:
        found = track.decode(packet)
    except av.FFmpegError as error:
        if is_shortage(error):
            raise
        return ""
    lines = []
    for each in found:
        if not isinstance(each, AssSubtitle):
            continue
        # Eight fields with commas behind them come before the text.
        text = each.ass.decode("utf-8", "replace").split(",", 8)[-1]
        lines.append(text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " "))
    return spoken("\n".join(lines))


def _moved(cue: Cue, back: float) -> Cue:
    """Return a cue with its times from the first frame."""
    start = max(0.0, (cue.start or 0.0) - back)
    return Cue(cue.text, start, None if cue.end is None else max(start, cue.end - back))
