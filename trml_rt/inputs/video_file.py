"""Find the frames that a video file shows at given moments, without decoding the rest.

A first pass looks at packets only: it learns how long the clip is, and from which keyframe
each moment can be reached. A second pass decodes from those keyframes, several side by side, and
converts nothing but the chosen frames. So an hour of MP4 costs about what a minute does, and memory
stays flat; of other containers every packet is read once, or twice.

PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from trml_rt.errors import InputUnusable
from trml_rt.inputs.clip import Clip
from trml_rt.inputs.limits import Budget
from trml_rt.inputs.picture import read_tiles
from trml_rt.inputs.video_decode import Reader, time_of
from trml_rt.inputs.video_frame import upright
from trml_rt.inputs.video_legs import Part, in_legs, take
from trml_rt.inputs.video_packets import survey
from trml_rt.inputs.video_scan import is_shortage

__all__ = [
    "FORMATS",
    "colours_unknown",
    "no_frame",
    "open_video",
    "read_in_turn",
    "read_video",
    "threads_of",
    "video_of",
]

# FFmpeg also "plays" text files, playlists and scripts that name other files. None of those
# is a clip, and some would make it open what the caller never named.
FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,nut,ivf,gif,dv,rm,wtv,"
    "h264,hevc,m4v,mpegvideo,obu,vc1,mjpeg,yuv4mpegpipe,mp3,wav,flac,aac,ac3,aiff,caf"
)
# PyAV 19 takes tags of any encoding and no longer has the argument.
_TEXT_OF_TAGS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)


# Frames that one decoder holds: those that others need, and the one that is decoded.
_HELD = 17
_HELD_INTRA = 2
_STORED = 1.5  # bytes a pixel, of the usual format
_WAITING = 16  # bytes a pixel that all pictures may take which wait: a quarter of memory
_CONVERTED = 11  # bytes a pixel: RGB of FFmpeg, of numpy and of Pillow, and upright

T = TypeVar("T")


def read_video(
    path: Path, count: int, shape: Callable[[Image.Image], T], threads: int, budget: Budget
) -> Clip[T]:
    """Return at most `count` frames of `path`, each as `shape` gives it.

    Args:
        path: the file.
        count: of frames.
        shape: is called with each frame, an upright RGB picture, in some other thread.
        threads: that decode at once.
        budget: what it may cost.

    Raises:
        InputUnusable: `path` is no video, no frame of it can be decoded, or it costs too much.
    """

    @contextmanager
    def open_again() -> Iterator[tuple[InputContainer, VideoStream]]:
        with open_video(path, budget) as (container, stream):
            yield cast("InputContainer", _Timed(container, budget)), stream

    with open_again() as opened, ThreadPoolExecutor(threads) as pool:
        _, stream = opened
        if stream.disposition & Disposition.dependent:
            return Clip((shape(read_tiles(path, budget)),))
        threads = threads_of(threads, stream, budget)
        route = survey(*opened, count)
        stated = bool(stream.frames or stream.duration)

        def shaped(picture: Image.Image) -> Future[T]:
            if picture.width * picture.height * _WAITING * count <= budget.limits.memory:
                return pool.submit(shape, picture)
            done: Future[T] = Future()  # no large picture waits for a thread
            done.set_result(shape(picture))
            return done

        part: Part[T] = Part()
        if route.legs:
            part = in_legs(route.legs, opened, open_again, shaped, pool, threads, budget)
        if not part.frames:
            # Opened again, because not every container can be rewound.
            with open_again() as (container, stream):
                stream.codec_context.thread_count = threads
                reader = Reader(container, stream)
                frames = (
                    reader.by_time(route.moments)
                    if route.moments
                    else reader.by_index(route.indices)
                )
                part = take(reader, frames, stream, shaped)
        pictures = tuple(frame.result() for frame in part.frames)
    cut_off = route.due is not None and part.end is not None and part.end <= route.due
    if pictures:
        damaged = part.damaged or cut_off or route.cut_off or part.unknown_colours
        return Clip(pictures, damaged)
    if part.unknown_colours:
        raise colours_unknown(path)
    if route.moments or route.indices or stated:
        raise no_frame(path)
    raise InputUnusable(
        f"{path}: its video has no frame; give a clip of at least one frame", reason="too_short"
    )


def colours_unknown(path: Path) -> InputUnusable:
    """Return the refusal of a video whose colours cannot be converted."""
    return InputUnusable(
        f"{path}: its colours cannot be converted to RGB; convert it to H.264 in MP4",
        reason="undecodable",
    )


def no_frame(path: Path) -> InputUnusable:
    """Return the refusal of a video of which nothing can be decoded."""
    return InputUnusable(
        f"{path}: no frame of it can be decoded, it is cut off or damaged; copy or encode it again",
        reason="undecodable",
    )


def read_in_turn(path: Path, threads: int, budget: Budget) -> Iterator[tuple[float, Image.Image]]:
    """Yield each frame of `path` that can be decoded, with its time from the first one, in seconds.

    Args:
        path: the file.
        threads: that decode at once.
        budget: what it may cost.

    Raises:
        InputUnusable: `path` is no video, no frame of it can be decoded, or it costs too much.
    """
    with open_video(path, budget) as (container, stream):
        if stream.disposition & Disposition.dependent:
            yield 0.0, read_tiles(path, budget)
            return
        stream.codec_context.thread_count = threads_of(threads, stream, budget)
        scaler = VideoReformatter()
        first: float | None = None
        pace = float(1 / (stream.average_rate or 25))
        for number, frame in enumerate(Reader(container, stream).in_turn()):
            timed = frame.pts is not None or frame.dts is not None
            t = float(time_of(frame) * (stream.time_base or 1)) if timed else number * pace
            first = t if first is None else first
            try:
                picture = upright(frame, stream.sample_aspect_ratio, scaler)
            except av.FFmpegError as error:
                if is_shortage(error):
                    raise
                raise colours_unknown(path) from None
            yield t - first, picture
        if first is None:
            raise no_frame(path)


@contextmanager
def open_video(path: Path, budget: Budget) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open `path` and its first moving picture; close it on the way out.

    Raises:
        InputUnusable: it is no video, has none, or has too many pixels.
    """
    try:
        container = av.open(
            f"file:{path}",  # without "file:", a name with a colon reads as an address
            mode="r",
            container_options={"format_whitelist": FORMATS, "protocol_whitelist": "file"},
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
        yield container, video_of(container, budget)


class _Timed:
    """A container whose packets end in a refusal when the seconds of the clip are over."""

    def __init__(self, container: InputContainer, budget: Budget) -> None:
        self._container = container
        self._check_time = budget.check_time

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, *streams: Stream) -> Iterator[Packet[Any]]:
        with closing(cast("Generator[Packet[Any]]", self._container.demux(*streams))) as packets:
            for packet in packets:
                self._check_time()
                yield packet


