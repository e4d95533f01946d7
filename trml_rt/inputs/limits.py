"""What one clip may cost: pixels, frames, bytes, seconds and memory."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, fields

from trml_rt.errors import InputUnusable, UsageError

__all__ = ["DEFAULT_LIMITS", "Budget", "MediaLimits"]

_MEBIBYTE = 1 << 20
_MILLION = 1_000_000
_MOST = 1 << 50  # of each, so that their products stay numbers that the system takes


@dataclass(frozen=True)
class MediaLimits:
    """What decoding one clip may cost; a clip that costs more is refused, with one sentence.

    Attributes:
        pixels: of a picture or frame; larger photographs are decoded small where the format can.
            Pillow, too, finds more than the default suspicious.
        frames: of an animation, all of which are decoded to find those that are shown when.
        file_mib: MiB of the file, or of what comes from standard input.
        seconds: that reading and decoding may take.
        memory_mib: MiB that decoding may take, by what the header says; a decoder in a process of
            its own is held to it by the system.
    """

    pixels: int = 89_478_485
    frames: int = 20_000
    file_mib: int = 1 << 16
    seconds: float = 120.0
    memory_mib: int = 2048

    def __post_init__(self) -> None:
        for each in fields(self):
            value, whole = getattr(self, each.name), each.name != "seconds"
            kinds = (int,) if whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= _MOST:
                raise UsageError(
                    f"{each.name}: must be a {'whole ' if whole else ''}number above 0, "
                    f"not {value!r}"
                )

    @property
    def memory(self) -> int:
        """The bytes of `memory_mib`."""
        return self.memory_mib * _MEBIBYTE


DEFAULT_LIMITS = MediaLimits()


class Budget:
    """What reading one clip may still cost; its seconds begin now.

    Every check raises InputUnusable, with reason "undecodable", where the clip costs more.

    Args:
        name: what messages call the clip.
        limits: that it is held to.
    """

    def __init__(self, name: str | os.PathLike[str], limits: MediaLimits = DEFAULT_LIMITS) -> None:
        self.name = os.fspath(name)
        self.limits = limits
        self._deadline = time.monotonic() + limits.seconds

    def check_time(self) -> None:
        """Refuse a clip whose seconds are over."""
        if time.monotonic() > self._deadline:
            raise self.too_slow()

    def too_slow(self) -> InputUnusable:
        """Return the refusal of a clip that took longer than it may."""
        return InputUnusable(
            f"{self.name}: was not decoded within {self.limits.seconds:g} s; convert it, or allow "
            "more seconds",
            reason="undecodable",
        )

    def check_file(self, size: int) -> None:
        """Refuse a file of too many bytes."""
        if size > self.limits.file_mib * _MEBIBYTE:
            raise InputUnusable(
                f"{self.name}: is larger than {self.limits.file_mib} MiB; cut it, or allow larger "
                "files",
                reason="undecodable",
            )

    def check_frames(self, count: int) -> None:
        """Refuse an animation of too many frames."""
        if count > self.limits.frames:
            raise InputUnusable(
                f"{self.name}: has more than {self.limits.frames} frames; cut it, or allow more "
                "frames",
                reason="undecodable",
            )

    def check_pixels(self, width: int, height: int, shown: float = 1.0) -> None:
        """Refuse a picture or frame of too many pixels, of which each is shown as `shown`."""
        if width * height * shown > self.limits.pixels:
            most = self.limits.pixels
            words = f"{most // _MILLION} million" if most >= _MILLION else f"{most}"
            raise InputUnusable(
                f"{self.name}: its {width} x {height} pixels are too many to decode; scale it down "
                f"to {words} at most",
                reason="undecodable",
            )

    def check_memory(self, width: int, height: int, each: float) -> None:
        """Refuse a picture or video that takes `each` bytes a pixel, and so too much memory."""
        needed = math.ceil(width * height * each / _MEBIBYTE)
        if needed > self.limits.memory_mib:
            raise InputUnusable(
                f"{self.name}: its {width} x {height} pixels take {needed} MiB to decode, more "
                f"than {self.limits.memory_mib}; scale it down, or allow more memory",
                reason="undecodable",
            )
