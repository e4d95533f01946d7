"""The video of a stream: its window of frames, and whether it is real; one thread only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trml_rt.answer import Reason
from trml_rt.stream.accounts import Accounts
from trml_rt.stream.answer import State, StreamEvent
from trml_rt.stream.intake import Intake
from trml_rt.stream.model import Shown
from trml_rt.stream.rules import Rules

__all__ = ["Video"]

_BLACK = 16  # of 255: the black of studio range


class Video:
    """Keeps the window, and tells each change of state once.

    Attributes:
        state: None until something is known of video.
        reason: why a virtual one stands in for it; None while it is real.
        window: the frames that the next answer is on.
    """

    def __init__(
        self,
        rules: Rules,
        accounts: Accounts,
        tell: Callable[[StreamEvent], None],
    ) -> None:
        self._rules, self._accounts, self._tell = rules, accounts, tell
        self.state: State | None = None
        self.reason: Reason | None = Reason.NOT_GIVEN
        self.window: list[Shown] = []
        self._refilling = False  # after a loss video is real again only with a full window
        self._equal_since: float | None = None  # media time since which frames are equal
        self._last: NDArray[np.uint8] | None = None
        self._stale_since: float | None = None
        self.epoch = 0

    @property
    def lost(self) -> bool:
        """Whether video was there and may come back."""
        return self.state in ("stalled", "retrying")

    def enter(self, state: State, reason: Reason | None, message: str | None = None) -> None:
        """Go to a state; a virtual video stands in from now on where there is a reason."""
        if (state, reason) == (self.state, self.reason):
            return
        if self.lost or (self.state == "running" and state != "running"):
            self._clear()
            self._refilling = True
        self.state, self.reason = state, reason
        self._tell(StreamEvent("video", state, reason, self.epoch, message))

    def add(self, shown: Shown, silence: float) -> bool:
        """Take a frame into the window, and say whether it is to be answered on.

        Args:
            shown: the frame.
            silence: how long nothing came before it, in seconds by the clock.
        """
        broken = self._refilling and self._rules.live and silence >= self._rules.stall_after
        if shown.epoch != self.epoch or broken:
            self._clear()
            self.epoch = shown.epoch
        self._stale_since = None
        if self._frozen(shown):
            self._accounts.drop("unchanged")
            return False
        if len(self.window) == self._rules.window:
            del self.window[0]
        self.window.append(shown)
        if self._refilling and len(self.window) < self._rules.window:
            return False
        self._refilling = False
        if self.state != "running":
            self.state, self.reason = "running", None
            self._tell(StreamEvent("video", "running", None, self.epoch))
        return True

    def stale(self, now: float) -> None:
        """Drop a frame that has waited too long."""
        self._accounts.drop("stale")
        self._stale_since = now if self._stale_since is None else self._stale_since

    def watch(self, intake: Intake, now: float) -> None:
        """Find out by the clock that video gives nothing any more."""
        if not self._rules.live or self.state != "running":
            return
        after = self._rules.stall_after
        if now - intake.moved_at >= after:
            frozen = now - intake.delivered_at < after
            self.enter("stalled", Reason.FROZEN if frozen else Reason.STALLED)
        elif self._stale_since is not None and now - self._stale_since >= after:
            self.enter("stalled", Reason.STALE)

    def answered(self) -> None:
        """The window is in an answer."""
        new = [shown for shown in self.window if not shown.answered]
        for shown in new:
            shown.answered = True
        self._accounts.answer(len(new))

    def close(self) -> None:
        """Let go of the window."""
        self._clear()

    def _clear(self) -> None:
        self._accounts.drop("unfinished", sum(not shown.answered for shown in self.window))
        self.window.clear()
        self._last = self._equal_since = None

    def _frozen(self, shown: Shown) -> bool:
        """Say whether frames have been equal for too long, where the caller asks for that."""
        after = self._rules.freeze_after
        if after is None:
            return False
        if self._last is None or not np.array_equal(self._last, shown.pixels):
            self._last, self._equal_since = shown.pixels, shown.t
        assert self._equal_since is not None
        if shown.t - self._equal_since < after:
            return False
        black = int(shown.pixels.max()) <= _BLACK
        last, since = self._last, self._equal_since
        self.enter("stalled", Reason.BLACK if black else Reason.FROZEN)
        self._last, self._equal_since = last, since  # they are still equal to these
        return True
