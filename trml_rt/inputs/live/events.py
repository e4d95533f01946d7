"""What a live source tells: frames, changes of its state, and frames that were dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cause", "Dropped", "Event", "Frame", "State", "StateName"]

StateName = Literal["connecting", "running", "stalled", "retrying", "ended", "failed"]
Cause = Literal["buffer", "before_keyframe", "decode_error"]


@dataclass(frozen=True)
class Frame:
    """One frame, in the size of the encoder.

    Attributes:
        t: seconds since the first frame of its epoch; within an epoch it never runs back.
        pixels: (height, width, 3), RGB, uint8, upright.
        epoch: counts up at a reconnect, and where the times of the source jump.
        arrived: when it came, by `time.monotonic`.
    """

    t: float
    pixels: NDArray[np.uint8] = field(repr=False, compare=False)
    epoch: int
    arrived: float


@dataclass(frozen=True)
class State:
    """What the source does from now on.

    Attributes:
        name: the state.
        reason: why no frame comes: "connecting", "stalled", "frozen" or "lost"; None where there is
            no need.
        epoch: that of the last frame.
        message: one sentence for people, without credentials.
    """

    name: StateName
    reason: str | None
    epoch: int
    message: str

    @property
    def last(self) -> bool:
        """Whether nothing comes after it."""
        return self.name in ("ended", "failed")


@dataclass(frozen=True)
class Dropped:
    """Frames that were there and that nobody gets, by cause.

    "buffer": they came faster than they were taken. "before_keyframe": the stream was joined
    before a frame from which decoding can start. "decode_error": they were damaged.
    """

    cause: Cause
    count: int


Event = Frame | State | Dropped
