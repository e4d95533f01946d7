"""The door of a stream: frames, texts and changes come in from any thread, in order.

Here a frame gets its place in time: its epoch, whether it is due, and whether it may wait.
"""

from __future__ import annotations

import math
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from trml_rt.answer import Reason
from trml_rt.bundle.arguments import is_finite
from trml_rt.errors import InputUnusable, UsageError
from trml_rt.inputs.frames import Order, frames_from_array
from trml_rt.stream.accounts import Accounts
from trml_rt.stream.answer import State
from trml_rt.stream.rules import Rules
from trml_rt.stream.words import Spoken, Words

__all__ = ["Change", "Intake", "Waiting"]

_TOLD = 64  # events of texts that may wait
_ROUNDING = 1e-6  # of the time between two due frames


@dataclass(frozen=True)
class Waiting:
    """A frame that waits for its turn."""

    t: float
    epoch: int
    arrived: float
    picture: Image.Image
    number: int
    silence: float
    """Seconds by the clock since time stamps moved before."""


@dataclass(frozen=True)
class Change:
    """What a source says of itself, in its place among the frames; that of texts says its end."""

    state: State
    reason: Reason | None = None
    message: str | None = None
    error: BaseException | None = None
    input: Literal["text", "video"] = "video"


class Intake:
    """Takes what comes and hands it to the one who answers; see `Rules`.

    Attributes:
        words: the texts.
        moved_at: when a frame last came whose time stamp had moved, by the clock.
        delivered_at: when a frame last came.
        epoch: that of the last frame.
        mark: counts what comes and goes.
    """

    def __init__(self, rules: Rules, accounts: Accounts, clock: Callable[[], float]) -> None:
        self._rules, self._accounts, self._clock = rules, accounts, clock
        self._queue: deque[Waiting | Change] = deque()
        self._frames = 0  # of the queue
        self._changed = threading.Condition()
        self.mark = 0
        self.words = Words(rules.hold, rules.offset)
        self._began = clock()
        self._last: float | None = None  # the time stamp of the last frame
        self._told = -math.inf  # the latest time of an answer without a frame, in this epoch
        self._due = -math.inf
        self._grid = 0.0  # where the grid of due times begins
        self.moved_at = self.delivered_at = self._began
        self.epoch = 0
        self._source_epoch: int | None = None
        self.over = False  # nothing more comes
        self.closed = False

    def frame(
        self,
        frame: Any,
        t: float,
        order: Order,
        *,
        arrived: float | None = None,
        source_epoch: int | None = None,
    ) -> bool:
        """Take a frame; see `Stream.push_frame`."""
        with self._changed:
            self._refuse_late()
            if not is_finite(t):
                raise UsageError(f"t: must be the time of the frame in seconds, not {t!r}")
            if not self._rules.live and self._frames >= (self._rules.buffer or 1):
                return False
            reconnected = source_epoch != self._source_epoch and self._source_epoch is not None
            verdict = self._verdict(t, reconnected)
            picture = None if verdict else _picture(frame, order)  # a refusal must change nothing
            now = self._clock()
            self._source_epoch = source_epoch
            silence, self.delivered_at = now - self.moved_at, now
            number = self._accounts.see()
            if verdict != "unchanged":
                self._move(t, now, reconnected)
            if picture is None:
                self._accounts.drop(str(verdict))
                return True
            self._make_due(t)
            arrival = now if arrived is None else arrived
            self._queue.append(Waiting(t, self.epoch, arrival, picture, number, silence))
            self._frames += 1
            if self._frames > (self._rules.buffer or 1):  # only where the newest count
                self._drop_oldest()
            self._wake()
            return True

    def text(self, text: str, t: float | None, end: float | None) -> bool:
        """Take a text; see `Stream.push_text`."""
        with self._changed:
            self._refuse_late()
            if not isinstance(text, str):
                raise UsageError(f"text must be a str, not {type(text).__name__}")
            if self.words.full:
                return False
            now = self._clock()
            start = self.media_now(now) if t is None else t
            until = start if end is None else end
            if not (is_finite(start) and is_finite(until) and until >= start):
                raise UsageError(f"a text from {start!r} to {until!r}: give seconds, t before end")
            self.words.add(Spoken(text, start, until, now, stamped=t is None))
            self._wake()
            return True

    def refuse_text(self, error: InputUnusable) -> bool:
        """Leave out a text that cannot be read, and tell of it; False where too much waits."""
        with self._changed:
            self._refuse_late()
            if len(self._queue) - self._frames >= _TOLD:
                return False
            self._accounts.refuse_text()
            reason = Reason(error.reason)
            self._queue.append(Change("refused", reason, str(error), input="text"))
            self._wake()
            return True

    def change(self, change: Change) -> None:
        """Take a change of the source, behind the frames that came before it."""
        with self._changed:
            if not (self._queue and self._queue[-1] == change):  # who repeats it fills no memory
                self._queue.append(change)
            self._wake()

    def lost(self, cause: str, count: int) -> None:
        """Count frames that the source saw and could not give."""
        self._accounts.see(count)
        self._accounts.drop(cause, count)

    def next(self) -> Waiting | Change | None:
        """Return what comes next, if it is there."""
        with self._changed:
            if not self._queue:
                return None
            item = self._queue.popleft()
            if isinstance(item, Waiting):
                self._frames -= 1
            self._wake()  # there is room
            return item

    def wait(self, seconds: float, mark: int) -> None:
        """Wait until something comes that came not before `mark`, or so long."""
        with self._changed:
            if self.mark == mark:
                self._changed.wait(seconds)

    def text_at(self, t: float) -> Spoken | None:
        """Return the text that counts at `t`."""
        with self._changed:
            return self.words.at(t)

    def next_text(self) -> Spoken | None:
        """Return the first text behind the last frame that is in no answer."""
        with self._changed:
            return self.words.unanswered(-math.inf if self._last is None else self._last)

    def text_state(self, t: float) -> tuple[State | None, Reason]:
        """Return what texts do at `t`, and why one is missing if none counts."""
        with self._changed:
            return self.words.state_at(t)

    def end_of_texts(self) -> None:
        """No further text comes."""
        with self._changed:
            self.words.ended = True
            self._wake()

    def end(self) -> None:
        """Nothing more comes; what waits is still answered."""
        with self._changed:
            self.over = self.words.ended = True
            self._wake()

    def close(self) -> None:
        """Let go of all that waits."""
        with self._changed:
            self.closed = self.over = True
            self._queue.clear()
            self._accounts.drop("unfinished", self._frames)
            self._frames = 0
            self._wake()

    def tell(self, t: float) -> None:
        """Note that an answer without a frame had the time `t`: an earlier frame is a jump."""
        with self._changed:
            self._told = max(self._told, t)

    @property
    def no_frame_yet(self) -> bool:
        """Whether the time of the video is not known as yet."""
        return self._last is None

    def media_now(self, now: float) -> float:
        """Return the media time that it is: of the last frame, and later where time goes on.

        While frames come, it is theirs. A text that comes with a frame must count for that frame.
        """
        if self._last is None:
            return now - self._began
        silent = now - self.moved_at
        if not self._rules.live or silent < self._rules.stall_after:
            return self._last
        return self._last + silent

    def _wake(self) -> None:
        self.mark += 1
        self._changed.notify_all()

    def _refuse_late(self) -> None:
        if self.closed:
            raise UsageError("this stream is closed; open another")
        if self.over:
            raise UsageError("this stream was told that it ends; open another")

    def _verdict(self, t: float, reconnected: bool) -> str | None:
        """Return why the frame is dropped at once, or None."""
        if t == self._last and not reconnected:
            return "unchanged"
        if reconnected or self._last is None or self._jumps(t):
            return None
        return "between" if t < self._due else None

    def _jumps(self, t: float) -> bool:
        if t < self._told:
            return True
        return self._last is not None and not 0 <= t - self._last <= self._rules.max_gap

    def _move(self, t: float, now: float, reconnected: bool) -> None:
        """Let media time come to `t`; a jump begins an epoch."""
        jumps = reconnected or self._jumps(t)
        if jumps or self._last is None:
            self.words.shift(t - self.media_now(now))
            self.epoch += jumps
            self._due = self._told = -math.inf
        self._last, self.moved_at = t, now

    def _make_due(self, t: float) -> None:
        """Set when the next frame is due: on a grid, so that rounding does not add up."""
        every = self._rules.every
        if every > 0:
            self._grid = t if self._due == -math.inf else self._grid
            # A frame that is early by rounding is not early.
            passed = math.floor((t - self._grid) / every + _ROUNDING)
            self._due = self._grid + (passed + 1 - _ROUNDING) * every

    def _drop_oldest(self) -> None:
        oldest = next(item for item in self._queue if isinstance(item, Waiting))
        self._queue.remove(oldest)
        self._frames -= 1
        self._accounts.drop("buffer")


def _picture(frame: Any, order: Order) -> Image.Image:
    """Return one frame as a picture of its own."""
    try:
        clip = frames_from_array(frame, order=order)
    except UsageError as error:  # here the argument has another name
        error.args = (re.sub("^video: ", "frame: ", str(error)),)
        raise
    if len(clip.frames) != 1:
        raise UsageError(f"one frame at a time: {len(clip.frames)} are given; push each with its t")
    return clip.frames[0]
