"""The child that reads a live source: python -m trml_rt.inputs.live.worker, started by `source`."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from trml_rt.errors import InputUnusable
from trml_rt.inputs.apart.within import Channel, bound_memory, settle
from trml_rt.inputs.image import Preprocessing, to_pixels
from trml_rt.inputs.limits import MediaLimits
from trml_rt.inputs.live.address import Address
from trml_rt.inputs.live.opening import open_stream
from trml_rt.inputs.video_frame import upright
from trml_rt.inputs.video_scan import demux

__all__ = ["serve"]

_JITTER = 1.0  # seconds that a time may step back without being another clock
_GAP = 10.0  # seconds that a live source may step ahead
_SIGN = 0.25  # seconds between two signs of life while no frame is wanted
_TOLD = 16  # drops that are told at once
_MEMORY = "it may take {} MiB of memory, which does not suffice; scale it down, or allow more"
_AS_FILE = "name the clip as a file, for an MP4 may have its index at its end"


def serve(channel: Channel, settings: dict[str, Any]) -> None:
    """Read the source to its end, or until the parent goes."""
    limits = MediaLimits(**settings["limits"])
    bound_memory(limits.memory)
    channel.say({"ready": True})
    address = Address(**settings["address"])
    try:
        with open_stream(address, limits) as (container, stream):
            finite = address.kind == "file" or (
                address.kind == "http" and container.duration is not None
            )
            channel.say({"opened": True, "finite": finite})
            live = not finite and address.kind != "test"
            # Threads that decode a frame each would hold as many frames back.
            stream.thread_type = "SLICE" if live else "AUTO"
            stream.codec_context.thread_count = settings["threads"]
            reader = _Reader(channel, container, stream, settings, live)
            broken = reader.run()
    except InputUnusable as error:
        channel.say({"lost": str(error)})
        return
    except MemoryError:  # of the machine, or of what this process may take
        channel.say({"lost": _MEMORY.format(limits.memory_mib)})
        return
    over = finite or address.kind in ("pipe", "test")
    if over and broken and not reader.showed:
        channel.say({"lost": f"no frame of it can be decoded ({broken}); {_AS_FILE}"})
    elif over:
        channel.say({"end": True})
    else:
        channel.say({"lost": broken or "the other side ended it"})


class _Reader:
    """Decodes packet by packet, and sends what is wanted."""

    def __init__(
        self,
        channel: Channel,
        container: InputContainer,
        stream: VideoStream,
        settings: dict[str, Any],
        live: bool,
    ) -> None:
        self._channel = channel
        self._container = container
        self._stream = stream
        self._live = live
        self._clock = _Clock(_GAP if live else float("inf"))
        self._interval = settings["interval"]
        self._due = 0.0
        self._preprocessing = Preprocessing(**settings["preprocessing"])
        self._size = self._preprocessing.height * self._preprocessing.width * 3
        self._free = list(range(len(channel.memory) // self._size))
        self._scaler = VideoReformatter()
        self._drops: Counter[str] = Counter()
        self._told = time.monotonic()

    @property
    def showed(self) -> bool:
        """Whether there was a frame, wanted or not."""
        return self._clock.began

    def run(self) -> str | None:
        """Read to the end; return why it broke off, if it did."""
        broken = None
        waiting = self._live
        try:
            for packet in demux(self._container, self._stream):
                if not packet.size:
                    continue
                waiting = waiting and not packet.is_keyframe
                if waiting:
                    self._drop("before_keyframe")
                else:
                    self._decode(packet)
        except av.FFmpegError as error:
            broken = error.strerror or str(error)
        self._decode(None)
        self._say({})
        return broken

    def _decode(self, packet: Any) -> None:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError:
            self._drop("decode_error")
            return
        for frame in frames:
            if self._live and frame.is_corrupt:
                self._drop("decode_error")
            else:
                self._send(frame)

    def _send(self, frame: VideoFrame) -> None:
        before = self._clock.now
        t, jumps = self._clock.read(frame)
        if jumps:
            self._due = 0.0
        if t < self._due and t > before:
            self._sign()
            return
        # Of frames whose time stands still one is sent now and then: it shows that they come.
        if t < self._due and time.monotonic() - self._told < _SIGN:
            return
        if self._interval:
            self._due = (t // self._interval + 1) * self._interval
        try:
            picture = upright(frame, self._stream.sample_aspect_ratio, self._scaler)
            pixels = to_pixels(picture, self._preprocessing)
        except (av.FFmpegError, InputUnusable):
            self._drop("decode_error")
            return
        while not self._free:
            self._free.append(next(iter(self._channel))["free"])
        slot = self._free.pop()
        self._channel.memory[slot * self._size : (slot + 1) * self._size] = pixels.reshape(-1)
        self._say({"frame": slot, "t": t, "jumps": jumps})

    def _drop(self, cause: str) -> None:
        self._drops[cause] += 1
        if self._drops.total() >= _TOLD:
            self._say({})
        else:
            self._sign()

    def _sign(self) -> None:
        """Tell that this process lives, now and then."""
        if time.monotonic() - self._told >= _SIGN:
            self._say({})

    def _say(self, message: dict[str, Any]) -> None:
        self._channel.say({**message, "drops": dict(self._drops)})
        self._drops.clear()
        self._told = time.monotonic()


class _Clock:
    """Turns times of the source into seconds of an epoch.

    Args:
        gap: seconds ahead that are a jump.
    """

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._zero: float | None = None
        self._last = 0.0
        self._step = 0.0

    @property
    def began(self) -> bool:
        """Whether a time was read."""
        return self._zero is not None

    @property
    def now(self) -> float:
        """When the last frame was shown."""
        return self._last - (self._zero or 0.0)

    def read(self, frame: VideoFrame) -> tuple[float, bool]:
        """Return when a frame is shown, and whether that begins another epoch."""
        stamp = frame.pts if frame.pts is not None else frame.dts
        if stamp is None or frame.time_base is None:
            now = self._last + self._step  # frames without times follow each other evenly
        else:
            now = float(stamp * frame.time_base)
        if self._zero is None:
            self._zero = self._last = now
            return 0.0, False
        step = now - self._last
        if step < -_JITTER or step > self._gap:
            self._zero = self._last = now
            return 0.0, True
        if step > 0:
            self._step = step
            self._last = now
        return self.now, False


if __name__ == "__main__":
    try:
        serve(*settle())
    except (KeyboardInterrupt, StopIteration):  # the parent is gone
        os._exit(1)
