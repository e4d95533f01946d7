"""Which frames of a video are taken: two pure functions, and the clip that comes of them.

Every reader must choose the same frames, the C++ one too; the conformance files hold both to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

__all__ = ["Clip", "choose_indices", "choose_times"]


@dataclass(frozen=True)
class Clip:
    """The frames that stand for a video.

    Attributes:
        frames: RGB pictures in the order shown, upright, of full size.
        incomplete: The file is damaged or ends before its stated end; `frames` are those
            that could be had. Damage between the chosen frames goes unseen.
    """

    frames: tuple[Image.Image, ...]
    incomplete: bool = False


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
