"""Decode the legs of a route side by side, each from its keyframe.

PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from trml_rt.inputs.limits import Budget
from trml_rt.inputs.video_decode import Reader, time_of
from trml_rt.inputs.video_frame import upright
from trml_rt.inputs.video_packets import Moment
from trml_rt.inputs.video_scan import is_shortage

__all__ = ["Part", "in_legs", "take"]

Leg = Sequence[Moment]
Opened = tuple[InputContainer, VideoStream]
T = TypeVar("T")

# A decoder may hold 16 frames that others need, and one for each thread, each 1.5 bytes a pixel.
_HELD = 24
_SHARE = 2  # of the memory that a clip may take, all decoders together may hold this part


@dataclass
class Part(Generic[T]):
    """What was decoded, and what went wrong.

    Attributes:
        frames: each chosen frame as `shape` gives it, in the order shown.
        times: when each is shown, in ticks.
        damaged: something could not be read or decoded.
        unknown_colours: a frame could not be converted to RGB.
        end: when the last frame ends, in ticks, if the file was read to its end.
    """

    frames: list[Future[T]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    damaged: bool = False
    unknown_colours: bool = False
    end: int | None = None

    def add(self, other: Part[T]) -> None:
        """Take in the part that follows; a frame that both have counts once."""
        again = bool(self.times and other.times[:1] == self.times[-1:])
        self.frames += other.frames[again:]
        self.times += other.times[again:]
        self.damaged |= other.damaged
        self.unknown_colours |= other.unknown_colours
        self.end = other.end


def take(
    reader: Reader,
    frames: Iterable[VideoFrame],
    stream: VideoStream,
    shape: Callable[[Image.Image], Future[T]],
) -> Part[T]:
    """Return what `frames` gives, which `reader` decodes from `stream`."""
    part: Part[T] = Part()
    scaler = VideoReformatter()  # one for all frames: each holds threads as long as it lives
    for frame in frames:
        try:
            picture = upright(frame, stream.sample_aspect_ratio, scaler)
        except av.FFmpegError as error:
            if is_shortage(error):
                raise
            part.unknown_colours = True
            continue
        part.frames.append(shape(picture))
        part.times.append(time_of(frame))
    part.damaged = reader.damaged
    part.end = reader.end if reader.ended else None
    return part


def in_legs(
    legs: Sequence[Leg],
    opened: Opened,
    open_again: Callable[[], AbstractContextManager[Opened]],
    shape: Callable[[Image.Image], Future[T]],
    pool: Executor,
    threads: int,
    budget: Budget,
) -> Part[T]:
    """Decode legs, several at once, and return all of it in their order.

    Args:
        legs: what to decode.
        opened: the file, of which nothing was decoded yet.
        open_again: opens it once more.
        shape: starts the work on a frame.
        pool: where other threads come from.
        threads: that decode at once.
        budget: of which memory counts.
    """
    context = opened[1].codec_context
    decoders = max(1, min(threads, len(legs), _most(context.width * context.height, budget)))
    # A single decoder leaves a CPU to the shaping of frames: on two, that was seen to be faster.
    each = max(1, threads // decoders if decoders > 1 else threads - 1)
    # The longest first: then no thread waits long for the last one.
    longest_first = sorted(range(len(legs)), key=lambda place: -_length(legs[place]))
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for place in longest_first:
        waiting.put(place)
    parts: dict[int, Part[T]] = {}

    def work(container: InputContainer, stream: VideoStream) -> None:
        stream.codec_context.thread_count = each
        try:
            while True:
                place = waiting.get_nowait()
                parts[place] = _leg(container, stream, legs[place], shape)
        except queue.Empty:
            return

    def work_apart() -> None:
        with open_again() as again:
            work(*again)

    others = [pool.submit(work_apart) for _ in range(decoders - 1)]
    try:
        work(*opened)
    finally:
        while not waiting.empty():  # after an error here the others do not begin another
            waiting.get()
        for other in others:
            other.result()
    whole: Part[T] = Part()
    for place in range(len(legs)):
        whole.add(parts[place])
    return whole


def _leg(
    container: InputContainer,
    stream: VideoStream,
    leg: Leg,
    shape: Callable[[Image.Image], Future[T]],
) -> Part[T]:
    reader = Reader(container, stream, only_needed=True)
    part = take(reader, reader.by_time(leg), stream, shape)
    if part.damaged and reader.only_needed:
        # In place of a broken frame the one before it is shown, which may have been left out.
        reader = Reader(container, stream)
        part = take(reader, reader.by_time(leg), stream, shape)
    return part


def _length(leg: Leg) -> int:
    """Return about how many ticks of a leg are decoded."""
    return leg[-1].time - (leg[0].keyframe or 0)


def _most(pixels: int, budget: Budget) -> int:
    """Return how many decoders of frames of so many pixels memory has room for."""
    return budget.limits.memory // _SHARE // max(1, pixels * 3 // 2 * _HELD)
