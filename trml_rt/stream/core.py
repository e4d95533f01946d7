"""A stream: frames and texts go in from any thread, answers come out of `poll`.

`poll` does the work, in the thread of its caller: it takes what came, in order, and answers. So
one window is in work at a time, and nothing happens that the caller did not ask for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from trml_rt.answer import Reason
from trml_rt.bundle.arguments import check_one_of, check_seconds
from trml_rt.errors import UsageError
from trml_rt.inputs.frames import Order
from trml_rt.stream.accounts import Accounts
from trml_rt.stream.answer import State, StreamAnswer, StreamEvent, Totals
from trml_rt.stream.intake import Change, Intake
from trml_rt.stream.model import Model
from trml_rt.stream.pull import Pumps
from trml_rt.stream.record import Recorder
from trml_rt.stream.rules import Rules
from trml_rt.stream.work import Work

__all__ = ["Stream"]

_LOOK = 0.25  # second between two looks whether video stalls
# What a caller may say of video, and why a virtual one then stands in.
_REASONS: dict[State, Reason] = {
    "connecting": Reason.CONNECTING,
    "stalled": Reason.STALLED,
    "retrying": Reason.LOST,
    "ended": Reason.ENDED,
    "failed": Reason.LOST,
}


class Stream:
    """Answers on a window of frames and on the text that counts; made by `Runtime.stream`.

    Iterate over it, or push and poll. Use it as a context manager.
    """

    def __init__(
        self,
        rules: Rules,
        model: Model,
        *,
        on_event: Callable[[StreamEvent], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        recorder: Recorder | None = None,
        feed: Callable[[Intake], Pumps] | None = None,
    ) -> None:
        self.rules = rules
        """What the stream was opened with, and the defaults that follow from that."""
        self._clock = clock
        self._accounts = Accounts()
        self._intake = Intake(rules, self._accounts, clock)
        tell = on_event or (lambda _: None)
        self._work = Work(rules, model, self._intake, self._accounts, tell, clock, recorder)
        self._polling = threading.Lock()
        self._poller: int | None = None  # the thread that polls
        self._drained = False
        self._pumps = None if feed is None else feed(self._intake)

    # What comes in.

    def push_frame(self, frame: Any, t: float, *, order: Order = "rgb") -> bool:
        """Give a frame; any thread may.

        Args:
            frame: uint8, (height, width, 3), or what else `Runtime.infer` takes for one frame.
                Its pixels are copied.
            t: its time stamp, in seconds. Steps back, and long ones ahead, begin a new epoch.
            order: of the colours in an array: "rgb", or "bgr" as OpenCV has them.

        Returns:
            False where the policy is "every" and as many frames wait as may: poll, and push it
            again. It is not counted then.

        Raises:
            UsageError: it is no frame, or the stream is closed.
        """
        return self._intake.frame(frame, t, order)

    def push_text(self, text: str, t: float | None = None, *, end: float | None = None) -> bool:
        """Give a text; any thread may.

        Args:
            text: the text itself.
            t: when it began, in media time; None: now.
            end: when it ended; None: at `t`.

        Returns:
            False where 65536 texts wait for their time. It is not counted then.

        Raises:
            UsageError: it is no text, the times make no sense, or the stream is closed.
        """
        return self._intake.text(text, t, end)

    def push_state(self, state: State, message: str | None = None) -> None:
        """Say what the source of video does, where the caller knows: see `StreamEvent`.

        Args:
            state: "connecting", "stalled", "retrying" where it is lost, "ended" or "failed".
            message: a sentence for the event.

        Raises:
            UsageError: there is no such state, or frames tell it: "running".
        """
        check_one_of("state", state, [*_REASONS])
        if not isinstance(message, str | None):
            raise UsageError(f"message: must be a str, not {type(message).__name__}")
        self._intake.change(Change(state, _REASONS[state], message))

    def end_texts(self) -> None:
        """Say that no further text comes."""
        self._intake.end_of_texts()

    def end(self) -> None:
        """Say that nothing more comes; `poll` still answers on what waits."""
        self._intake.end()

    # What comes out.

    @property
    def totals(self) -> Totals:
        """What became of the frames that were seen."""
        return self._accounts.totals()

    @property
    def finished(self) -> bool:
        """Whether no further answer comes: the stream was ended and is drained, or closed."""
        return self._intake.closed or self._drained

    def poll(self, timeout: float | None = 0.0) -> StreamAnswer | None:
        """Return the next answer, or None if there is none.

        Args:
            timeout: how many seconds to wait for one; 0: only take what came; None: until there
                is one, or the stream ends.

        Raises:
            ArtefactMismatch: as for `Runtime.infer`.
            InputUnusable: the source of a stream could not be opened at all.
            UsageError: `timeout` is no number of seconds.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        until = None if timeout is None else self._clock() + timeout
        with self._polling:
            self._poller = threading.get_ident()
            try:
                return self._poll(until)
            finally:
                self._poller = None
                if self._intake.closed:  # by whom an event was told
                    self._work.close()

    def _poll(self, until: float | None) -> StreamAnswer | None:
        while not self._intake.closed:
            over, mark = self._intake.over, self._intake.mark
            if (answer := self._work.step()) is not None:
                return answer
            if over:
                self._drained = True
                break
            wait = _LOOK if until is None else min(_LOOK, until - self._clock())
            if wait <= 0:
                break
            self._intake.wait(wait, mark)
        return None

    def __iter__(self) -> Iterator[StreamAnswer]:
        """Yield answers until the stream ends."""
        while (answer := self.poll(timeout=None)) is not None:
            yield answer

    def close(self) -> None:
        """End the stream and let go of what waits; closing twice is fine."""
        self._intake.close()
        if self._pumps is not None:
            self._pumps.close()
        if self._poller != threading.get_ident():
            with self._polling:
                self._work.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
