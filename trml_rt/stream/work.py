"""What `poll` does: takes what came, in order, until there is something to answer on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from trml_rt.answer import Reason
from trml_rt.bundle.modality import Modality
from trml_rt.errors import InputUnusable
from trml_rt.stream.accounts import Accounts
from trml_rt.stream.answer import State, StreamAnswer, StreamEvent, stream_answer
from trml_rt.stream.intake import Change, Intake, Waiting
from trml_rt.stream.model import Model, ReadText, Shown
from trml_rt.stream.record import Recorder
from trml_rt.stream.rules import Rules
from trml_rt.stream.times import Times
from trml_rt.stream.video import Video
from trml_rt.stream.words import Spoken

__all__ = ["Work"]

_BEAT = 1.0  # second between answers while video is lost, where `every` says nothing
_BOTH = Modality.TEXT | Modality.VIDEO


class Work:
    """One step after another; one thread at a time.

    Args:
        rules: of the stream.
        model: answers.
        intake: where frames and texts come from.
        accounts: of the frames.
        tell: is called with each event.
        clock: in seconds.
        recorder: is given every answer.
    """

    def __init__(
        self,
        rules: Rules,
        model: Model,
        intake: Intake,
        accounts: Accounts,
        tell: Callable[[StreamEvent], None],
        clock: Callable[[], float],
        recorder: Recorder | None,
    ) -> None:
        self._rules, self._model, self._intake = rules, model, intake
        self._recorder = recorder
        self._accounts, self._tell, self._clock = accounts, tell, clock
        self._video = Video(rules, accounts, tell)
        self._times = Times()
        self._rest: Callable[[], StreamAnswer] | None = None  # what follows an early answer
        self._beat_at = 0.0
        self._seq = 0
        self._told = (0, -math.inf)  # epoch and time of the last answer
        self._text_state: State | None = None

    def step(self) -> StreamAnswer | None:
        """Return the next answer that what came allows; None if there is none.

        Raises:
            InputUnusable: the source of video could not be opened at all.
        """
        if self._rest is not None:
            rest, self._rest = self._rest, None
            return rest()
        while True:
            now = self._clock()
            self._video.watch(self._intake, now)
            item = self._intake.next()
            if isinstance(item, Waiting):
                answer = self._on_frame(item, now)
            else:
                if item is not None:
                    self._change(item)
                answer = self._on_text_alone(now)
            if answer is not None or item is None:
                return answer

    def close(self) -> None:
        """Let go of the window and of what was to follow."""
        self._rest = None
        self._video.close()
        if self._recorder is not None:
            self._recorder.close()

    def _change(self, change: Change) -> None:
        if change.input == "video":
            self._video.enter(change.state, change.reason, change.message)
        else:
            told = (change.state, change.reason, self._intake.epoch, change.message)
            self._tell(StreamEvent(change.input, *told))
        if change.error is not None:
            raise change.error

    def _on_frame(self, frame: Waiting, now: float) -> StreamAnswer | None:
        """Take a frame into the window, and answer on it if it is time to."""
        patience = self._rules.max_staleness
        overtaken = (frame.epoch, frame.t) < self._told  # by an answer on a text
        if overtaken or (patience is not None and now - frame.arrived > patience):
            self._video.stale(now)
            return self._on_text_alone(now)
        spoken = self._intake.text_at(frame.t)
        try:
            text = self._read(spoken, frame.t)
        except BaseException:
            self._accounts.drop("unfinished")  # it never came into a window
            raise
        alone = text.row is not None and self._model.serves(Modality.TEXT)
        if alone and (why := self._left_out(text, frame, now)) is not None:
            self._accounts.drop(why.value)
            return self._answer(spoken, text, frame, reason=why)
        try:
            pixels, ms = self._model.pixels(frame.picture)
        except InputUnusable:
            self._accounts.drop("decode_error")
            return None
        shown = Shown(frame.t, frame.epoch, frame.arrived, pixels, frame.number, ms)
        if not self._video.add(shown, frame.silence):
            return self._on_text_alone(now)
        if not (alone and self._rules.anytime):
            return self._answer(spoken, text, frame, self._video.window)
        self._rest = lambda: self._answer(spoken, text, frame, self._video.window)
        return self._answer(spoken, text, frame, reason=Reason.DEADLINE, final=False)

    def _left_out(self, text: ReadText, frame: Waiting, now: float) -> Reason | None:
        """Return why an answer is on the text alone though a frame came, if it is."""
        if self._video.state != "running":
            return None
        try:
            if self._model.is_sure(text):
                return Reason.NOT_NEEDED
        except BaseException:
            self._accounts.drop("unfinished")  # it never came into a window
            raise
        return None if self._in_time(frame, now) else Reason.DEADLINE

    def _in_time(self, frame: Waiting, now: float) -> bool:
        """Say whether an answer with this frame is expected before the deadline."""
        deadline = self._rules.deadline_ms
        if deadline is None:
            return True
        new = 1 + sum(shown.kept is None for shown in self._video.window)
        return self._times.fits(_BOTH, new, deadline - (now - frame.arrived) * 1e3)

    def _on_text_alone(self, now: float) -> StreamAnswer | None:
        """Answer on a text where video is virtual, if it is time to."""
        video = self._video
        if video.state == "running" or not self._model.serves(Modality.TEXT):
            return None
        if self._rules.live:
            media = self._intake.media_now(now)
            spoken = self._intake.text_at(media)
            due = spoken is not None and (
                not spoken.answered or (video.lost and now >= self._beat_at)
            )
        elif video.state == "connecting" or video.lost:
            return None  # nothing happens by the clock: frames may still come for this text
        else:
            spoken = self._intake.next_text()
            due, media = spoken is not None, math.inf if spoken is None else spoken.start
        if spoken is None or not due:
            self._tell_of_text(media)
            return None
        text = self._read(spoken, media)
        if text.row is None:
            spoken.answered = True
            return None
        self._beat_at = now + (self._rules.every or _BEAT)
        return self._answer(spoken, text, None, reason=video.reason)

    def _read(self, spoken: Spoken | None, t: float) -> ReadText:
        """Return the text that counts at `t`, as the model takes it."""
        reason = self._tell_of_text(t)
        if spoken is None:
            return ReadText(None, reason)
        if spoken.read is None:
            spoken.read = self._model.read(spoken.text)
        return spoken.read

    def _answer(
        self,
        spoken: Spoken | None,
        text: ReadText,
        frame: Waiting | None,
        window: Sequence[Shown] = (),
        *,
        reason: Reason | None = None,
        final: bool = True,
    ) -> StreamAnswer:
        """Answer on a text and a window; `frame` is the newest one, where one came."""
        began = self._clock()
        new = sum(shown.kept is None for shown in window)
        answer = self._model.answer(text, window, reason)
        now = self._clock()
        if window:
            self._video.answered()
            present = _BOTH if text.row is not None else Modality.VIDEO
            self._times.add(present, new, (now - began) * 1e3)
        if spoken is not None:
            spoken.answered = True
        if frame is not None:
            epoch, t, arrived = frame.epoch, frame.t, frame.arrived
        else:
            assert spoken is not None
            epoch, arrived = self._intake.epoch, spoken.arrived
            t = self._time_of(spoken, now)
            t = max(t, self._told[1]) if epoch == self._told[0] else t  # a text may come late
            self._intake.tell(t)
        self._told = epoch, t
        age_ms = (now - arrived) * 1e3
        self._seq += 1
        deadline = self._rules.deadline_ms
        streamed = stream_answer(
            answer,
            seq=self._seq - 1,
            epoch=epoch,
            t0=window[0].t if window else t,
            t1=t,
            text=None if spoken is None else spoken.text,
            final=final,
            age_ms=age_ms,
            late=deadline is not None and age_ms > deadline,
        )
        if self._recorder is not None and not self._recorder.add(streamed, window):
            message = str(self._recorder.fault)
            self._tell(StreamEvent("record", "failed", None, epoch, message))
        return streamed

    def _time_of(self, spoken: Spoken, now: float) -> float:
        """Return the media time of an answer on a text alone."""
        if not self._rules.live:
            return spoken.start
        if self._intake.no_frame_yet:
            return 0.0  # that of the first frame, in most cases
        return max(self._intake.media_now(now), spoken.start)

    def _tell_of_text(self, t: float) -> Reason:
        """Tell where texts begin and end; return why one is missing at `t` if none counts."""
        state, reason = self._intake.text_state(t)
        if state is not None and state != self._text_state:
            self._text_state = state
            shown = reason if state == "ended" else None
            self._tell(StreamEvent("text", state, shown, self._intake.epoch))
        return reason
