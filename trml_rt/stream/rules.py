"""What a caller may say of a stream, checked once at its start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from trml_rt.bundle.arguments import check_one_of, is_finite
from trml_rt.errors import UsageError

__all__ = ["POLICIES", "Policy", "Rules"]

Policy = Literal["every", "freshest"]

POLICIES: tuple[Policy, ...] = ("every", "freshest")
"""What becomes of frames that come faster than answers: "every" one waits, or only the newest."""

# The least value of each argument that is a number.
_NUMBERS = {
    "every": 0.0,
    "max_staleness": 0.001,
    "hold": 0.0,
    "offset": -math.inf,
    "stall_after": 0.001,
    "restart_after": 0.001,
    "freeze_after": 0.001,
    "max_gap": 0.001,
    "deadline_ms": 0.001,
}
_OPTIONAL = ("max_staleness", "freeze_after", "deadline_ms")
_BUFFER = {"every": 8, "freshest": 1}
_STALENESS = {"every": None, "freshest": 0.5}


@dataclass(frozen=True)
class Rules:
    """How a stream answers; times are in seconds. `docs/streaming.md` is the specification.

    Attributes:
        window: the most frames of an answer.
        every: the time between two frames that are taken, by their time stamps; 0 takes all.
        policy: one of `POLICIES`.
        buffer: how many frames may wait; None: 8 with "every", 1 with "freshest".
        max_staleness: how long a frame may wait; None: for ever with "every", 0.5 with "freshest".
        hold: how long a text counts after its end.
        offset: added to the times of texts.
        stall_after: how long video may give nothing before a virtual one stands in for it.
        restart_after: how long a live source may give nothing before its reader is started again.
        freeze_after: how long frames may be equal; None: for ever.
        max_gap: a longer step of time ahead begins a new epoch.
        deadline_ms: how old the newest frame of an answer may be; None: as old as it gets.
        anytime: answer on the text at once, and once more when the frames are done.
        video_if_needed: answer on the text alone where it is sure.
        keep_vectors: encode each frame once, not once in each window.
    """

    window: int
    every: float = 0.0
    policy: Policy = "freshest"
    buffer: int | None = None
    max_staleness: float | None = None
    hold: float = 5.0
    offset: float = 0.0
    stall_after: float = 2.0
    restart_after: float = 5.0
    freeze_after: float | None = None
    max_gap: float = 10.0
    deadline_ms: float | None = None
    anytime: bool = False
    video_if_needed: bool = False
    keep_vectors: bool = True

    def __post_init__(self) -> None:
        check_one_of("policy", self.policy, POLICIES)
        for name in ("window", "buffer"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise UsageError(f"{name}: must be a whole number of frames, at least 1")
        for name, least in _NUMBERS.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if not is_finite(value) or value < least:
                limit = "" if least == -math.inf else f", at least {least:g}"
                raise UsageError(f"{name}: must be a number{limit}, not {value!r}")
        # The defaults that follow from the policy.
        for name, default in (("buffer", _BUFFER), ("max_staleness", _STALENESS)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, default[self.policy])

    @property
    def live(self) -> bool:
        """Whether time passes by the clock: nothing waits for a slow consumer."""
        return self.policy == "freshest"
