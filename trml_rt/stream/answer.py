"""What a stream gives: answers with their times, events of its inputs, and the sum of frames."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from trml_rt.answer import Answer, Reason

__all__ = ["CAUSES", "State", "StreamAnswer", "StreamEvent", "Totals", "stream_answer"]

State = Literal["connecting", "running", "stalled", "retrying", "ended", "failed", "refused"]

CAUSES = (
    "between",
    "buffer",
    "stale",
    "deadline",
    "not_needed",
    "unchanged",
    "before_keyframe",
    "decode_error",
    "unfinished",
)
"""Why a frame that was seen is in no answer."""


@dataclass(frozen=True)
class StreamAnswer(Answer):
    """An answer of a stream: see `Answer`, and when it was.

    `seq` counts the answers of the stream. `t0` and `t1` are the media time of the first and the
    last frame of its window, in seconds, and `epoch` counts reconnects and jumps of that time.
    Where video is virtual, both are the media time of now. `age_ms` is the time from the arrival
    of the newest input to the answer. `text` is the text that it is on. `final` is False for the
    early answer of `anytime`. `late` says that the answer missed `deadline_ms`.
    """

    seq: int = 0
    epoch: int = 0
    t0: float = 0.0
    t1: float = 0.0
    text: str | None = None
    final: bool = True
    age_ms: float = field(default=0.0, compare=False)
    late: bool = field(default=False, compare=False)

    @property
    def t(self) -> float:
        """The media time of the answer: `t1`."""
        return self.t1

    def plain(self) -> Answer:
        """Return what `Runtime.infer` gives on the same frames and the same text."""
        return Answer(**{each.name: getattr(self, each.name) for each in fields(Answer)})

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain values: its times, then what `Answer.to_dict` has."""
        record: dict[str, Any] = {
            "seq": self.seq,
            "epoch": self.epoch,
            "t0": round(self.t0, 6),
            "t1": round(self.t1, 6),
            "age_ms": round(self.age_ms, 3),
        }
        record |= {} if self.final else {"final": False}
        record |= {"late": True} if self.late else {}
        return record | {"spoken": self.text} | super().to_dict()


def stream_answer(answer: Answer, **more: Any) -> StreamAnswer:
    """Return `answer` with what a stream adds."""
    return StreamAnswer(
        **{each.name: getattr(answer, each.name) for each in fields(Answer)}, **more
    )


@dataclass(frozen=True)
class StreamEvent:
    """A change of what an input does; `reason` says why a virtual one stands in for it.

    Where a record can be written no more, `input` is "record" and `state` "failed". Where a line of
    texts cannot be read, `input` is "text" and `state` "refused"; texts go on as they were.
    """

    input: Literal["text", "video", "record"]
    state: State
    reason: Reason | None = None
    epoch: int = 0
    message: str | None = None
    """A sentence of the source, without credentials."""

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain values."""
        record: dict[str, Any] = {"event": self.input, "state": self.state}
        record |= {"reason": self.reason.value} if self.reason is not None else {}
        record |= {"epoch": self.epoch}
        return record | ({"message": self.message} if self.message else {})


@dataclass(frozen=True)
class Totals:
    """What became of the frames that a stream has seen: `seen` is the sum of all others.

    `answered` frames are those of the windows of answers. `waiting` ones are in no answer as yet,
    and a stream that is closed has none.
    """

    seen: int
    answered: int
    waiting: int
    dropped: dict[str, int]
    """By cause, one of `CAUSES`; causes that did not occur are left out."""
    refused_texts: int = 0
    """Lines of texts that could not be read, and are in no other number here."""

    def to_dict(self) -> dict[str, Any]:
        """Return the sums as plain values."""
        record: dict[str, Any] = {
            "seen": self.seen,
            "answered": self.answered,
            "waiting": self.waiting,
            "dropped": dict(self.dropped),
        }
        return record | ({"refused_texts": self.refused_texts} if self.refused_texts else {})
