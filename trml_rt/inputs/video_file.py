"""Find the frames that a video file shows at given moments, without decoding the rest.

A first pass looks at packets only: it learns how long the clip is, and from which keyframe
each moment can be reached. A second pass decodes from those keyframes and converts nothing
but the chosen frames. So an hour costs about what a minute does, and memory stays flat.

PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.buffer import Buffer
from av.container import InputContainer
from av.sidedata.sidedata import SideDataContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from trml_rt.errors import InputUnusable, lacks_resource
from trml_rt.inputs.video_packets import Moment, Route, demux, stamp_of, survey

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
# A pixel shape outside 1:4 to 4:1 is a damaged header, not a lens.
_MAX_ASPECT = 4


def read_video(path: Path, count: int) -> tuple[list[Image.Image], bool]:
    """Return at most `count` upright RGB frames of `path`, and whether some could not be had.

    Raises:
        InputUnusable: `path` is no video, or no frame of it can be decoded.
    """
    with _open(path) as (container, stream):
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
            images.append(_upright(frame, stream.sample_aspect_ratio, scaler))
        except av.FFmpegError as error:
            if lacks_resource(error):
                raise
            unknown_colours = True
    cut_off = route.due is not None and reader.ended and reader.end <= route.due
    if unknown_colours and not images:
        raise InputUnusable(
            f"{path}: its colours cannot be converted to RGB; convert it to H.264 in MP4",
            reason="undecodable",
        )
    return images, reader.damaged or cut_off or unknown_colours


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
        if lacks_resource(error):
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
        videos[0].thread_type = "AUTO"
        yield container, videos[0]


class _Reader:
    """Decodes one stream forward, with seeks; remembers whether anything was damaged."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self.damaged = False
        self.ended = False
        self.end = 0  # when the last decoded frame ends, in ticks

    def by_index(self, indices: Sequence[int]) -> Iterator[VideoFrame]:
        """Yield the frames at `indices`, which ascend."""
        wanted = iter(indices)
        index = next(wanted, None)
        for position, frame in enumerate(self._decode(keyframe=None)):
            if position == index:
                yield frame
                index = next(wanted, None)

    def by_time(self, moments: Sequence[Moment]) -> Iterator[VideoFrame]:
        """Yield the last frame shown by each of `moments`, each frame once."""
        frames = self._decode(keyframe=None)
        shown: VideoFrame | None = None
        ahead: VideoFrame | None = None
        last: int | None = None
        for moment in moments:
            if moment.keyframe is not None:
                self._container.seek(moment.seek, stream=self._stream)
                frames = self._decode(moment.keyframe)
                shown = ahead = None
            while (ahead := ahead or next(frames, None)) is not None:
                # Whatever the header says, nothing is shown before the first frame of all.
                first = shown is None and moment.keyframe is None
                if _time(ahead) > moment.time and not first:
                    break
                shown, ahead = ahead, None
            if shown is None:
                self.damaged = True  # there is a keyframe for this moment, but it is unreadable
            elif _time(shown) != last:
                last = _time(shown)
                yield shown

    def _decode(self, keyframe: int | None) -> Iterator[VideoFrame]:
        """Yield frames in the order shown, from `keyframe` if given, to the end of the file."""
        self.ended = False
        packets = demux(self._container, self._stream)
        waiting = keyframe is not None
        while not self.ended:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                if lacks_resource(error):
                    raise
                self.damaged = True
                packet = None
            if packet is None or not packet.size:
                self.ended = True
                packet = None  # flushes the frames that the decoder still holds
            elif waiting and stamp_of(packet) != keyframe:
                continue
            elif packet.is_corrupt:
                self.damaged = True
                continue
            waiting = False
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError as error:
                if lacks_resource(error):
                    raise
                self.damaged = True
                continue
            for frame in frames:
                self.damaged |= frame.is_corrupt
                self.end = _time(frame) + (frame.duration or 0)
                yield frame


def _time(frame: VideoFrame) -> int:
    if frame.pts is not None:
        return frame.pts
    return frame.dts if frame.dts is not None else 0


# How a frame is turned for each sign pattern (a, b, c, d) of a display matrix, which shows
# the stored point (x, y) at (ax + cy, bx + dy), y pointing down.
_TURNS = {
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,  # Pillow counts against the clock
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


def _upright(frame: VideoFrame, aspect: Fraction | None, scaler: VideoReformatter) -> Image.Image:
    """Convert `frame` to RGB with square pixels, turned the way its display matrix says.

    swscale converts with the frame's own colour space and range (BT.601 where it names none).
    Pixels that are not square (`aspect`, width to height) have the width scaled.
    """
    width = frame.width
    if aspect and 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        width = max(1, round(width * aspect))
    rgb = scaler.reformat(frame, width=width, height=frame.height, format="rgb24")
    image = Image.fromarray(rgb.to_ndarray())
    turn = _TURNS.get(_display_signs(frame))
    return image if turn is None else image.transpose(turn)


def _display_signs(frame: VideoFrame) -> tuple[int, int, int, int]:
    # Not frame.rotation: it takes a mirrored picture for a turned one.
    matrix = cast("Mapping[str, Buffer]", _side_data(frame)).get("DISPLAYMATRIX")
    if matrix is None:
        return (1, 0, 0, 1)
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    # A slanted matrix is taken as the nearest quarter turn.
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (1 if a > 0 else -1, 0, 0, 1 if d > 0 else -1)
    return (0, 1 if b > 0 else -1, 1 if c > 0 else -1, 0)


def _side_data(frame: VideoFrame) -> SideDataContainer:
    """Return the side data of `frame`, as far as PyAV has names for it.

    Not frame.side_data: frame and side data then hold each other, and decoder threads with them.
    """
    found = SideDataContainer.__new__(SideDataContainer)
    # PyAV stops at the first kind without a name. FFmpeg puts the display matrix before those.
    with suppress(ValueError):
        found.__init__(frame)  # type: ignore[misc]
    return found
