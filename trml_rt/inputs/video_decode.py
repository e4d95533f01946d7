"""Decode a video forward from a keyframe, and of that only what some moment shows.

PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from trml_rt.inputs.video_packets import Moment
from trml_rt.inputs.video_scan import demux, is_shortage, stamp_of

__all__ = ["Reader", "time_of"]

# Their packets say whether another frame needs them, and their decoders pass over those that none
# does. Where a packet may hold one field, half a frame would be lost.
_TELL_NEED = ("h264", "hevc")
_PROGRESSIVE = 1


class Reader:
    """Decodes one stream forward, with seeks; remembers whether anything was damaged.

    Args:
        container: the open file.
        stream: its video, from which nothing was decoded yet.
        only_needed: pass over frames that no moment shows and no other frame needs, where the
            codec tells.

    Attributes:
        only_needed: whether it does so.
        damaged: something could not be read or decoded.
        ended: the file, or the last stretch, was read to its end.
        end: when the last decoded frame ends, in ticks.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, *, only_needed: bool = False
    ) -> None:
        self._container = container
        self._stream = stream
        self._packets = demux(container, stream)
        self._number = 0  # of the packet that comes next, where nothing seeks
        context = stream.codec_context
        # PyAV before 18.1 does not tell the order of fields; there no frame is left out.
        order = getattr(context, "field_order", None)
        tells = context.name in _TELL_NEED and order == _PROGRESSIVE
        self.only_needed = only_needed and tells
        self.damaged = False
        self.ended = False
        self.end = 0

    def in_turn(self) -> Iterator[VideoFrame]:
        """Yield every frame that can be decoded."""
        return self._decode()

    def by_index(self, indices: Sequence[int]) -> Iterator[VideoFrame]:
        """Yield the frames at `indices`, which ascend."""
        wanted = iter(indices)
        index = next(wanted, None)
        for position, frame in enumerate(self._decode()):
            if position == index:
                yield frame
                index = next(wanted, None)

    def by_time(self, moments: Sequence[Moment]) -> Iterator[VideoFrame]:
        """Yield the last frame shown by each of `moments`, each frame once.

        Only the first moment may have a keyframe; it is sought.
        """
        sought = moments[0].keyframe is not None
        need = _Need([moment.time for moment in moments]) if sought else None
        frames = self._decode()
        before: Moment | None = None
        shown: VideoFrame | None = None
        ahead: VideoFrame | None = None
        last: tuple[int | None, int] | None = None
        self._stream.codec_context.skip_frame = "DEFAULT"
        for moment in moments:
            if self._starts_anew(moment, before):
                frames = self._decode(moment, need)
                shown = ahead = None
            before = moment
            while (ahead := ahead or next(frames, None)) is not None:
                # Whatever the header says, nothing is shown before the first frame of all.
                first = shown is None and moment.keyframe is None
                if time_of(ahead) > moment.time and not first:
                    break
                shown, ahead = ahead, None
            if shown is None:
                self.damaged = True  # there is a keyframe for this moment, but it is unreadable
            elif (moment.until, time_of(shown)) != last:
                last = moment.until, time_of(shown)
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

    def _decode(
        self, moment: Moment | None = None, need: _Need | None = None
    ) -> Iterator[VideoFrame]:
        """Yield frames in the order shown, from the keyframe of `moment` if it has one.

        The end is that of the file, or of the moment's stretch, or of what there is `need` for.
        """
        self.ended = False
        until = moment.until if moment else None
        waiting = moment is not None
        done = False
        while not (self.ended or done):
            packet = None if self._number == until else self._next_packet()
            if packet is None:
                self.ended = True  # None flushes the frames that the decoder still holds
            elif waiting and moment is not None and not self._is_start(packet, moment):
                continue
            elif packet.is_corrupt and not self._ends_stretch(until):
                self.damaged = True
                continue
            elif need is not None and need.ends_before(packet):
                packet, done = None, True
            elif need is not None and self.only_needed:
                self._stream.codec_context.skip_frame = (
                    "NONREF" if need.passes_over(packet) else "DEFAULT"
                )
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
                self.end = time_of(frame) + (frame.duration or 0)
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


class _Need:
    """Tells which packets of a leg none of its moments needs, by their times.

    Args:
        times: of the moments, in ticks, ascending.
    """

    def __init__(self, times: Sequence[int]) -> None:
        self._times = times
        # The last time of a packet so far that is not after each moment.
        self._latest: list[float] = [-math.inf] * len(times)

    def ends_before(self, packet: Packet[Any]) -> bool:
        """Say whether everything that is shown by the last moment has come already."""
        return packet.dts is not None and packet.dts > self._times[-1]

    def passes_over(self, packet: Packet[Any]) -> bool:
        """Say whether no moment shows the frame of `packet`, which is taken note of."""
        if packet.pts is None:
            return False
        place = bisect_left(self._times, packet.pts)
        unseen = place == len(self._times) or self._latest[place] > packet.pts
        for index in range(place, len(self._times)):
            self._latest[index] = max(self._latest[index], packet.pts)
        return unseen


def time_of(frame: VideoFrame) -> int:
    """Return when a frame is shown, in ticks."""
    if frame.pts is not None:
        return frame.pts
    return frame.dts if frame.dts is not None else 0