def video_of(container: InputContainer, budget: Budget) -> VideoStream:
    """Return the first moving picture of `container`.

    Raises:
        InputUnusable: there is none, it cannot be decoded here, or it is too large.
    """
    # Cover art is a still that a music file carries as if it were a video.
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    # What players show; a still may come before it.
    videos.sort(key=lambda s: not s.disposition & Disposition.default)
    if not videos:
        raise InputUnusable(
            f"{budget.name}: there is no video in it; give a file with a picture, or leave video "
            "out",
            reason="undecodable",
        )
    # PyAV's stubs do not say so, but a codec that FFmpeg lacks has no context.
    if getattr(videos[0], "codec_context", None) is None:
        raise InputUnusable(
            f"{budget.name}: its video codec is not known here; convert it to H.264 in MP4",
            reason="undecodable",
        )
    width, height = videos[0].codec_context.width, videos[0].codec_context.height
    budget.check_pixels(width, height, _shown(videos[0]))
    budget.check_memory(width, height, sum(_bytes_of_a_pixel(videos[0])))
    # A frame may be larger than the header says.
    videos[0].codec_context.options = {"max_pixels": str(budget.limits.pixels)}
    videos[0].thread_type = "AUTO"
    return videos[0]


def _shown(stream: VideoStream) -> float:
    """Return as how many square pixels a stored pixel is shown, 1 at least."""
    return float(max(1, stream.sample_aspect_ratio or 1))


def _bytes_of_a_pixel(stream: VideoStream) -> tuple[float, float]:
    """Return what a decoder holds for each pixel, and what another thread of it adds."""
    context = stream.codec_context
    stored = context.format.padded_bits_per_pixel / 8 if context.format else _STORED
    held = _HELD_INTRA if context.codec.intra_only else _HELD
    return held * stored + _CONVERTED * _shown(stream), stored


def threads_of(threads: int, stream: VideoStream, budget: Budget) -> int:
    """Return how many of `threads` may decode, for each holds a frame."""
    pixels = max(1, stream.codec_context.width * stream.codec_context.height)
    once, each = _bytes_of_a_pixel(stream)
    return max(1, min(threads, int((budget.limits.memory / pixels - once) / each)))
