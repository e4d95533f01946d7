"""Read every packet of a video file once: what is there, whatever its header states.

PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

import errno
import mmap
from array import array
from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from trml_rt.errors import lacks_resource

__all__ = [
    "Scan",
    "Stretch",
    "demux",
    "is_shortage",
    "packets_of",
    "scan",
    "stamp_of",
    "times_may_jump",
]

# A step ahead of more than so many seconds is a jump and no still picture. FFmpeg has the same
# two limits: the first for containers whose times may jump (broadcasts, program streams).
_AHEAD_OF_BROADCAST = 10
_AHEAD = 30 * 3600
_LARGE_FRAME = 1 << 29  # bytes
_TIMES_MAY_JUMP = 0x0200  # AVFMT_TS_DISCONT


@dataclass
class Stretch:
    """Packets whose times do not jump; times are in ticks.

    Attributes:
        first: Which packet of the video begins it, from 0.
        stamps: When each packet with a time is shown, in the order of decoding.
        keyframes: Number and time of each keyframe.
    """

    first: int
    stamps: array[int] = field(default_factory=lambda: array("q"))
    keyframes: list[tuple[int, int]] = field(default_factory=list)
    _stated_end: int = 0

    def add(self, number: int, stamp: int, packet: Packet[Any], duration: int) -> None:
        """Take in one packet; `duration` is 0 where the container does not say."""
        self.stamps.append(stamp)
        if packet.is_keyframe:
            self.keyframes.append((number, stamp))
        self._stated_end = max(self._stated_end, stamp + duration)

    @property
    def start(self) -> int:
        """When the first frame is shown."""
        return min(self.stamps)

    @property
    def end(self) -> int:
        """When the last frame ends: by its own duration, else by the shortest one of all."""
        last = max(self.stamps)
        if self._stated_end > last:
            return self._stated_end
        times = sorted(set(self.stamps))
        return last + min((after - time for time, after in pairwise(times)), default=0)

    def keyframe_before(self, time: int) -> int | None:
        """Return the number of the last keyframe shown by `time`."""
        return max((number for number, stamp in self.keyframes if stamp <= time), default=None)

    def keyframe_shown_by(self, time: int) -> int | None:
        """Return when the last keyframe by `time` is shown."""
        return max((stamp for _, stamp in self.keyframes if stamp <= time), default=None)

    def shown_at(self, time: int) -> int:
        """Return which frame is shown at `time`, where frames come in the order of their times."""
        return max(0, bisect_right(self.stamps, time) - 1)


@dataclass
class Scan:
    """What the packets tell.

    Attributes:
        total: How many packets the video has.
        by_order: Frames have no times of their own; they are shown at the packets' times in turn.
        stretches: Those with times; a video without any has none.
        ends: When the last packet of each stream ends, in its ticks, by the stream's number.
    """

    total: int = 0
    by_order: bool = False
    stretches: list[Stretch] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)


def scan(container: InputContainer, stream: VideoStream, packets: Iterable[Packet[Any]]) -> Scan:
    """Read `packets`, of any stream of the file, to their end, or to where the file breaks."""
    # FFmpeg makes up when a frame of an AVI is shown. Only the times of decoding are real.
    is_avi = container.format.name == "avi"
    found = Scan(by_order=is_avi and stream.codec_context.has_b_frames)
    second = int(1 / stream.time_base) if stream.time_base else 1
    ahead = second * (_AHEAD_OF_BROADCAST if times_may_jump(container) else _AHEAD)
    before: int | None = None
    for packet in packets:
        stamp = packet.dts if is_avi else stamp_of(packet)
        duration = 0 if is_avi else packet.duration or 0
        number = packet.stream.index
        if stamp is not None:
            end = stamp + (packet.duration or 0)
            found.ends[number] = max(end, found.ends.get(number, end))
        if number != stream.index:
            continue
        if stamp is not None:
            order = packet.dts if packet.dts is not None else before
            step = 0 if order is None or before is None else order - before
            jumps = step > ahead or step < -second or (step < 0 and packet.is_keyframe)
            if jumps or not found.stretches:
                found.stretches.append(Stretch(found.total))
            found.stretches[-1].add(found.total, stamp, packet, duration)
            before = order
        found.by_order |= is_avi and packet.pts != packet.dts
        found.total += 1
    return found


def times_may_jump(container: InputContainer) -> bool:
    """Say whether the container is one for broadcasts, which has no index either."""
    return bool(container.format.flags & _TIMES_MAY_JUMP)


def packets_of(container: InputContainer, *streams: Stream) -> Iterator[Packet[Any]]:
    """Yield the packets of `streams`, or of all, from here to the end or to where the file breaks.

    The empty packet that only tells a decoder to finish is left out.
    """
    try:
        for packet in demux(container, *streams):
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        if is_shortage(error):
            raise


def demux(container: InputContainer, *streams: Stream) -> Iterator[Packet[Any]]:
    """Yield what `container.demux` yields; closed early, that one would keep a packet."""
    packets = cast("Generator[Packet[Any]]", container.demux(*streams))
    # At the end, PyAV stumbles over streams that began within the file.
    with closing(packets), suppress(IndexError):
        yield from packets


def is_shortage(error: av.FFmpegError) -> bool:
    """Say whether the machine is at fault, and not a damaged header that asks for the impossible.

    FFmpeg says "Cannot allocate memory" of both, so what a large frame takes is asked for here.
    """
    if not lacks_resource(error):
        return False
    if error.errno != errno.ENOMEM:
        return True
    try:
        mmap.mmap(-1, _LARGE_FRAME).close()
    except (OSError, MemoryError):
        return True
    return False


def stamp_of(packet: Packet[Any]) -> int | None:
    """Return when a packet is shown, in ticks; AVI has decoding times only."""
    return packet.pts if packet.pts is not None else packet.dts
