"""Look at a video's packets: how long it is, and from which keyframe each moment can be reached.

Nothing is decoded here. PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from trml_rt.errors import lacks_resource
from trml_rt.inputs.clip import choose_indices, choose_times

__all__ = ["Moment", "Route", "demux", "stamp_of", "survey"]

# Sound may outlast the picture a little. A clip counts as broken off only where its last
# frame ends more than this part of its length before the last moment.
_SLACK = 16


@dataclass(frozen=True)
class Moment:
    """A time to show, and where decoding for it starts; without a keyframe it just goes on."""

    time: int
    keyframe: int | None = None
    seek: int = 0


@dataclass(frozen=True)
class Route:
    """What to decode, by the first pass. Frames go by index where the clip is short or untimed."""

    indices: Sequence[int] = ()
    moments: Sequence[Moment] = ()
    due: int | None = None  # a clip whose last frame ends before this time was cut off

    @property
    def starts_with_seek(self) -> bool:
        """Whether decoding begins at a keyframe instead of the start of the file."""
        return bool(self.moments) and self.moments[0].keyframe is not None


def survey(container: InputContainer, stream: VideoStream, count: int) -> Route:
    """Choose moments or indices, and the keyframe from which to reach each moment."""
    head: list[Packet[VideoStream]] = []
    for packet in _packets(container, stream):
        head.append(packet)
        if len(head) > count:
            break
    stamps = [stamp for packet in head if (stamp := stamp_of(packet)) is not None]
    if not stamps:
        total = len(head) + sum(1 for _ in _packets(container, stream))
        return Route(indices=choose_indices(total, count))

    start = stream.start_time if stream.start_time is not None else min(stamps)
    end = _stated_end(container, stream, start)
    if len(head) <= count:
        due = None if end is None else _due(start, end - start, count)
        return Route(indices=range(len(head)), due=due)

    # A program stream of a few seconds states any length; the packets know better.
    if end is None or end <= max(stamps):
        end = max(_end(packet) for packet in head)
        end = max((_end(packet) for packet in _packets(container, stream)), default=end)
    moments = [Moment(time) for time in choose_times(start, end - start, count)]
    reached: int | None = None
    for index, moment in enumerate(moments):
        reachable = _keyframe_before(container, stream, moment.time, start)
        if reachable is None:
            break  # cannot be searched: decode on from where the last moment was
        # Within one group of pictures, going on is cheaper than starting over.
        if reachable.keyframe != reached:
            moments[index] = reachable
        reached = reachable.keyframe
    return Route(moments=moments, due=_due(start, end - start, count))


def _stated_end(container: InputContainer, stream: VideoStream, start: int) -> int | None:
    """Return when the file says that its video ends, in ticks, or None if it does not say."""
    if stream.duration is not None and stream.duration > 0:
        return start + stream.duration
    if container.duration is not None and stream.time_base is not None:
        # Matroska and Flash count this from zero, whatever the time of their first frame.
        end = round(container.duration / (av.time_base * stream.time_base))
        return end if end > start else None
    return None


def _due(start: int, duration: int, count: int) -> int:
    return choose_times(start, duration, count)[-1] - duration // _SLACK


def _keyframe_before(
    container: InputContainer, stream: VideoStream, time: int, start: int
) -> Moment | None:
    """Return the last keyframe shown by `time` and a place to seek to that lies before it.

    Some containers seek to the middle of a group of pictures, or past the break of a file
    that was cut off; then look further and further back.
    """
    step = int(1 / stream.time_base) if stream.time_base else 1  # one second
    back = 0
    while True:
        place = max(time - back, start)
        try:
            container.seek(place, stream=stream)
        except av.FFmpegError as error:
            if lacks_resource(error):
                raise
            return None
        keyframe: int | None = None
        for packet in _packets(container, stream):
            # Packets come in decoding order, and none is decoded after it is shown.
            if (order := packet.dts if packet.dts is not None else packet.pts) is None:
                continue
            if order > time:
                break
            stamp = stamp_of(packet)
            if packet.is_keyframe and stamp is not None and stamp <= time:
                keyframe = stamp
        if keyframe is not None:
            return Moment(time, keyframe=keyframe, seek=place)
        if place == start:
            return None
        back = max(step, 2 * back)


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Yield the packets from here to the end, or to where the file breaks."""
    try:
        for packet in demux(container, stream):
            if packet.size:  # the last, empty one only tells a decoder to finish
                yield packet
    except av.FFmpegError as error:
        if lacks_resource(error):
            raise


def demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Yield what `container.demux` yields; closed early, that one would keep a packet."""
    packets = cast("Generator[Packet[VideoStream]]", container.demux(stream))
    with closing(packets):
        yield from packets


def stamp_of(packet: Packet[VideoStream]) -> int | None:
    """Return when a packet is shown, in ticks; AVI has decoding times only."""
    return packet.pts if packet.pts is not None else packet.dts


def _end(packet: Packet[VideoStream]) -> int:
    return (stamp_of(packet) or 0) + (packet.duration or 0)
