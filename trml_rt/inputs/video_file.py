"""Find the frames that a video file shows at given moments, without decoding the rest.

A first pass looks at packets only: it learns how long the clip is, and from which keyframe
each moment can be reached. A second pass decodes from those keyframes and converts nothing
but the chosen frames. So an hour of MP4 costs about what a minute does, and memory stays flat;
of other containers every packet is read once, or twice.

PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from trml_rt.errors import InputUnusable
from trml_rt.inputs.picture import read_tiles
from trml_rt.inputs.picture_file import MAX_PIXELS, too_large
from trml_rt.inputs.video_frame import upright
from trml_rt.inputs.video_packets import Moment, Route, survey
from trml_rt.inputs.video_scan import demux, is_shortage, stamp_of

__all__ = ["read_video"]

# FFmpeg also "plays" text files, playlists and scripts that name other files. None of those
# is a clip, and some would make it open what the caller never named.
_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,nut,ivf,gif,dv,rm,wtv,"
    "h264,hevc,m4v,mpegvideo,obu,vc1,mjpeg,yuv4mpegpipe,mp3,wav,flac,aac,ac3,aiff,caf"
)
# PyAV 19 takes tags of any encoding and no longer has the argument.
_TEXT_OF_TAGS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)


def read_video(path: Path, count: int) -> tuple[list[Image.Image], bool]:
    """Return at most `count` upright RGB frames of `path`, and whether some could not be had.

    Raises:
        InputUnusable: `path` is no video, or no frame of it can be decoded.
    """
    with _open(path) as (container, stream):
        if stream.disposition & Disposition.dependent:
            return [read_tiles(path)], False
        route = survey(container, stream, count)
        stated = bool(stream.frames or stream.duration)
        images, damaged = (
            _take(path, container, stream, route) if route.starts_with_seek else ([], False)
        )
    if not images:
        # Opened again, because not every container can be rewound.
        with _open(path) as (container, stream):
            images, damaged = _take(path, container, stream, route)
    if images:
        return images, damaged
    if route.moments or route.indices or stated:
        raise InputUnusable(
            f"{path}: no frame of it can be decoded, it is cut off or damaged; "
            "copy or encode it again",
            reason="undecodable",
        )
    raise InputUnusable(
        f"{path}: its video has no frame; give a clip of at least one frame", reason="too_short"
    )


def _take(
    path: Path, container: InputContainer, stream: VideoStream, route: Route
) -> tuple[list[Image.Image], bool]:
    reader = _Reader(container, stream)
    chosen = reader.by_time(route.moments) if route.moments else reader.by_index(route.indices)
    scaler = VideoReformatter()  # one for all frames: each holds threads as long as it lives
    images: list[Image.Image] = []
    unknown_colours = False
    for frame in chosen:
        try:
            images.append(upright(frame, stream.sample_aspect_ratio, scaler))
        except av.FFmpegError as error:
            if is_shortage(error):
                raise
            unknown_colours = True
    cut_off = route.due is not None and reader.ended and reader.end <= route.due
    if unknown_colours and not images:
        raise InputUnusable(
            f"{path}: its colours cannot be converted to RGB; convert it to H.264 in MP4",
            reason="undecodable",
        )
    return images, reader.damaged or cut_off or route.cut_off or unknown_colours


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open `path` and its first moving picture; close it on the way out."""
    try:
        container = av.open(
            f"file:{path}",  # without "file:", a name with a colon reads as an address
            mode="r",
            container_options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"},
            **_TEXT_OF_TAGS,
        )
    except av.FFmpegError as error:
        if is_shortage(error):
            raise
        raise InputUnusable(
            f"{path}: not a video or picture that can be opened ({error.strerror}); "
            "check that it was copied whole, or convert it to MP4",
            reason="undecodable",
        ) from error
    with container:
        # Cover art is a still that a music file carries as if it were a video.
        videos = [
            s for s in container.streams.video if not s.disposition & Disposition.attached_pic
        ]
        # What players show; a still may come before it.
        videos.sort(key=lambda s: not s.disposition & Disposition.default)
        if not videos:
            raise InputUnusable(
                f"{path}: there is no video in it; give a file with a picture, or leave video out",
                reason="undecodable",
            )
        # PyAV's stubs do not say so, but a codec that FFmpeg lacks has no context.
        if getattr(videos[0], "codec_context", None) is None:
            raise InputUnusable(
                f"{path}: its video codec is not known here; convert it to H.264 in MP4",
                reason="undecodable",
            )
        width, height = videos[0].codec_context.width, videos[0].codec_context.height
        if width * height * max(1, videos[0].sample_aspect_ratio or 1) > MAX_PIXELS:
            raise too_large(path, width, height)
        videos[0].thread_type = "AUTO"
        yield container, videos[0]


