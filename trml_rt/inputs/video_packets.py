"""Choose the moments to show, and the keyframe from which each can be reached.

Nothing is decoded here. PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from trml_rt.inputs.clip import choose_indices, choose_times
from trml_rt.inputs.video_scan import (
    Scan,
    Stretch,
    is_shortage,
    packets_of,
    scan,
    stamp_of,
    times_may_jump,
)

__all__ = ["Moment", "Route", "survey"]

# Sound may outlast the picture a little. A clip counts as broken off only where its last
# frame ends more than this part of its length before the last moment.
_SLACK = 16
# These state how long they are. Elsewhere FFmpeg estimates it.
_STATE_LENGTH = ("mov,", "matroska,", "flv", "asf", "avi", "mxf")


@dataclass(frozen=True)
class Moment:
    """A time to show, and where decoding for it starts; without a keyframe it just goes on.

    Attributes:
        time: In ticks.
        keyframe: When the keyframe is shown, in ticks, which lies behind `seek`.
        seek: A time that the container can be set to.
        packet: The number of the keyframe's packet, in a file that is read from its start.
        until: The number of the packet that begins the next stretch.
    """

    time: int
    keyframe: int | None = None
    seek: int = 0
    packet: int | None = None
    until: int | None = None


@dataclass(frozen=True)
class Route:
    """What to decode, by the first pass. Frames go by index where the clip is short or untimed."""

    indices: Sequence[int] = ()
    moments: Sequence[Moment] = ()
    due: int | None = None  # a clip whose last frame ends before this time was cut off
    cut_off: bool = False

    @property
    def legs(self) -> list[Sequence[Moment]]:
        """The moments that are reached from one keyframe, for each; none where nothing seeks."""
        starts = [place for place, each in enumerate(self.moments) if each.keyframe is not None]
        ends = [*starts[1:], len(self.moments)]
        return [self.moments[start:end] for start, end in zip(starts, ends, strict=False)]


def survey(container: InputContainer, stream: VideoStream, count: int) -> Route:
    """Choose moments or indices, and the keyframe from which to reach each moment."""
    if not container.format.name.startswith("mov,") or not stream.duration:
        return _by_packets(container, stream, count, scan(container, stream, packets_of(container)))
    # The header of an MP4 lists every packet, so its length is no mere claim.
    head = list(islice(packets_of(container, stream), count + 1))
    stamps = [stamp for packet in head if (stamp := stamp_of(packet)) is not None]
    start = stream.start_time if stream.start_time is not None else min(stamps, default=0)
    if len(head) > count and stamps and start + stream.duration <= max(stamps):
        rest = packets_of(container, stream)
        return _by_packets(container, stream, count, scan(container, stream, chain(head, rest)))
    due = _due(start, stream.duration, count)
    if len(head) <= count:
        return Route(indices=range(len(head)), due=due)
    times = choose_times(start, stream.duration, count)
    return Route(moments=_reach(container, stream, times, start), due=due)


def _by_packets(container: InputContainer, stream: VideoStream, count: int, found: Scan) -> Route:
    """Choose by the packets that are there."""
    if not found.stretches:
        return Route(indices=choose_indices(found.total, count))
    first = found.stretches[0]
    stated = _stated_end(container, stream)
    cut_off = (
        len(found.stretches) == 1
        and stated is not None
        and _reached(container, stream, found) <= _due(first.start, stated - first.start, count)
    )
    if found.total <= count:
        return Route(indices=range(found.total), cut_off=cut_off)
    if len(found.stretches) > 1 or times_may_jump(container):
        return Route(moments=_over_stretches(found, count))
    end = stated if cut_off and stated is not None else first.end
    times = choose_times(first.start, end - first.start, count)
    if found.by_order:
        indices = list(dict.fromkeys(first.shown_at(time) for time in times))
        return Route(indices=indices, cut_off=cut_off)
    moments = _reach(container, stream, times, first.start, first)
    return Route(moments=moments, cut_off=cut_off)


def _over_stretches(found: Scan, count: int) -> list[Moment]:
    """Choose moments as if each stretch began where the last one ended."""
    stretches = found.stretches
    ends = list(accumulate(stretch.end - stretch.start for stretch in stretches))
    moments: list[Moment] = []
    for time in choose_times(0, ends[-1], count):
        place = next(number for number, end in enumerate(ends) if time < end or end == ends[-1])
        stretch = stretches[place]
        local = stretch.end - (ends[place] - time)
        until = stretches[place + 1].first if place + 1 < len(stretches) else None
        packet = stretch.keyframe_before(local)
        moments.append(
            Moment(local, packet=stretch.first if packet is None else packet, until=until)
        )
    return moments


def _reach(
    container: InputContainer,
    stream: VideoStream,
    times: Sequence[int],
    start: int,
    known: Stretch | None = None,
) -> list[Moment]:
    """Return the moment of each time, with the keyframe to start from where it pays.

    `known` is what a scan found, where there was one.
    """
    moments = [Moment(time) for time in times]
    reached: int | None = None
    for index, moment in enumerate(moments):
        reachable = _landing(container, stream, moment.time, known) or _keyframe_before(
            container, stream, moment.time, start
        )
        if reachable is None:
            break  # cannot be searched: decode on from where the last moment was
        # Within one group of pictures, going on is cheaper than starting over.
        if reachable.keyframe != reached:
            moments[index] = reachable
        reached = reachable.keyframe
    return moments


def _stated_end(container: InputContainer, stream: VideoStream) -> int | None:
    """Return when the file says that it ends, in ticks; None if it does not say."""
    if not container.format.name.startswith(_STATE_LENGTH):
        return None
    if container.duration is None or not stream.time_base:
        return None
    # Matroska and Flash count this from zero, whatever the time of their first frame.
    return round(container.duration / (av.time_base * stream.time_base))


def _reached(container: InputContainer, stream: VideoStream, found: Scan) -> int:
    """Return when the last packet of any stream ends, in ticks of `stream`."""
    ticks = stream.time_base or 1
    ends = (
        round(end * (container.streams[number].time_base or ticks) / ticks)
        for number, end in found.ends.items()
    )
    return max(found.stretches[0].end, *ends)


def _due(start: int, duration: int, count: int) -> int:
    return choose_times(start, duration, count)[-1] - duration // _SLACK


def _seek(container: InputContainer, stream: VideoStream, time: int) -> bool:
    """Go to `time`, or say that the container cannot be searched."""
    try:
        container.seek(time, stream=stream)
    except av.FFmpegError as error:
        if is_shortage(error):
            raise
        return False
    return True


def _landing(
    container: InputContainer, stream: VideoStream, time: int, known: Stretch | None
) -> Moment | None:
    """Return the keyframe on which a seek to `time` lands, if it surely is the last one by then.

    An MP4 has an index of all keyframes. Elsewhere those are `known`.
    """
    if not _seek(container, stream, time):
        return None
    packet = next(packets_of(container, stream), None)
    stamp = None if packet is None or not packet.is_keyframe else stamp_of(packet)
    if stamp is None or stamp > time:
        return None
    if known is not None and known.keyframe_shown_by(time) != stamp:
        return None
    return Moment(time, keyframe=stamp, seek=time)


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
        if not _seek(container, stream, place):
            return None
        keyframe: int | None = None
        for packet in packets_of(container, stream):
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
