"""Which frames of a video are taken: two pure functions, and the clip that comes of them.

Every reader must choose the same frames, the C++ one too; the conformance files hold both to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Clip", "Shaped", "choose_indices", "choose_times"]


Frame = TypeVar("Frame")
Shaped = TypeVar("Shaped")


@dataclass(frozen=True)
class Clip(Generic[Frame]):
    """The frames that stand for a video.

    Attributes:
        frames: In the order shown: upright RGB pictures of full size, or what was made of them.
        incomplete: The file is damaged or ends before its stated end; `frames` are those
            that could be had. Damage between the chosen frames goes unseen.
    """

    frames: tuple[Frame, ...]
    incomplete: bool = False

    def map(self, shape: Callable[[Frame], Shaped]) -> Clip[Shaped]:
        """Return the clip with `shape` of each frame in its place."""
        return Clip(tuple(shape(frame) for frame in self.frames), self.incomplete)


def choose_times(start: int, duration: int, count: int) -> list[int]:
    """Return the middle of each of `count` equal parts of a clip, in its own integer ticks.

    t_i = start + floor((2 i + 1) * duration / (2 * count)). The frame of t_i is the last one
    whose presentation time is <= t_i.
    """
    return [start + (2 * i + 1) * duration // (2 * count) for i in range(count)]


def choose_indices(total: int, count: int) -> list[int]:
    """Return which of `total` untimed frames to take: all, or `count` evenly spaced ones.

    index_i = floor((2 i + 1) * total / (2 * count)): `choose_times` where a frame is a tick.
    """
    if total <= count:
        return list(range(total))
    return choose_times(0, total, count)