class _Reader:
    """Decodes one stream forward, with seeks; remembers whether anything was damaged."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._packets = demux(container, stream)
        self._number = 0  # of the packet that comes next, where nothing seeks
        self.damaged = False
        self.ended = False
        self.end = 0  # when the last decoded frame ends, in ticks

    def by_index(self, indices: Sequence[int]) -> Iterator[VideoFrame]:
        """Yield the frames at `indices`, which ascend."""
        wanted = iter(indices)
        index = next(wanted, None)
        for position, frame in enumerate(self._decode()):
            if position == index:
                yield frame
                index = next(wanted, None)

    def by_time(self, moments: Sequence[Moment]) -> Iterator[VideoFrame]:
        """Yield the last frame shown by each of `moments`, each frame once."""
        frames = self._decode()
        before: Moment | None = None
        shown: VideoFrame | None = None
        ahead: VideoFrame | None = None
        last: tuple[int | None, int] | None = None
        for moment in moments:
            if self._starts_anew(moment, before):
                frames = self._decode(moment)
                shown = ahead = None
            before = moment
            while (ahead := ahead or next(frames, None)) is not None:
                # Whatever the header says, nothing is shown before the first frame of all.
                first = shown is None and moment.keyframe is None
                if _time(ahead) > moment.time and not first:
                    break
                shown, ahead = ahead, None
            if shown is None:
                self.damaged = True  # there is a keyframe for this moment, but it is unreadable
            elif (moment.until, _time(shown)) != last:
                last = moment.until, _time(shown)
                yield shown

    def _starts_anew(self, moment: Moment, before: Moment | None) -> bool:
        """Say whether decoding leaves the moment before behind; if so, go to the new place."""
        if moment.keyframe is not None:
            self._container.seek(moment.seek, stream=self._stream)
            self._packets = demux(self._container, self._stream)
            return True
        if moment.packet is None:
            return False
        if before is not None and before.until == moment.until and self._number > moment.packet:
            return False  # decoding has come further already
        self._stream.codec_context.flush_buffers()
        return True

    def _decode(self, moment: Moment | None = None) -> Iterator[VideoFrame]:
        """Yield frames in the order shown, from the keyframe of `moment` if it has one.

        The end is that of the file, or of the moment's stretch.
        """
        self.ended = False
        until = moment.until if moment else None
        waiting = moment is not None
        while not self.ended:
            packet = None if self._number == until else self._next_packet()
            if packet is None:
                self.ended = True  # None flushes the frames that the decoder still holds
            elif waiting and moment is not None and not self._is_start(packet, moment):
                continue
            elif packet.is_corrupt and not self._ends_stretch(until):
                self.damaged = True
                continue
            waiting = False
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError as error:
                if is_shortage(error):
                    raise
                self.damaged = True
                continue
            for frame in frames:
                self.damaged |= frame.is_corrupt
                self.end = _time(frame) + (frame.duration or 0)
                yield frame

    def _next_packet(self) -> Packet[VideoStream] | None:
        """Return the next packet with content; None at the end, or where the file breaks."""
        try:
            packet = next(self._packets, None)
        except av.FFmpegError as error:
            if is_shortage(error):
                raise
            self.damaged = True
            return None
        if packet is None or not packet.size:
            return None
        self._number += 1
        return packet

    def _ends_stretch(self, until: int | None) -> bool:
        """Say whether the last packet is one that FFmpeg calls corrupt for what was joined to it.

        A parser holds one packet back, so the one before the last may be meant as well.
        """
        return until is not None and self._number > until - 2

    def _is_start(self, packet: Packet[VideoStream], moment: Moment) -> bool:
        if moment.packet is not None:
            return self._number > moment.packet
        return moment.keyframe is None or stamp_of(packet) == moment.keyframe


def _time(frame: VideoFrame) -> int:
    if frame.pts is not None:
        return frame.pts
    return frame.dts if frame.dts is not None else 0
